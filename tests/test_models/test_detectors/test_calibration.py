import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from scipy import ndimage

from mmlesion.models.detectors.calibration import calibrate, calibrated_scores, segment_boxes


def test_boxes_around_segments():
    probability = torch.zeros(20, 30)
    probability[2:5, 3:9] = 0.9
    probability[5, 9] = 0.6  # a diagonal neighbour belongs to it
    probability[10:14, 20] = 0.51
    probability[17:, 0:2] = 0.5  # not above
    expected = [[3, 2, 10, 6], [20, 10, 21, 14]]
    assert segment_boxes(probability).tolist() == expected
    assert segment_boxes(probability, padding=5).tolist() == [[-2, -3, 15, 11], [15, 5, 26, 19]]
    assert segment_boxes(torch.zeros(4, 4)).shape == (0, 4)
    assert segment_boxes(torch.ones(4, 6)).tolist() == [[0, 0, 6, 4]]


def test_boxes_against_scipy():
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(64, 48)), 2)
    probability = torch.from_numpy((noise > 0.05).astype(np.float32))
    labels, count = ndimage.label(probability.numpy(), structure=np.ones((3, 3)))
    expected = {(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels)}
    found = segment_boxes(probability)
    assert count > 5 and {tuple(box) for box in found.int().tolist()} == expected


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
