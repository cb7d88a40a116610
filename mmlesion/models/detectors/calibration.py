"""Calibration of scores by the agreement of boxes and segments (paper 001, section 2.2).

Boxes are x1, y1, x2, y2 in px, and px n extends from n to n + 1.
"""

import cv2
import torch
from mmdet.structures.bbox import bbox_overlaps


def segment_boxes(probability, threshold=0.5, padding=0.0):
    """Box every segment of a probability map.

    A segment is a connected part, diagonal neighbours included, of what exceeds the threshold.

    Args:
        probability (Tensor): (H, W).
        threshold (float): Defaults to 0.5.
        padding (float): Added to each box on every side, px. Defaults to 0.

    Returns:
        Tensor: (S, 4), float32.
    """
    mask = (probability > threshold).to(torch.uint8).cpu().numpy()
    stats = cv2.connectedComponentsWithStats(mask, connectivity=8)[2]
    corners = torch.from_numpy(stats[1:, :4]).to(probability.device, torch.float32)  # 0 is no part
    corners[:, 2:] += corners[:, :2]
    corners[:, :2] -= padding
    corners[:, 2:] += padding
    return corners


def calibrated_scores(scores, bboxes, segments):
    """Raise scores to p * (1 + IoU).

    Args:
        scores (Tensor): (n,) probabilities p.
        bboxes (Tensor): (n, 4) detections.
        segments (Tensor): (S, 4) boxes around the segments; of those that a detection meets, the
            one with the largest IoU counts. Where it meets none, its score stays.

    Returns:
        Tensor: (n,), up to 2.
    """
    if not len(segments):
        return scores
    return scores * (1 + bbox_overlaps(bboxes, segments).max(dim=1).values)


def calibrate(instances, segments):
    """Calibrate detections and put them in order of their new scores.

    Args:
        instances (InstanceData): (n, 4) ``bboxes``, (n,) ``scores`` and whatever else.
        segments (Tensor): (S, 4) boxes around the segments, in the frame of ``bboxes``.

    Returns:
        InstanceData: The detections, the highest score first.
    """
    instances = instances.clone()
    instances.scores = calibrated_scores(instances.scores, instances.bboxes, segments)
    return instances[instances.scores.argsort(descending=True, stable=True)]
