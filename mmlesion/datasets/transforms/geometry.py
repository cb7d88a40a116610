"""Geometric transforms of slices: spacing, border clipping and affine augmentation."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.datasets.transforms import RandomAffine, Resize
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes, autocast_box_type
from mmdet.structures.mask import BitmapMasks

from mmlesion.structures.boxes import body_box
from mmlesion.utils import OptionError, UserError


@TRANSFORMS.register_module()
class NormalizeSpacing(Resize):
    """Resize slices in-plane to a fixed spacing in mm/px, so that lesion sizes are in mm.

    It sets ``scale_factor`` as mmdet's ``Resize`` does, so predictions come back in the original
    image's pixels; as there, a pipeline has one resize. ``spacing`` stays the original image's.

    Required Keys:

    - img
    - spacing: [x, y] mm/px
    - gt_bboxes, gt_masks (optional)

    Args:
        spacing: mm/px. Defaults to 0.8 (LENS, section VI-A).
        ratio_range: Least and largest factor on the size, drawn at random for each
            sample. Defaults to (1.0, 1.0); LENS trains with (0.8, 1.2).
        max_size: Images whose longer side would have more px are shrunk to it, to
            a coarser spacing; 512 in MULAN's config. Defaults to None, no limit.
        clip_object_border: Whether to clip boxes to the image. Defaults to True.
        interpolation: As in mmdet's ``Resize``. Defaults to 'bilinear'.

    Raises:
        UserError: If a sample has no positive spacing.
    """

    def __init__(
        self,
        spacing: float = 0.8,
        ratio_range: tuple[float, float] = (1.0, 1.0),
        clip_object_border: bool = True,
        interpolation: str = 'bilinear',
        max_size: int | None = None,
    ) -> None:
        if spacing <= 0:
            raise OptionError(f'spacing must be positive, but got {spacing} mm/px', self)
        if not 0 < ratio_range[0] <= ratio_range[1]:
            raise OptionError(f'ratio_range {ratio_range} must be positive and ascending', self)
        super().__init__(
            scale_factor=1.0, clip_object_border=clip_object_border, interpolation=interpolation
        )
        self.spacing = spacing
        self.ratio_range = ratio_range
        self.max_size = max_size

    @cache_randomness
    def _random_ratio(self) -> float:
        low, high = self.ratio_range
        return np.random.uniform(low, high)

    def transform(self, results: dict) -> dict:
        """Resize the image and its annotations.

        Args:
            results: A sample.

        Returns:
            dict: The resized sample.
        """
        original = results.get('spacing')
        if original is None or min(original) <= 0:
            raise UserError(
                f'{results.get("img_path")}: spacing {original} is not [x, y] in mm/px: correct '
                'the annotation file, or use Resize instead of NormalizeSpacing'
            )
        # px of the resized image per px of the original one, along x and y
        ratio = self._random_ratio()
        scale = np.array(original) * ratio / self.spacing
        if self.max_size is not None:
            height, width = results['img'].shape[:2]
            scale *= min(1, self.max_size / (scale * (width, height)).max())
        self.scale_factor = tuple(scale.tolist())
        return super().transform(results)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(spacing={self.spacing}, ratio_range={self.ratio_range}, '
            f'clip_object_border={self.clip_object_border}, '
            f'interpolation={self.interpolation!r}, max_size={self.max_size})'
        )


@TRANSFORMS.register_module()
class ClipBlackBorder(BaseTransform):
    """Crop the air and the black frame around the body (LENS, section VI-A: for speed).

    The image is cropped to the bounding rectangle of all parts of the middle slice that are denser
    than ``threshold`` and thicker than 5 px, plus ``margin`` px. Use it before any resize. mmdet
    maps predictions back only to the clipped image, whose shape becomes ``ori_shape``;
    :func:`mmlesion.structures.to_original_frame` maps them to the original image.

    Required Keys:

    - img: (H, W, C)
    - gt_bboxes, gt_bboxes_labels, gt_ignore_flags, gt_masks (optional)

    Added Keys:

    - border_offset: (x, y) px of the original image that were cut off at the left and top
    - homography_matrix

    Modified Keys:

    - img, img_shape, ori_shape, gt_bboxes, gt_masks

    Args:
        threshold: In the image's unit: HU when put before ``WindowHU``. Defaults to -800.
        margin: px. Defaults to 10.
    """

    def __init__(self, threshold: float = -800.0, margin: int = 10) -> None:
        self.threshold = threshold
        self.margin = margin

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Crop the image and its annotations.

        Args:
            results: A sample.

        Returns:
            dict: The cropped sample.
        """
        # mmdet takes the crop for the original image: see to_original_frame for the way back
        x1, y1, x2, y2 = self._content(results['img'])
        results['img'] = np.ascontiguousarray(results['img'][y1:y2, x1:x2])
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        results['border_offset'] = (x1, y1)
        # px x of the image is px x - x1 of its crop, and likewise y
        _record(results, np.array([[1, 0, -x1], [0, 1, -y1], [0, 0, 1]], np.float32))
        if results.get('gt_masks') is not None:
            results['gt_masks'] = results['gt_masks'].crop(np.array([x1, y1, x2, y2]))
        if results.get('gt_bboxes') is not None:
            results['gt_bboxes'].translate_((-x1, -y1))
            _keep_visible(results)
        return results

    def _content(self, img: np.ndarray) -> tuple[int, int, int, int]:
        """Return the bounding rectangle x1, y1, x2, y2 of everything that is not air."""
        height, width = img.shape[:2]
        slices = img.reshape(height, width, -1)
        middle = slices[..., slices.shape[-1] // 2]
        return body_box(middle, self.threshold, self.margin)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(threshold={self.threshold}, margin={self.margin})'


@TRANSFORMS.register_module()
class RandomCTAffine(RandomAffine):
    """Rotate, shear, scale and shift slices at random, with their boxes and masks.

    As mmdet's ``RandomAffine``, with what CT needs: any number of channels, masks, air beyond the
    border, and rotation about the image's center. A box becomes the bounding box of its
    transformed corners, with a mask or without, so that an ablation's rows with and without masks
    learn the same boxes. The defaults are the improved RetinaNet's (section 3.1): 0.1 rad and 10 %;
    one factor scales x and y.

    Required Keys:

    - img: (H, W, C)
    - gt_bboxes, gt_bboxes_labels, gt_ignore_flags, gt_masks (optional)

    Modified Keys: all of these; instances that leave the image are dropped.

    Added Keys:

    - homography_matrix

    Args:
        max_rotate_degree: Defaults to 5.73 (0.1 rad).
        max_translate_ratio: Fraction of the image's size. Defaults to 0.1.
        max_translate_px: Shift by whole px in x and y, after everything else. Defaults to 0.
        fit_boxes_to_masks: Whether a box with a mask is reduced on each side by the margin
            between the mask and its own transformed bounding box, which preserves the box's margin
            around the lesion, and removed if its mask is outside the image. Defaults to False.
        scaling_ratio_range: Defaults to (0.9, 1.1).
        max_shear_degree: Defaults to 5.73 (0.1 rad).
        border_val: Value beyond the border. Defaults to None, the image's
            lowest value, which is air before and after ``WindowHU``.
        bbox_clip_border: Whether to clip boxes to the image. Defaults to True.
    """

    def __init__(
        self,
        max_rotate_degree: float = 5.73,
        max_translate_ratio: float = 0.1,
        scaling_ratio_range: tuple[float, float] = (0.9, 1.1),
        max_shear_degree: float = 5.73,
        border_val: float | None = None,
        bbox_clip_border: bool = True,
        max_translate_px: int = 0,
        fit_boxes_to_masks: bool = False,
    ) -> None:
        super().__init__(
            max_rotate_degree=max_rotate_degree,
            max_translate_ratio=max_translate_ratio,
            scaling_ratio_range=scaling_ratio_range,
            max_shear_degree=max_shear_degree,
            border_val=border_val,
            bbox_clip_border=bbox_clip_border,
        )
        self.max_translate_px = max_translate_px
        self.fit_boxes_to_masks = fit_boxes_to_masks

    @cache_randomness
    def _get_random_homography_matrix(self, height: int, width: int) -> np.ndarray:
        matrix = super()._get_random_homography_matrix(height, width)
        matrix = _about(matrix, width / 2, height / 2)
        reach = self.max_translate_px
        x, y = np.random.randint(-reach, reach + 1, 2) if reach else (0, 0)
        return self._get_translation_matrix(x, y) @ matrix

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Warp the image and its annotations.

        Args:
            results: A sample.

        Returns:
            dict: The warped sample.
        """
        img = results['img']
        height, width = img.shape[:2]
        matrix = self._get_random_homography_matrix(height, width)
        border = float(img.min()) if self.border_val is None else self.border_val
        results['img'] = warp_channels(img, matrix, border)
        _record(results, matrix)
        results['img_shape'] = results['img'].shape[:2]
        if results.get('gt_bboxes') is not None:
            self._warp_instances(results, matrix)
        return results

    def _warp_instances(self, results: dict, matrix: np.ndarray) -> None:
        boxes = results['gt_bboxes']
        boxes.project_(matrix)
        if (before := results.get('gt_masks')) is not None:
            masks = results['gt_masks'] = _warp_masks(before, matrix)
            if self.fit_boxes_to_masks:
                # each side keeps the distance from its mask that it had before the warp
                boxes.tensor += _mask_slack(before, masks, matrix)
                _keep(results, (masks.areas > 0) | (before.areas == 0))
        _keep_visible(results, self.bbox_clip_border)


def warp_channels(
    img: np.ndarray, matrix: np.ndarray, border: float, interpolation: int = cv2.INTER_LINEAR
) -> np.ndarray:
    """Warp an image with any number of channels (OpenCV fills the border of at most four).

    Args:
        img: (H, W, C) or (H, W).
        matrix: (3, 3) map of px coordinates in which the first px covers 0 to 1.
        border: Value beyond the border.
        interpolation: OpenCV's flag. Defaults to cv2.INTER_LINEAR.

    Returns:
        ndarray: (H, W, C).
    """
    height, width = img.shape[:2]
    img = img.reshape(height, width, -1)
    # OpenCV counts px from the first one's center.
    matrix = _about(matrix, -0.5, -0.5)[:2]
    warp = functools.partial(
        cv2.warpAffine,
        M=matrix,
        dsize=(width, height),
        flags=interpolation,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(border,) * 4,
    )
    # groups of at most four channels
    firsts = range(0, img.shape[-1], 4)
    return np.dstack([warp(np.ascontiguousarray(img[..., i : i + 4])) for i in firsts])


def _record(results: dict, matrix: np.ndarray) -> None:
    """Record a map of px coordinates, as mmdet's transforms do."""
    results['homography_matrix'] = matrix @ results.get('homography_matrix', np.eye(3))


def _about(matrix: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return the map that applies ``matrix`` about the point (x, y) instead of the origin."""
    shift = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)
    return shift @ matrix @ np.linalg.inv(shift)


def _warp_masks(masks: BitmapMasks, matrix: np.ndarray) -> BitmapMasks:
    height, width = masks.height, masks.width
    if len(masks) == 0:
        return BitmapMasks(np.zeros((0, height, width), np.uint8), height, width)
    # masks as channels of one image, and back
    stack = masks.to_ndarray().astype(np.uint8).transpose(1, 2, 0)
    warped = warp_channels(stack, matrix, 0, cv2.INTER_NEAREST)
    return BitmapMasks(np.ascontiguousarray(warped.transpose(2, 0, 1)), height, width)


def _mask_slack(before: BitmapMasks, after: BitmapMasks, matrix: np.ndarray) -> torch.Tensor:
    """Return the margins (n, 4) in px between warped masks and their warped bounding boxes.

    Zero where a mask is empty or has left the image.
    """
    projected = HorizontalBoxes.from_instance_masks(before)
    projected.project_(matrix)
    slack = HorizontalBoxes.from_instance_masks(after).tensor - projected.tensor
    # x1, y1 are at least 0, x2, y2 at most 0 where the mask is within its warped box
    slack[after.areas == 0] = 0
    return slack


def _keep_visible(results: dict, clip: bool = True) -> None:
    """Drop instances outside the image, and clip the boxes of the others to it."""
    boxes = results['gt_bboxes']
    _keep(results, boxes.is_inside(results['img_shape']).numpy())
    if clip:
        results['gt_bboxes'].clip_(results['img_shape'])


def _keep(results: dict, kept: np.ndarray) -> None:
    for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags', 'gt_masks'):
        if results.get(key) is not None:
            results[key] = results[key][kept]
