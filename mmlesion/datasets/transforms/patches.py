"""Lesion patches for training an embedding."""

from __future__ import annotations

import os.path as osp
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import autocast_box_type

from mmlesion.io.slices import slice_path
from mmlesion.structures.crops import crop_array

from .loading import LoadCTSlices


@TRANSFORMS.register_module()
class LoadNearbyCTSlices(LoadCTSlices):
    """:class:`LoadCTSlices` centered on a random slice of the same lesion.

    It creates further views of a lesion that is annotated on one slice. The slice lies at most
    ``reach`` times half the box's shorter side above or below the annotated one; the box stays.

    Required Keys: those of :class:`LoadCTSlices` and

    - instances: one, with ``bbox`` x1, y1, x2, y2 in px
    - spacing: [x, y] mm/px

    Args:
        reach: Defaults to 0.3, where a ball still has 95 % of the width on its middle
            slice.
        **kwargs: Those of :class:`LoadCTSlices`, which rejects unknown ones.
    """

    def __init__(self, reach: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reach = reach

    def transform(self, results: dict) -> dict:
        """Load a slice and its neighbors.

        Args:
            results: A sample.

        Returns:
            dict: The sample, of another slice.
        """
        x1, y1, x2, y2 = results['instances'][0]['bbox']
        radius = min(x2 - x1, y2 - y1) * results['spacing'][0] / 2  # mm
        # slices to move at most, up or down
        steps = int(self.reach * radius / results['slice_interval'])
        number = results['slice_index'] + np.random.randint(-steps, steps + 1)
        first, last = results['slice_range']
        number = int(np.clip(number, first, last))
        # a missing slice is replaced by the next one towards the annotated slice
        while number != results['slice_index'] and not osp.isfile(slice_path(results, number)):
            number += 1 if number < results['slice_index'] else -1
        results['img_path'] = slice_path(results, number)
        results['slice_index'] = number
        return super().transform(results)

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, reach={self.reach})'


@TRANSFORMS.register_module()
class CropLesionPatch(BaseTransform):
    """Crop a square around the center of the first box, padded with air.

    Required Keys:

    - img: (H, W, C)
    - gt_bboxes

    Modified Keys:

    - img, img_shape, gt_bboxes

    Args:
        size: Its side, px. Defaults to 120, which is 96 mm after ``NormalizeSpacing``.
    """

    def __init__(self, size: int = 120) -> None:
        self.size = size

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Crop the patch.

        Args:
            results: A sample.

        Returns:
            dict: Its patch.
        """
        img = results['img']
        x, y = results['gt_bboxes'].centers[0].round().int().tolist()
        # px of the image at the patch's upper left corner, which may lie beyond the image
        left, top = x - self.size // 2, y - self.size // 2
        # all channels, if the image has any
        start, size = (top, left, 0), (self.size, self.size, *img.shape[2:])
        patch = crop_array(img, start[: img.ndim], size, img.min())
        results['img'] = patch
        results['img_shape'] = patch.shape[:2]
        results['gt_bboxes'].translate_((-left, -top))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'
