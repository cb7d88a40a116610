"""Criteria for matches: overlap of boxes, or a center in a sphere; and the published protocols."""

from dataclasses import dataclass

import numpy as np

from mmlesion.utils import OptionError, check_range

from .froc import Protocol

OVERLAPS = ('iou', 'iobb', 'iogt', 'max')


def box_overlaps(
    boxes: np.ndarray, gts: np.ndarray, metric: str = 'iou', inclusive: bool = True
) -> np.ndarray:
    """Return the overlap of detected boxes with ground-truth boxes, in 2D or 3D.

    The arrays broadcast: equal shapes give pairwise overlaps, ``boxes[:, None]`` with ``gts[None]``
    gives the whole matrix.

    Args:
        boxes: (..., 4) x1, y1, x2, y2 or (..., 6) x1, y1, z1, x2, y2, z2, in px.
        gts: Likewise, the ground truth.
        metric: 'iou', intersection over union; 'iobb', over the detected box; 'iogt', over
            the ground truth; 'max', the greater of 'iobb' and 'iogt', the loosest of them.
        inclusive: Whether a box covers its last pixel too, so that its extent is
            ``x2 - x1 + 1``, as in the published DeepLesion and LENS programs.

    Returns:
        ndarray: (...) overlaps; NaN where a box without extent leaves 0 / 0.
    """
    boxes, gts = np.asarray(boxes, dtype=float), np.asarray(gts, dtype=float)
    dims = boxes.shape[-1] // 2
    extra = 1.0 if inclusive else 0.0
    # The order of these products and sums is that of the published programs, so that an overlap
    # which lies right on the threshold falls on the same side of it.
    inter = box_size = gt_size = np.ones(())
    for low, high in zip(range(dims), range(dims, 2 * dims)):
        end = np.minimum(boxes[..., high], gts[..., high])
        start = np.maximum(boxes[..., low], gts[..., low])
        inter = inter * np.maximum(end - start + extra, 0.0)
        box_size = box_size * (boxes[..., high] - boxes[..., low] + extra)
        gt_size = gt_size * (gts[..., high] - gts[..., low] + extra)
    return _ratio(inter, box_size, gt_size, metric)


def _ratio(inter: np.ndarray, box_size: np.ndarray, gt_size: np.ndarray, metric: str) -> np.ndarray:
    with np.errstate(divide='ignore', invalid='ignore'):
        if metric == 'iou':
            return inter / (box_size + gt_size - inter)
        if metric == 'iobb':
            return inter / box_size
        if metric == 'iogt':
            return inter / gt_size
        if metric == 'max':
            return np.maximum(inter / box_size, inter / gt_size)
    raise OptionError(f'overlap must be one of {OVERLAPS}, not {metric!r}')


def slice_overlaps(
    boxes: np.ndarray, gts: np.ndarray, metric: str = 'iou', inclusive: bool = True
) -> np.ndarray:
    """Return the overlap of 3D boxes with ground truth that is annotated on one slice only.

    Where the box covers the annotated slice it is the 2D overlap on it, elsewhere 0.

    Args:
        boxes: (..., 6) x1, y1, z1, x2, y2, z2 in px and slices.
        gts: (..., 6) likewise, with z1 = z2 the annotated slice.
        metric: See :func:`box_overlaps`.
        inclusive: See :func:`box_overlaps`.

    Returns:
        ndarray: (...) overlaps.
    """
    boxes, gts = np.asarray(boxes, dtype=float), np.asarray(gts, dtype=float)
    plane = [0, 1, 3, 4]  # x1, y1, x2, y2 of x1, y1, z1, x2, y2, z2
    covered = (boxes[..., 2] <= gts[..., 2]) & (gts[..., 2] <= boxes[..., 5])
    return covered * box_overlaps(boxes[..., plane], gts[..., plane], metric, inclusive)


@dataclass(frozen=True)
class OverlapCriterion:
    """A detected box matches a lesion if their overlap is at least ``threshold``.

    Args:
        metric: The overlap, see :func:`box_overlaps`.
        threshold: The least overlap that counts.
        inclusive: Whether extents include the last pixel.
        annotated_slice: Whether lesions are annotated on one slice of a 3D box.
    """

    metric: str = 'iou'
    threshold: float = 0.5
    inclusive: bool = True
    annotated_slice: bool = False

    def __post_init__(self) -> None:
        if self.metric not in OVERLAPS:
            raise OptionError(f'overlap must be one of {OVERLAPS}, not {self.metric!r}', self)
        check_range('the least overlap, threshold or iou_thr,', self.threshold, 0, 1)

    def __call__(self, boxes: np.ndarray, gts: np.ndarray) -> np.ndarray:
        """Return (n,) bool of n pairs: (n, 4 or 6) detected and (n, 4 or 6) ground-truth boxes."""
        overlaps = slice_overlaps if self.annotated_slice else box_overlaps
        return overlaps(boxes, gts, self.metric, self.inclusive) >= self.threshold


def center_in_sphere(centers: np.ndarray, spheres: np.ndarray) -> np.ndarray:
    """Return LUNA16's criterion: the mark is nearer to the nodule's center than its radius.

    Args:
        centers: (..., >=3) x, y, z of marks in mm; further columns are not used.
        spheres: (..., 4) x, y, z and diameter of nodules in mm.

    Returns:
        ndarray: (...) bool, False right on the sphere.
    """
    squared = (np.asarray(centers)[..., :3] - spheres[..., :3]) ** 2
    # Added in the order of LUNA16's program, which decides the last bit.
    distance = squared[..., 0] + squared[..., 1] + squared[..., 2]
    return distance < (spheres[..., 3] / 2) ** 2


PER_IMAGE_FP_RATES = (0.5, 1, 2, 3, 4, 8, 16)
PER_SCAN_FP_RATES = (0.125, 0.25, 0.5, 1, 2, 4, 8)


def deeplesion_protocol(overlap: str = 'iou', threshold: float = 0.5) -> Protocol:
    """Return the rules of the 3DCE and MULAN programs for 2D boxes on DeepLesion's key slices."""
    return Protocol(OverlapCriterion(overlap, threshold), PER_IMAGE_FP_RATES)


def lens_protocol(overlap: str = 'iobb', threshold: float = 0.3) -> Protocol:
    """Return the rules of LENS, section VI-C, for 3D boxes in DeepLesion's sub-volumes."""
    return Protocol(OverlapCriterion(overlap, threshold), PER_SCAN_FP_RATES)


def luna16_protocol() -> Protocol:
    """Return LUNA16's rules for marks: at most 100 per scan; a nodule's best mark counts."""
    return Protocol(center_in_sphere, PER_SCAN_FP_RATES, merge_ties=True, max_per_case=100)
