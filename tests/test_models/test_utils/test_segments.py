import numpy as np
import torch
from scipy import ndimage

from mmlesion.models.utils import label_segments, overlap_with_segments


def test_boxes_around_segments():
    probability = torch.zeros(20, 30)
    probability[2:5, 3:9] = 0.9
    probability[5, 9] = 0.6  # a diagonal neighbor belongs to it
    probability[10:14, 20] = 0.51
    probability[17:, 0:2] = 0.5  # not above
    expected = [[3, 2, 10, 6], [20, 10, 21, 14]]
    assert label_segments(probability)[1].tolist() == expected
    assert label_segments(probability, padding=5)[1].tolist() == [[-2, -3, 15, 11], [15, 5, 26, 19]]
    assert label_segments(torch.zeros(4, 4))[1].shape == (0, 4)
    assert label_segments(torch.ones(4, 6))[1].tolist() == [[0, 0, 6, 4]]
    numbers, boxes = label_segments(torch.zeros(0, 0))
    assert numbers.shape == (0, 0) and boxes.shape == (0, 4)


def test_boxes_against_scipy():
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(64, 48)), 2)
    probability = torch.from_numpy((noise > 0.05).astype(np.float32))
    labels, count = ndimage.label(probability.numpy(), structure=np.ones((3, 3)))
    expected = {(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels)}
    numbers, found = label_segments(probability)
    assert count > 5 and {tuple(box) for box in found.int().tolist()} == expected
    for number, (x1, y1, x2, y2) in enumerate(found.int().tolist(), 1):
        rows, columns = np.nonzero(numbers.numpy() == number)
        assert (columns.min(), rows.min(), columns.max(), rows.max()) == (x1, y1, x2 - 1, y2 - 1)
    assert torch.equal(numbers > 0, probability > 0.5)


def test_a_detection_meets_the_segment_of_the_largest_iou():
    segments = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [21, 1, 29, 9]])
    bboxes = torch.tensor([[5.0, 0, 15, 10], [20, 0, 30, 11], [10, 0, 20, 10], [21, 1, 29, 10]])
    ious, numbers = overlap_with_segments(bboxes, segments)
    assert numbers.tolist() == [1, 2, 0, 3], 'boxes that only touch do not meet'
    np.testing.assert_allclose(ious, [50 / 150, 100 / 110, 0, 64 / 72], rtol=1e-6)
    for detections in (0, 2):
        ious, numbers = overlap_with_segments(bboxes[:detections], torch.zeros(0, 4))
        assert ious.tolist() == numbers.tolist() == [0] * detections
    assert overlap_with_segments(bboxes[:0], segments)[1].shape == (0,)
