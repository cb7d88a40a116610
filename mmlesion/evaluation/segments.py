"""The segments of detections, as COCO results."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmlesion.structures import Segment, cut_segments, encode_mask, measure_recist


def segment_results(sample: Mapping, image: Mapping) -> list[dict | None]:
    """Describe the segment of each detection.

    Args:
        sample: Predictions: ``pred_instances`` with (n,) ``segment_ids``, ``pred_sem_seg``
            with the (1, H, W) map ``segments``, as ``LesionRetinaNet`` has them, and
            ``border_offset`` where a border was clipped.
        image: The image of the annotation file: ``height``, ``width`` and ``spacing`` mm.

    Returns:
        list[dict | None]: For each detection ``segmentation``, the segment's RLE in the original
        image; ``recist``, x1, y1, ..., x4, y4 px; and ``diameters_mm``, long and short, where the
        image has its spacing. None where the detection has none.
    """
    segment_ids = sample['pred_instances']['segment_ids'].tolist()
    numbers = sample['pred_sem_seg']['segments'][0].cpu().numpy()
    segments = cut_segments(numbers, segment_ids, sample.get('border_offset', (0, 0)))
    described = {number: _describe(segment, image) for number, segment in segments.items()}
    return [described.get(number) for number in segment_ids]


def _describe(segment: Segment, image: Mapping) -> dict:
    # The RLE is of the whole image; the diameters need the cut-out and its corner alone.
    mask = np.zeros((image['height'], image['width']), bool)
    segment.paste(mask, True)
    spacing = image.get('spacing')
    recist = measure_recist(segment.mask, spacing or (1, 1), segment.corner)
    result = dict(
        segmentation=encode_mask(mask),
        recist=recist.points.ravel().round(3).tolist(),
    )
    if spacing:
        result['diameters_mm'] = np.round(recist.diameters_mm, 3).tolist()
    return result
