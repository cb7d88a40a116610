"""Lesion masks as targets of dense supervision."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes

from mmlesion.structures import usable_segmentation


@TRANSFORMS.register_module()
class LoadLesionAnnotations(LoadAnnotations):
    """mmdet's ``LoadAnnotations`` for datasets in which some lesions have no mask.

    A lesion without ``segmentation``, or with an empty one such as the ``[[]]`` of published files,
    gets an empty mask; its box remains a training target, whereas mmdet's transform would ignore
    it. Keys are those of mmdet's ``LoadAnnotations``.

    Args:
        *args: Those of mmdet's ``LoadAnnotations``.
        ignore_unmasked: Whether a lesion without a mask is ignored nevertheless, neither
            a target nor background: a mask head would learn its empty mask. Defaults to False.
        **kwargs: Those of mmdet's ``LoadAnnotations``, which rejects unknown ones.
    """

    def __init__(self, *args: Any, ignore_unmasked: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ignore_unmasked = ignore_unmasked

    def _process_masks(self, results: dict) -> None:
        height, width = results['ori_shape']
        # uncompressed RLE of a single run of background
        empty = dict(size=[height, width], counts=[height * width])
        for instance in results.get('instances', []):
            mask = usable_segmentation(instance.get('mask'))
            if mask is None and self.ignore_unmasked:
                instance['ignore_flag'] = 1
            instance['mask'] = mask or empty
        return super()._process_masks(results)


@TRANSFORMS.register_module()
class LesionMasksToSegMap(BaseTransform):
    """Merge masks into the target of dense supervision (improved RetinaNet, section 2.2).

    The px of masks are 1, unknown px are ``ignore_index`` (in the boxes of ignored lesions and of
    lesions with an empty mask), and all others are 0. Use it after all geometric transforms;
    ``PackDetInputs`` converts the map to ``gt_sem_seg``.

    Required Keys:

    - img_shape
    - gt_bboxes, gt_ignore_flags
    - gt_masks (BitmapMasks)

    Added Keys:

    - gt_seg_map (np.uint8): (H, W)
    - ignore_index

    Args:
        ignore_index: Defaults to 255.
    """

    def __init__(self, ignore_index: int = 255) -> None:
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Create the map.

        Args:
            results: A sample.

        Returns:
            dict: The sample with ``gt_seg_map``.
        """
        masks = results['gt_masks'].to_ndarray().astype(bool)
        masked = masks.any(axis=(1, 2)) & ~results['gt_ignore_flags']
        seg_map = np.zeros(results['img_shape'][:2], np.uint8)
        for x1, y1, x2, y2 in _covered_pixels(results['gt_bboxes'][~masked]):
            seg_map[y1:y2, x1:x2] = self.ignore_index
        # a mask is known also where an unmasked lesion's box reaches into it
        seg_map[masks[masked].any(axis=0)] = 1
        results['gt_seg_map'] = seg_map
        results['ignore_index'] = self.ignore_index
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(ignore_index={self.ignore_index})'


def _covered_pixels(boxes: HorizontalBoxes) -> np.ndarray:
    """Return integers (n, 4) x1, y1, x2, y2 of the px that boxes touch."""
    corners = boxes.tensor.numpy()
    low, high = np.floor(corners[:, :2]), np.ceil(corners[:, 2:])
    return np.concatenate([low, high], axis=1).clip(0).astype(int)
