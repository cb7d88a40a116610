"""Proposals of a detector and its experts on all slices of a volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Callable, NamedTuple

import numpy as np

from mmlesion.io.schema import CT_FIELDS, path_under
from mmlesion.structures import SliceBoxes, SliceSeries, grid_samples, to_original_frame
from mmlesion.utils import UserError

if TYPE_CHECKING:
    from mmdet.models.detectors import BaseDetector
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData


class Proposals(NamedTuple):
    """2D boxes on the slices of a volume and between them, in px of its images.

    Args:
        pooled: n boxes after merging.
        experts: m boxes by each expert of LENS; empty for other detectors.
        expert: (m,) int, which expert's.
        grid_steps: Positions from a slice to the next. Defaults to 1, the slices alone.
    """

    pooled: SliceBoxes
    experts: SliceBoxes
    expert: np.ndarray
    grid_steps: int = 1

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Proposals:
        """Construct from the arrays of :func:`detect` in a :class:`VolumeStore`."""
        expert = arrays.get('expert_index', np.zeros(0, int))
        steps = int(arrays.get('grid_steps', np.ones(1, int)).max(initial=1))
        return cls(_read_boxes(arrays, 'pooled'), _read_boxes(arrays, 'expert'), expert, steps)


def _read_boxes(arrays: Mapping[str, np.ndarray], group: str) -> SliceBoxes:
    """Return the boxes of :func:`_columns`, or none if there are none of the group."""
    if f'{group}_boxes' not in arrays:
        return SliceBoxes.empty()
    try:
        return SliceBoxes(
            boxes=arrays[f'{group}_boxes'],
            slices=arrays[f'{group}_slices'],
            scores=arrays[f'{group}_scores'],
        )
    except KeyError as error:
        raise UserError(
            f'the results of a pass lack {error}: delete the work folder and run it again'
        ) from None


def slice_samples(
    volume: SliceSeries, root: Path | str, max_interval: float | None = None
) -> list[dict]:
    """Return the inputs of a test pipeline.

    Args:
        volume: A series.
        root: The folder of the images.
        max_interval: mm, see :func:`~mmlesion.structures.grid_samples`. Defaults
            to None.

    Returns:
        list[dict]: One for each slice, and one for each position between them.
    """
    indices = range(len(volume.slices))
    return grid_samples(
        [pipeline_sample(volume.image(index), root) for index in indices], max_interval
    )


def detect(model: BaseDetector, score_thr: float, batch: dict) -> list[dict[str, np.ndarray]]:
    """Run a detector over slices.

    Args:
        model: Any of mmdet; for a LENS with ``keep_experts`` the detections of
            its experts are returned, too.
        score_thr: Boxes below this score are dropped.
        batch: Collated outputs of a test pipeline, with ``slice_index`` and
            ``grid_steps`` among the meta keys.

    Returns:
        list[dict]: Arrays ``pooled_*`` and ``grid_steps`` of each slice, and ``expert_*`` if the
        detector has experts.
    """
    return [_arrays(sample, score_thr) for sample in model.test_step(batch)]


def _arrays(sample: DetDataSample, score_thr: float) -> dict[str, np.ndarray]:
    arrays = _columns('pooled', sample.pred_instances, sample.metainfo, score_thr)
    arrays['grid_steps'] = np.full(1, sample.metainfo.get('grid_steps', 1))
    if 'expert_instances' in sample:
        own = sample.expert_instances
        arrays.update(_columns('expert', own, sample.metainfo, score_thr))
        arrays['expert_index'] = own.expert[own.scores >= score_thr].cpu().numpy()
    return arrays


def _columns(
    group: str, instances: InstanceData, metainfo: Mapping, score_thr: float
) -> dict[str, np.ndarray]:
    # boxes of the original image, whose annotations they are compared with
    found = instances[instances.scores >= score_thr]
    slices = np.full(len(found), metainfo['slice_index'])
    boxes = to_original_frame(found.bboxes, metainfo).cpu().numpy()
    return {
        f'{group}_boxes': boxes,
        f'{group}_slices': slices,
        f'{group}_scores': found.scores.cpu().numpy(),
    }


def detection_steps(
    model: BaseDetector, root: Path | str, score_thr: float, max_interval: float | None = None
) -> dict[str, Callable]:
    """Return the model-specific steps of a :class:`VolumePass` for a detector.

    Args:
        model: A detector.
        root: The folder of the images.
        score_thr: Boxes below this score are dropped.
        max_interval: See :func:`slice_samples`. Defaults to None.

    Returns:
        dict: ``samples_of`` and ``predict``.
    """
    return dict(
        samples_of=partial(slice_samples, root=root, max_interval=max_interval),
        predict=partial(detect, model, score_thr),
    )


def pipeline_sample(image: dict, root: str | Path, instances: Sequence[dict] = ()) -> dict:
    """Return the sample of a slice that a pipeline takes.

    Args:
        image: A COCO image.
        root: The folder of the images.
        instances: mmdet's instances. Defaults to none.

    Returns:
        dict: As :class:`~mmlesion.datasets.CTSliceDataset` makes it.
    """
    names = list(CT_FIELDS) + ['height', 'width']
    sample = {key: image[key] for key in names if key in image}
    path = path_under(root, image['file_name'])
    return dict(sample, img_path=path, img_id=image.get('id'), instances=list(instances))
