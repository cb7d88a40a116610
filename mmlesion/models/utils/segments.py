"""Segments of a map of lesion probability, and which of them a detection overlaps most.

Boxes are x1, y1, x2, y2 in px, and px n extends from n to n + 1.
"""

import cv2
import torch
from mmdet.structures.bbox import bbox_overlaps


def label_segments(
    probability: torch.Tensor, threshold: float = 0.5, padding: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Number the segments of a probability map, and box them.

    A segment is a connected part, diagonal neighbors included, of what exceeds the threshold.

    Args:
        probability: (H, W).
        threshold: Defaults to 0.5.
        padding: Added to each box on every side, px. Defaults to 0.

    Returns:
        tuple[Tensor, Tensor]: Numbers (H, W), int32, from 1, and 0 outside all segments; and the
        boxes (S, 4), float32, that of segment s in row s - 1.
    """
    mask = (probability > threshold).to(torch.uint8).cpu().numpy()
    if not mask.size:  # which OpenCV does not survive
        numbers = torch.zeros(mask.shape, dtype=torch.int32, device=probability.device)
        return numbers, probability.new_zeros((0, 4), dtype=torch.float32)
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    # x, y, width, height of each segment, the background's row left out -> x1, y1, x2, y2
    corners = torch.from_numpy(stats[1:, :4]).to(probability.device, torch.float32)
    corners[:, 2:] += corners[:, :2]
    corners[:, :2] -= padding
    corners[:, 2:] += padding
    return torch.from_numpy(numbers).to(probability.device), corners


def overlap_with_segments(
    bboxes: torch.Tensor, segments: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pair each detection with the segment whose box has the largest IoU with its own.

    Args:
        bboxes: (n, 4) detections.
        segments: (S, 4) boxes around the segments.

    Returns:
        tuple[Tensor, Tensor]: (n,) IoU and (n,) number of the segment, both 0 where a detection
        overlaps none.
    """
    if not len(segments):
        return bboxes.new_zeros(len(bboxes)), bboxes.new_zeros(len(bboxes), dtype=torch.long)
    ious, index = bbox_overlaps(bboxes, segments).max(dim=1)
    return ious, torch.where(ious > 0, index + 1, 0)
