"""Detection on one slice of a series in a folder, such as DeepLesion's 16-bit PNG."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from mmdet.utils import get_test_pipeline_cfg
from mmengine.dataset import Compose, pseudo_collate

from ..structures import to_original_frame
from ..utils import UserError


def inference_slice(
    model: BaseDetector,
    path: str | Path,
    slice_interval: float | None = None,
    spacing: tuple[float, float] | None = None,
) -> DetDataSample:
    """Detect lesions on a slice; its neighbors are the numbered files beside it.

    As mmdet's ``inference_detector``, which reads 8-bit images, for the pipelines of CT slices.

    Args:
        model: Of mmdet's ``init_detector``.
        path: The slice, whose name is its number: ``000089_01_01/037.png``.
        slice_interval: Distance of the slices in mm; needed where the pipeline
            loads neighbors at a distance in mm. Defaults to None.
        spacing: x, y mm per px; needed for ``NormalizeSpacing``. Defaults
            to None.

    Returns:
        DetDataSample: ``pred_instances`` with boxes in px of the slice.

    Raises:
        UserError: If the file is missing, or something that the pipeline needs.
    """
    steps = get_test_pipeline_cfg(model.cfg)
    pipeline = Compose([step for step in steps if 'LoadAnnotations' not in step['type']])
    described = _describe(Path(path))
    if slice_interval is not None:
        described['slice_interval'] = float(slice_interval)
    if spacing is not None:
        described['spacing'] = list(spacing)
    with torch.no_grad():
        sample = model.test_step(pseudo_collate([pipeline(described)]))[0]
    found = sample.pred_instances
    found.bboxes = to_original_frame(found.bboxes, sample.metainfo)
    return sample


def _describe(path: Path) -> dict:
    """Return what a dataset would say of a slice: its number, and the first and last beside it."""
    number = re.fullmatch(r'\d+', path.stem)
    if not path.is_file() or number is None:
        raise UserError(f'{path} is no numbered slice, such as 000089_01_01/037.png: give the file')
    beside = [int(one.stem) for one in path.parent.glob(f'*{path.suffix}') if one.stem.isdigit()]
    index_range = [min(beside), max(beside)]
    return dict(
        img_id=0,
        img_path=str(path),
        slice_index=int(path.stem),
        slice_range=index_range,
        windows=[],
    )
