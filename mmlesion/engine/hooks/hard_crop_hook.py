"""Anchor-based sampling: training crops at a detector's errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from mmdet.registry import HOOKS
from mmdet.structures import DetDataSample
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tqdm import tqdm

from mmlesion.froc import center_in_sphere
from mmlesion.utils import UserError

if TYPE_CHECKING:
    from mmlesion.datasets import VolumeDataset

SPOTS = 'hard_spots'


@HOOKS.register_module()
class HardCropHook(Hook):
    """Sample further crops at the detector's errors (anchor-based sampling).

    3D Aggregated Faster R-CNN, section Anchor Based Sampling: after a round of training, the
    detector is run on all training scans. Missed lesions and false positives become the
    ``hard_spots`` of the training dataset, and
    :class:`~mmlesion.datasets.transforms.RandomLesionCrop` places the fraction ``hard_share`` of
    the crops that are not around a lesion around them. They are saved in checkpoints for resuming.

    Args:
        dataloader: Of the training scans, whole, with their annotations: a test pipeline on
            the volumes of the training split, in test mode.
        epochs: After how many epochs the scans are run. The paper has one round,
            then 30 epochs more. Defaults to (50, ).
        score_thr: The least score of a detection. Defaults to 0.5.
        max_per_volume: The false positives of a volume that count, those with the highest
            scores. Defaults to 20.

    Raises:
        UserError: If the training dataset has no ``hard_spots`` (it is not a ``VolumeDataset``), or
            its dataloader has persistent workers, which would not receive them.
    """

    def __init__(
        self,
        dataloader: dict,
        epochs: Sequence[int] = (50,),
        score_thr: float = 0.5,
        max_per_volume: int = 20,
    ) -> None:
        self.dataloader = dataloader
        self.epochs = tuple(epochs)
        self.score_thr = score_thr
        self.max_per_volume = max_per_volume

    def before_train(self, runner: Runner) -> None:
        """Check the training data, and restore the locations of a resumed run."""
        if getattr(runner.train_dataloader, 'persistent_workers', False):
            raise UserError(
                'HardCropHook: persistent workers do not receive new hard spots: set '
                'train_dataloader.persistent_workers=False'
            )
        if SPOTS in runner.message_hub.runtime_info:
            _set_spots(runner, runner.message_hub.get_info(SPOTS))
        else:
            _training_data(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Run the training scans, if a round ends."""
        # runner.epoch counts from 0 and increases after this hook
        if runner.epoch + 1 not in self.epochs:
            return
        spots = self.find_spots(runner)
        count = sum(len(spheres) for spheres in spots.values())
        runner.logger.info(f'HardCropHook: {count} hard spots in {len(spots)} volumes')
        # the hub is saved in checkpoints, by which a resumed run has the spots
        runner.message_hub.update_info(SPOTS, spots)
        _set_spots(runner, spots)

    def find_spots(self, runner: Runner) -> dict[int | str, list]:
        """Run the detector on all training scans, in all processes.

        Args:
            runner: The runner.

        Returns:
            dict[int, list]: Of each volume id where the detector was wrong (m, 4) z, y, x and
            diameter in voxels.
        """
        dataloader = runner.build_dataloader(self.dataloader, seed=runner.seed)
        runner.model.eval()
        spots = {}
        for batch in tqdm(dataloader, desc='training scans', disable=not is_main_process()):
            with torch.no_grad():
                samples = runner.model.test_step(batch)
            for sample in samples:
                spots[sample.volume_id] = self._errors(sample).tolist()
        runner.model.train()
        merged = {}
        # a scan that several processes have had, to be equally many, is there once
        for part in all_gather_object(spots):
            for volume, errors in part.items():
                if errors:
                    merged[volume] = errors
        return dict(sorted(merged.items()))

    def _errors(self, sample: DetDataSample) -> np.ndarray:
        """Return spheres (m, 4) of a sample's missed lesions and false positives."""
        found = sample.pred_instances
        found = found[found.scores >= self.score_thr]
        found = found[found.scores.argsort(descending=True)]
        lesions = sample.gt_instances.bboxes.cpu().numpy()
        ignored = sample.ignored_instances.bboxes.cpu().numpy()
        return find_errors(found.bboxes.cpu().numpy(), lesions, ignored, self.max_per_volume)


def find_errors(
    found: np.ndarray, lesions: np.ndarray, ignored: np.ndarray, max_false: int | None = None
) -> np.ndarray:
    """Find the errors of a detector by the center-in-sphere criterion of LUNA16.

    Args:
        found: (n, 4) detected spheres, center and diameter, best first.
        lesions: (m, 4) ground truth spheres.
        ignored: (k, 4) ignored spheres.
        max_false: Maximum number of false positives. Defaults to None, all.

    Returns:
        ndarray: (j, 4) lesions that no detection hits, then detections that hit nothing.
    """
    hits = _hits(found, lesions)
    # (n,) detections that hit no lesion, not even an ignored one
    false = ~hits.any(axis=1) & ~_hits(found, ignored).any(axis=1)
    return np.concatenate([lesions[~hits.any(axis=0)], found[false][:max_false]])


def _hits(found: np.ndarray, spheres: np.ndarray) -> np.ndarray:
    """Return whether the center of each detection lies in each sphere, (n, m)."""
    return center_in_sphere(found[:, None, :3], spheres[None])


def _training_data(runner: Runner) -> VolumeDataset:
    """Return the innermost dataset of the training dataloader.

    Raises:
        UserError: If it has no ``hard_spots``.
    """
    dataset = runner.train_dataloader.dataset
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    if not hasattr(dataset, SPOTS):
        raise UserError(
            f'HardCropHook: the training dataset is a {type(dataset).__name__}, which has no '
            'hard spots: use VolumeDataset'
        )
    return dataset


def _set_spots(runner: Runner, spots: dict[int | str, list]) -> None:
    _training_data(runner).hard_spots = spots
