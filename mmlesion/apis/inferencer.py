"""Inference: from a CT volume to lesions in its own coordinates."""

from __future__ import annotations

import copy
import logging
import os.path as osp
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import SimpleITK as sitk
import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmengine.model.utils import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn
from tqdm import tqdm

from mmlesion.io.ct import check_ct, read_ct
from mmlesion.io.resume import volume_digest

from ..engine.checkpoint_content import check_fit
from ..froc import stack_boxes
from ..structures import Segment, grid_steps, reverse_axes
from ..structures.ct_volume import CTVolume
from ..utils import UserError
from ..utils.configs import load_config
from ..utils.memory import trim_freed_memory
from ..utils.networks import check_scores
from .lesion_writer import check_out_dir, write_lesions
from .lesions import LINK_SCORE_THR, SCORE_THR, SLICE_BATCH, Lesion, describe_lesions
from .slice_batches import chained_order, load_batches, shared_features, sharing_distance
from .slice_detection import SliceDetections, slice_detections
from .speed import Speed
from .volume_detection import detect_volume, loads_volumes, prepare_volume

if TYPE_CHECKING:
    from mmdet.models.detectors import BaseDetector

_LOGGER = logging.getLogger('mmlesion')


class FoundLesions(NamedTuple):
    """Detections of lesions in a volume, in descending order of score.

    Args:
        boxes: (n, 6) x1, y1, z1, x2, y2, z2 in voxels of ``CTVolume.array``.
        scores: (n,).
        labels: (n,).
        segments: The n lesions' masks by slices; None if the
            detector is volumetric.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    segments: list[dict[int, Segment]] | None = None

    def at_least(self, score_thr: float) -> FoundLesions:
        """Return those whose score is not below a threshold."""
        count = int((self.scores >= score_thr).sum())
        segments = None if self.segments is None else self.segments[:count]
        return FoundLesions(self.boxes[:count], self.scores[:count], self.labels[:count], segments)


class LesionInferencer:
    """Detect lesions in CT volumes with a slice-based or volumetric detector.

    With a slice-based detector, a volume is reoriented to the training orientation, its slices are
    passed through the config's test pipeline and the detector, and the boxes of neighboring slices
    are stacked into 3D lesions in the coordinates of the original volume. Where slices are further
    apart than the ``max_interval`` of the config's test dataset, the detector also sees those
    between them. If the detector predicts masks, as
    :class:`~mmlesion.models.detectors.LesionRetinaNet` does, lesions have masks and are measured by
    them.

    With a volumetric detector, whose test pipeline starts with ``LoadVolume``, a volume is
    resampled to 1 mm and processed in overlapping windows
    (:func:`~mmlesion.apis.volume_detection.detect_volume`); lesions are spheres. If it was trained
    on scans cropped to the lungs, according to ``preparation`` in the ``metainfo`` of the config's
    dataset, the volume is cropped to them first.

    Args:
        model: The detector's config or its path.
        weights: A checkpoint. By default the model has random weights.
        device: As in :class:`torch.device`. By default an accelerator, if there is.
        cfg_options: Overrides of the config.
        box_margin: mm by which the detector's boxes exceed the lesions on each
            side in the slice plane, subtracted for the diameter. Defaults to None, ``box_margin``
            in the ``metainfo`` of the config's dataset (4 for DeepLesion), or 0 if it has none.
        any_scan: Whether to take volumes whose slices or pixels are unlike those that the
            detector was trained on, too; see :func:`check_scan`. Defaults to False.
        show_progress: Show progress bars. Defaults to True.
        feature_cache: Groups of slices, or slices, whose features a ``GroupedSliceBackbone``
            or ``SliceContextBackbone`` keeps for the next key slices (docs/inference.md); 0
            computes each anew. Defaults to 16.
        speed: Mixed precision, memory format and fusion of batch normalization
            (docs/speed.md). Defaults to None, none of them.

    Raises:
        UserError: If the config, the checkpoint or the device cannot be used.

    Examples:
        >>> inferencer = LesionInferencer('config.py', 'epoch_12.pth')
        >>> lesions = inferencer('scan.nii.gz', out_dir='lesions')
        >>> lesions[0].center_mm, lesions[0].score
    """

    def __init__(
        self,
        model: str | Path | Config,
        weights: str | Path | None = None,
        device: str | None = None,
        cfg_options: dict | None = None,
        box_margin: float | None = None,
        any_scan: bool = False,
        show_progress: bool = True,
        feature_cache: int = 16,
        speed: Speed | None = None,
    ) -> None:
        cfg = load_config(model, cfg_options, ['test_dataloader'])
        self.model = load_detector(cfg, weights, device or get_device())
        pipeline = get_test_pipeline_cfg(cfg)
        self.takes_volumes = loads_volumes(pipeline)
        self.preparation = self.model.dataset_meta.get('preparation') or {}
        self.max_interval = cfg.test_dataloader.dataset.get('max_interval')
        hooks = cfg.get('default_hooks') or {}
        # what the training's pictures show is what results show by default
        self.score_thr = (hooks.get('visualization') or {}).get('score_thr', SCORE_THR)
        self.pipeline = pipeline if self.takes_volumes else Compose(volume_pipeline(pipeline))
        self.classes = self.model.dataset_meta['classes']
        margin = self.model.dataset_meta.get('box_margin', 0.0)
        self.box_margin = margin if box_margin is None else box_margin
        self.any_scan = any_scan
        self.show_progress = show_progress
        self.feature_cache = feature_cache
        self.speed = speed or Speed()
        self.speed.prepare(self.model)
        self.sources = dict(
            config=cfg.filename,
            config_digest=sha256(repr(cfg.to_dict()).encode()).hexdigest(),
            checkpoint=weights and str(weights),
            checkpoint_digest=_file_digest(weights),
            speed=asdict(self.speed),
        )

    def __call__(
        self,
        inputs: str | Path | sitk.Image,
        out_dir: str | Path | None = None,
        batch_size: int | None = None,
        pred_score_thr: float | None = None,
        iou_thr: float = 0.5,
        max_overlays: int = 50,
        series: str | None = None,
        lungs: str | Path | sitk.Image | None = None,
        report: bool = False,
    ) -> list[Lesion]:
        """Detect the lesions in a volume.

        Args:
            inputs: A NIfTI, MHD or MHA file, a DICOM folder, or an image
                in HU.
            out_dir: Where :func:`write_lesions` writes the results.
            batch_size: Slices or windows per batch. Defaults to None, 4 slices or
                the config's number of windows.
            pred_score_thr: Lesions below this score are dropped. Boxes on slices
                are stacked before, all from :data:`LINK_SCORE_THR` on, so that a lesion does not
                depend on it. Defaults to None, the config's threshold for visualization
                (``default_hooks.visualization.score_thr``), or 0.3 if it has none.
            iou_thr: Boxes of consecutive slices are one lesion if their IoU is greater; not
                used by volumetric detectors.
            max_overlays: Maximum number of overlay images.
            series: The Series Instance UID to take from a DICOM folder.
            lungs: A mask of the lungs on the volume's grid, for
                a detector trained on lungs: LUNA16's labels 3 and 4, or any labels of lungs only.
                Defaults to None: the lungs are segmented by thresholds.
            report: Whether the results have a page, ``report.html``.

        Returns:
            list[Lesion]: In descending order of score.

        Raises:
            UserError: If the input is not a CT volume, or not one that the detector was trained
                for, the lung mask belongs to another volume, no lungs are detected, or the results
                cannot be written.
        """
        if lungs is not None and 'lungs' not in self.preparation:
            raise UserError('the detector was not trained on lungs: leave their mask out')
        if out_dir is not None:
            check_out_dir(out_dir)
        score_thr = self.score_thr if pred_score_thr is None else pred_score_thr
        volume = CTVolume(_read(inputs, series))
        check_scan(volume, self.model.dataset_meta.get('trained_on', {}), self.any_scan)
        digest = None if isinstance(inputs, sitk.Image) else volume_digest(inputs)
        trim_freed_memory()  # ITK reads some files into a buffer of their size
        if self.takes_volumes:
            found = self._detect_spheres(volume, lungs, batch_size)
        else:
            found = self._detect_stacks(volume, batch_size, iou_thr)
        found = found.at_least(score_thr)
        lesions = describe_lesions(
            volume,
            found.boxes,
            found.scores,
            found.labels,
            self.classes,
            self.box_margin,
            found.segments,
        )
        if out_dir is not None:
            trim_freed_memory()  # the label map is large, too
            detector = self.describe_run(score_thr, iou_thr, lungs)
            provenance = dict(source=_name(inputs), source_digest=digest, detector=detector)
            write_lesions(
                out_dir, volume, lesions, provenance, max_overlays, self.show_progress, report
            )
        return lesions

    def describe_run(
        self, score_thr: float | None, iou_thr: float, lungs: str | Path | sitk.Image | None
    ) -> dict:
        """Return the detector and its options as the results name them.

        Digests are SHA-256: of the config with its overrides, and of the checkpoint's content.
        """
        return dict(
            self.sources,
            score_thr=self.score_thr if score_thr is None else score_thr,
            iou_thr=None if self.takes_volumes else iou_thr,
            box_margin_mm=self.box_margin,
            preparation=self.preparation,
            lungs=lungs if lungs is None else _name(lungs),
        )

    def _detect_spheres(
        self,
        volume: CTVolume,
        lungs: str | Path | sitk.Image | None,
        batch_size: int | None,
    ) -> FoundLesions:
        """Return the boxes around the spheres of a volumetric detector."""
        prepared = prepare_volume(volume, self.preparation, lungs)
        with self.speed.applied(self.model):
            found = detect_volume(
                self.model, self.pipeline, prepared, batch_size, self.show_progress
            )
        # from z, y, x of the grid to x, y, z
        boxes = reverse_axes(volume.grid.boxes_around(found.spheres))
        return FoundLesions(boxes, found.scores, found.labels)

    def _detect_stacks(
        self, volume: CTVolume, batch_size: int | None, iou_thr: float
    ) -> FoundLesions:
        """Return the stacked boxes of a slice-based detector, with their segments by slice."""
        found = self.detect_slices(volume, batch_size or SLICE_BATCH, LINK_SCORE_THR)
        boxes, scores, labels, lesion_of = stack_boxes(
            found.boxes,
            found.scores,
            found.slices,
            found.labels,
            iou_thr=iou_thr,
            grid_steps=self._grid_steps(volume),
        )
        # Of each 3D box the segments of its 2D boxes, by the index of their slice.
        segments: list[dict[int, Segment]] = [{} for _ in boxes]
        for lesion, position, segment in zip(lesion_of, found.slices.tolist(), found.segments):
            # the volume has no place for those between its slices
            if segment is not None and lesion >= 0 and position % 1 == 0:
                segments[lesion][int(position)] = segment
        return FoundLesions(boxes, scores, labels, segments)

    @torch.no_grad()
    def detect_slices(self, volume: CTVolume, batch_size: int, score_thr: float) -> SliceDetections:
        """Run the detector over the slices of a volume.

        Args:
            volume: The volume.
            batch_size: Slices per batch.
            score_thr: Boxes below this score are dropped.

        Returns:
            SliceDetections: By slices, and positions between them.
        """
        found: dict[float, SliceDetections] = {}
        steps = self._grid_steps(volume)
        positions = np.arange((len(volume.array) - 1) * steps + 1) / steps
        order = np.arange(len(positions))
        if self.feature_cache:
            order = chained_order(len(positions), self._sharing_distance(volume) * steps)
        bar = tqdm(total=len(positions), desc='slices', disable=not self.show_progress)
        with bar, shared_features(self.model, self.feature_cache), self.speed.applied(self.model):
            for indices, data in load_batches(volume, self.pipeline, positions[order], batch_size):
                for position, sample in zip(indices, self.model.test_step(data)):
                    found[position] = slice_detections(sample, position, score_thr)
                bar.update(len(indices))
        # back from the order of computation to that of the slices
        return SliceDetections.concat([found[position] for position in positions.tolist()])

    def _grid_steps(self, volume: CTVolume) -> int:
        return grid_steps(volume.spacing[2], self.max_interval)

    def _sharing_distance(self, volume: CTVolume) -> float:
        """Return the distance of key slices with features in common, in slices."""
        load = self.pipeline.transforms[0]
        # slices from one channel of the input to the next
        step = load.step(dict(slice_interval=volume.spacing[2]))
        return step * sharing_distance(self.model)


def volume_pipeline(pipeline: Sequence[dict]) -> list[dict]:
    """Convert a config's test pipeline to one that reads its slices from a volume in memory.

    Args:
        pipeline: Transforms that begin with ``LoadCTSlices``.

    Returns:
        list[dict]: The same with ``LoadCTSlicesFromVolume`` and without annotations.

    Raises:
        UserError: If the pipeline loads something other than CT slices.
    """
    steps = [step for step in pipeline if 'LoadAnnotations' not in step['type']]
    steps = copy.deepcopy(steps)
    if not steps or steps[0]['type'].split('.')[-1] != 'LoadCTSlices':
        raise UserError(
            'the test pipeline of the config does not begin with LoadCTSlices or LoadVolume: give '
            'the config of a detector of CT slices or volumes'
        )
    steps[0]['type'] = 'LoadCTSlicesFromVolume'
    return steps


def check_scan(volume: CTVolume, trained_on: Mapping, any_scan: bool = False) -> None:
    """Check that a volume's slices are like those that a detector was trained on.

    A detector of small windows around lesions has never seen the rest of a body, and one of
    nodules of so many px finds no others.

    Args:
        volume: The volume.
        trained_on: ``trained_on`` in the ``metainfo`` of the config's dataset: with
            ``max_size``, the longest side of its slices in px, and ``spacing``, the least and the
            largest mm per px. Nothing is checked that it does not have.
        any_scan: Whether to warn instead of refusing.

    Raises:
        UserError: If the slices are larger, or the pixels smaller or larger by more than a tenth.
    """
    sides, spacing = volume.array.shape[1:], volume.spacing[:2]
    problems = []
    if max(sides) > trained_on.get('max_size', np.inf):
        problems.append(
            f'windows of {trained_on["max_size"]} px, not slices of {sides[1]} x {sides[0]} px'
        )
    low, high = trained_on.get('spacing', (0, np.inf))
    if min(spacing) < 0.9 * low or max(spacing) > 1.1 * high:
        problems.append(f'pixels of {low:g} to {high:g} mm, not of {max(spacing):.2f} mm')
    if not problems:
        return
    trained = f'the detector was trained on {" and on ".join(problems)}'
    if not any_scan:
        raise UserError(
            f'{trained}: most of what it finds there may be false. To see it all the same, give '
            '--any-scan'
        )
    _LOGGER.warning('%s: most of what it finds here may be false', trained)


def _name(inputs: str | Path | sitk.Image) -> str:
    return 'SimpleITK image' if isinstance(inputs, sitk.Image) else str(inputs)


def _file_digest(path: str | Path | None) -> str | None:
    """Return the SHA-256 of a file; None for the address of a download."""
    if path is None or not osp.isfile(osp.expanduser(path)):
        return None
    return sha256(Path(path).expanduser().read_bytes()).hexdigest()


def _read(inputs: str | Path | sitk.Image, series: str | None) -> sitk.Image:
    if not isinstance(inputs, sitk.Image):
        return read_ct(inputs, series)
    check_ct(inputs, 'the image given')
    return inputs


def load_detector(cfg: Config, weights: str | Path | None, device: str) -> BaseDetector:
    """Build a detector for inference.

    Args:
        cfg: The detector's config.
        weights: A checkpoint, which must have every parameter; None warns and
            leaves random ones.
        device: As in :class:`torch.device`.

    Returns:
        BaseDetector: The detector, in evaluation mode, with the class names of the config's test
        dataset.

    Raises:
        UserError: If the checkpoint does not fit the config, or the device cannot be used.
    """
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    if not isinstance(cfg.get('model'), dict):
        raise UserError('the config has no model: give the config of a detector')
    model = revert_sync_batchnorm(MODELS.build(cfg.model)).eval()
    # lazy: the classes come without reading the annotation file, which need not be there
    dataset = dict(copy.deepcopy(cfg.test_dataloader.dataset), lazy_init=True)
    model.dataset_meta = DATASETS.build(dataset).metainfo
    if weights is None:
        warnings.warn('no weights were given: the detector is randomly initialized', stacklevel=3)
    else:
        _load_weights(model, str(weights))
    check_scores(model)
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f'cannot use the device {device!r} ({reason}): try --device cpu') from error


def _load_weights(model: nn.Module, weights: str) -> None:
    """Load a checkpoint; reject one with missing parameters, which would silently stay random."""
    if '://' not in weights and not osp.isfile(osp.expanduser(weights)):
        raise UserError(
            f'the checkpoint {weights} does not exist: give a .pth file from a training'
        )
    checkpoint = CheckpointLoader.load_checkpoint(weights, map_location='cpu')
    check_fit(model, checkpoint, weights)
    model.load_state_dict(checkpoint.get('state_dict', checkpoint), strict=False)
