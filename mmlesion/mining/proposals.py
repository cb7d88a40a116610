"""Proposals of a detector and its experts on all slices of a volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmlesion.io.schema import CT_FIELDS, path_under
from mmlesion.structures import SliceBoxes, SliceSeries, grid_samples, to_original_frame
from mmlesion.utils import UserError

if TYPE_CHECKING:
    from mmdet.models.detectors import BaseDetector
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
        """Construct from the arrays of :func:`detect` in a :class:`VolumeStore`.

        Raises:
            UserError: If one is missing.
        """

        def read_boxes(group: str) -> SliceBoxes:
            if f'{group}_boxes' not in arrays:
                return SliceBoxes.empty()
            names = ('boxes', 'slices', 'scores')
            return SliceBoxes(**{name: arrays[f'{group}_{name}'] for name in names})

        expert = arrays.get('expert_index', np.zeros(0, int))
        steps = int(arrays.get('grid_steps', np.ones(1, int)).max(initial=1))
        try:
            return cls(read_boxes('pooled'), read_boxes('expert'), expert, steps)
        except KeyError as error:
            raise UserError(
                f'the results of a pass lack {error}: delete the work folder and run it again'
            ) from None


def slice_samples(
    volume: SliceSeries, root: Path | str, max_interval: float | None = None
) -> list[dict]:
    """Return pipeline inputs: one for each slice, and one for each position between slices.

    Args:
        volume: A series.
        root: The folder of the images.
        max_interval: mm, see :func:`~mmlesion.structures.grid_samples`. Defaults to None.
    """
    images = map(volume.image, range(len(volume.slices)))
    return grid_samples([pipeline_sample(image, root) for image in images], max_interval)


def pipeline_sample(image: dict, root: str | Path, instances: Sequence[dict] = ()) -> dict:
    """Return the pipeline input of a slice, as :class:`~mmlesion.datasets.CTSliceDataset` makes it.

    Args:
        image: A COCO image.
        root: The folder of the images.
        instances: mmdet's instances. Defaults to none.
    """
    names = list(CT_FIELDS) + ['height', 'width']
    sample = {key: image[key] for key in names if key in image}
    path = path_under(root, image['file_name'])
    return dict(sample, img_path=path, img_id=image.get('id'), instances=list(instances))


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
        detector has experts. Boxes are those of the original image, as annotations are.
    """

    def columns(group: str, instances: InstanceData, metainfo: Mapping) -> dict[str, np.ndarray]:
        found = instances[instances.scores >= score_thr]
        return {
            f'{group}_boxes': to_original_frame(found.bboxes, metainfo).cpu().numpy(),
            f'{group}_slices': np.full(len(found), metainfo['slice_index']),
            f'{group}_scores': found.scores.cpu().numpy(),
        }

    rows = []
    for sample in model.test_step(batch):
        arrays = columns('pooled', sample.pred_instances, sample.metainfo)
        arrays['grid_steps'] = np.full(1, sample.metainfo.get('grid_steps', 1))
        if 'expert_instances' in sample:
            own = sample.expert_instances
            arrays.update(columns('expert', own, sample.metainfo))
            arrays['expert_index'] = own.expert[own.scores >= score_thr].cpu().numpy()
        rows.append(arrays)
    return rows
