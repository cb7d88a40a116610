import numpy as np
import torch
from scipy import ndimage

from mmlesion.structures import (
    Segment,
    clip_segment,
    cut_segments,
    label_segments,
    meet_segments,
    shares_in_boxes,
)


def test_boxes_around_segments():
    probability = torch.zeros(20, 30)
    probability[2:5, 3:9] = 0.9
    probability[5, 9] = 0.6  # a diagonal neighbour belongs to it
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
    ious, numbers = meet_segments(bboxes, segments)
    assert numbers.tolist() == [1, 2, 0, 3], 'boxes that only touch do not meet'
    np.testing.assert_allclose(ious, [50 / 150, 100 / 110, 0, 64 / 72], rtol=1e-6)
    for detections in (0, 2):
        ious, numbers = meet_segments(bboxes[:detections], torch.zeros(0, 4))
        assert ious.tolist() == numbers.tolist() == [0] * detections
    assert meet_segments(bboxes[:0], segments)[1].shape == (0,)


def test_cut_and_paste():
    numbers = np.zeros((8, 10), np.int32)
    numbers[1:4, 2:6] = 1
    numbers[2, 4:6] = 2  # in the box of the other
    numbers[5:7, 8:10] = 3
    segments = cut_segments(numbers, [2, 0, 1, 1], offset=(100, 50))
    assert segments.keys() == {1, 2}
    assert segments[1].corner == (102, 51) and segments[2].corner == (104, 52)
    assert segments[1].mask.sum() == 10 and segments[2].mask.tolist() == [[True, True]]
    image = np.zeros((60, 110), int)
    segments[1].paste(image, 7)
    np.testing.assert_array_equal(image[50:58, 100:], (numbers == 1) * 7)
    assert cut_segments(numbers, []) == {} and cut_segments(numbers * 0, [0]) == {}


def test_shares_in_boxes_against_counting_px():
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=(48, 64)), 2)
    numbers, count = ndimage.label(noise > 0.05)
    wanted = rng.integers(0, count + 1, 60)
    corners = np.sort(rng.uniform(-5, 70, (60, 2, 2)), axis=1)
    bboxes = corners.reshape(60, 4)
    y, x = np.indices(numbers.shape) + 0.5
    for share, number, (x1, y1, x2, y2) in zip(
        shares_in_boxes(numbers, wanted, bboxes), wanted, bboxes
    ):
        segment = (numbers == number) & (number > 0)
        inside = segment & (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
        assert share == inside.sum() / max(segment.sum(), 1)


def test_share_of_known_segments():
    numbers = np.zeros((10, 12), np.int32)
    numbers[2:4, 2:6] = 1  # 8 px
    bboxes = np.array([[2.0, 2, 6, 4], [3.6, 0, 9, 9], [2, 2, 3, 9], [8, 8, 9, 9], [2, 2, 6, 4]])
    assert shares_in_boxes(numbers, np.array([1, 1, 1, 1, 0]), bboxes).tolist() == [
        1.0,
        0.5,
        0.25,
        0.0,
        0.0,
    ]
    assert shares_in_boxes(numbers, np.zeros(0, int), np.zeros((0, 4))).shape == (0,)


def test_clip_to_the_px_with_centres_in_the_box():
    mask = np.ones((6, 8), bool)
    mask[0, 0] = False
    segment = Segment(mask, (10, 20))
    whole = clip_segment(segment, (0, 0, 50, 50))
    assert whole.corner == (10, 20) and (whole.mask == mask).all()
    # columns 12 (its centre is at 12.5) to 15, rows 18 to 22
    part = clip_segment(segment, (12.5, 18, 15.6, 22.6))
    assert part.corner == (12, 20) and part.mask.shape == (3, 4)
    assert clip_segment(segment, (9.0, 19, 11, 21)) is None, 'its only px is not of the segment'
    assert clip_segment(segment, (30, 20, 40, 30)) is None
    assert clip_segment(segment, (12.6, 20, 13.4, 30)) is None, 'no centre lies in it'
