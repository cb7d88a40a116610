import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmlesion.models.detectors.calibration import calibrate, calibrated_scores


def plain_scores(scores, bboxes, segments):
    """The formula, box by box."""
    out = []
    for score, (x1, y1, x2, y2) in zip(scores, bboxes):
        ious = [0.0]
        for u1, v1, u2, v2 in segments:
            common = max(min(x2, u2) - max(x1, u1), 0) * max(min(y2, v2) - max(y1, v1), 0)
            union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common
            ious.append(common / union)
        out.append(score * (1 + max(ious)))
    return out


def test_scores_by_the_formula():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (40, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(3, 30, (40, 2))], axis=1)
    scores = rng.uniform(size=30)
    expected = plain_scores(scores, boxes[:30], boxes[30:])
    found = calibrated_scores(*(torch.from_numpy(a) for a in (scores, boxes[:30], boxes[30:])))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_ranking_changes_as_the_formula_says():
    instances = InstanceData(
        bboxes=torch.tensor(
            [[0.0, 0, 10, 10], [40, 40, 50, 60], [40, 40, 60, 60], [20, 0, 30, 10]]
        ),
        scores=torch.tensor([0.9, 0.7, 0.6, 0.5]),
        labels=torch.tensor([0, 1, 2, 3]),
    )
    segments = torch.tensor([[40.0, 40, 60, 60], [20, 0, 30, 5]])
    found = calibrate(instances, segments)
    # IoUs 0, 1/2, 1, 1/2: scores 0.9, 1.05, 1.2, 0.75
    assert found.labels.tolist() == [2, 1, 0, 3]
    assert found.scores.tolist() == pytest.approx([1.2, 1.05, 0.9, 0.75], rel=1e-5)
    assert found.bboxes[0].tolist() == [40, 40, 60, 60]
    assert instances.scores.tolist() == pytest.approx([0.9, 0.7, 0.6, 0.5])


@pytest.mark.parametrize('detections', [0, 3])
def test_without_segments_or_detections(detections):
    instances = InstanceData(
        bboxes=torch.rand(detections, 4), scores=torch.linspace(1, 0.5, detections)
    )
    for segments in (torch.zeros(0, 4), torch.tensor([[100.0, 100, 120, 120]])):
        assert torch.equal(calibrate(instances, segments).scores, instances.scores)
