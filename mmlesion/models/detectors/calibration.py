"""Calibration of scores by the agreement of boxes and segments (improved RetinaNet, section 2.2).

Boxes are x1, y1, x2, y2 in px, and px n extends from n to n + 1.
"""

from mmlesion.models.utils import meet_segments


def calibrated_scores(scores, bboxes, segments):
    """Calibrate scores as p * (1 + IoU).

    Args:
        scores (Tensor): (n,) probabilities p.
        bboxes (Tensor): (n, 4) detections.
        segments (Tensor): (S, 4) bounding boxes of the segments; the one with the largest IoU with
            a detection is used. Without overlap its score is not changed.

    Returns:
        Tensor: (n,), up to 2.
    """
    return scores * (1 + meet_segments(bboxes, segments)[0])


def calibrate(instances, segments):
    """Calibrate detections and sort them by their new scores.

    Args:
        instances (InstanceData): (n, 4) ``bboxes``, (n,) ``scores`` and whatever else.
        segments (Tensor): (S, 4) boxes around the segments, in the frame of ``bboxes``.

    Returns:
        InstanceData: The detections, the highest score first.
    """
    instances = instances.clone()
    instances.scores = calibrated_scores(instances.scores, instances.bboxes, segments)
    return instances[instances.scores.argsort(descending=True, stable=True)]
