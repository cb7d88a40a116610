"""Overlap calculator for spheres."""

from __future__ import annotations

from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor

from mmlesion.structures.spheres import SphereBoxes, check_shape, sphere_overlaps


@TASK_UTILS.register_module()
class SphereOverlaps3D:
    """Overlaps of spheres for mmdet's assigners (3D Aggregated Faster R-CNN).

    The paper does not specify the shape for its IoU: cubes are assumed, like the boxes of
    detectors.

    Args:
        mode: ``'cube'``, overlaps of the bounding cubes, or ``'sphere'``, of the spheres
            themselves. Defaults to ``'cube'``.

    Raises:
        OptionError: If ``mode`` is neither.
    """

    def __init__(self, mode: str = 'cube') -> None:
        check_shape('mode', mode, self)
        self.mode = mode

    def __call__(
        self,
        bboxes1: Tensor | SphereBoxes,
        bboxes2: Tensor | SphereBoxes,
        mode: str = 'iou',
        is_aligned: bool = False,
    ) -> Tensor:
        """Measure overlaps.

        Args:
            bboxes1: (m, 4) z, y, x, diameter.
            bboxes2: (n, 4).
            mode: ``'iou'`` or ``'iof'``, over the volume of the first. Defaults to ``'iou'``.
            is_aligned: Whether spheres of the same row are measured. Defaults to False.

        Returns:
            Tensor: (m, n), or (m,) if aligned.
        """
        # mmdet's assigners pass what the generator and the dataset made: tensors or box types
        bboxes1, bboxes2 = get_box_tensor(bboxes1), get_box_tensor(bboxes2)
        return sphere_overlaps(bboxes1, bboxes2, mode, is_aligned, shape=self.mode)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(mode={self.mode!r})'
