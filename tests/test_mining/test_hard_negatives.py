import numpy as np
import pytest

from mmlesion.mining import label_tracklets, label_volume
from mmlesion.mining.hard_negatives import LEFT_OUT
from mmlesion.structures import SliceBoxes, SliceSeries


def boxes(*rows):
    """Of slice, x1, y1, x2, y2 and score."""
    rows = np.array(rows, float).reshape(-1, 6)
    return SliceBoxes(rows[:, 1:5], rows[:, 0].astype(int), rows[:, 5])


LESION = boxes([5, 0, 0, 10, 10, 1])


def beside(overlap, slice_number=5):
    """A box as large as the lesion, of 10 px, with that IoU."""
    shift = 10 * (1 - overlap) / (1 + overlap)
    return [slice_number, shift, 0, shift + 10, 10, 0.9]


@pytest.mark.parametrize(
    'overlap, label', [(0.51, 1), (0.49, LEFT_OUT), (0.31, LEFT_OUT), (0.29, 0), (0.0, 0)]
)
def test_by_the_overlap(overlap, label):
    found = label_tracklets(boxes(beside(overlap)), np.array([0]), LESION, LESION)
    assert found.tolist() == [label]


def test_right_on_a_threshold_it_is_neither():
    half = boxes([5, 0, 0, 10, 5, 0.9])
    assert label_tracklets(half, np.array([0]), LESION, LESION).tolist() == [LEFT_OUT]
    third = boxes([5, 0, 0, 10, 3, 0.9])
    background_iou_thr = 3 / 10
    found = label_tracklets(
        third, np.array([0]), LESION, LESION, background_iou_thr=background_iou_thr
    )
    assert found.tolist() == [LEFT_OUT]


def test_any_box_of_a_tracklet_counts_on_the_annotations_slice_alone():
    proposals = boxes(beside(0.0, 4), beside(0.9), beside(1.0, 6), beside(0.1, 5))
    found = label_tracklets(proposals, np.array([0, 0, 1, 2]), LESION, LESION)
    assert found.tolist() == [1, 0, 0]


def test_uncertain_and_noisy_ones_are_neither():
    found = label_tracklets(boxes(beside(0.9)), np.array([0]), SliceBoxes.empty(), LESION)
    assert found.tolist() == [LEFT_OUT]
    found = label_tracklets(boxes(beside(0.9)), np.array([0]), SliceBoxes.empty(), boxes())
    assert found.tolist() == [0]
    assert label_tracklets(boxes(), np.zeros(0, int), LESION, LESION).tolist() == []


def annotation(image_id, bbox, **extra):
    return dict(image_id=image_id, bbox=bbox, category_id=1, **extra)


@pytest.fixture
def volume():
    """Slices 1 to 4 and 8 to 9, with an annotated, a mined and an uncertain box."""
    numbers = np.array([1, 2, 3, 4, 8, 9])
    files = [f'000001_01_01/{number:03d}.png' for number in numbers]
    images = {2: dict(id=12, file_name=files[1]), 9: dict(id=19, file_name=files[5])}
    lesions = [
        annotation(12, [10, 10, 20, 20]),
        annotation(19, [40, 40, 10, 10], source='propagation', score=0.7),
        annotation(19, [70, 70, 10, 10], source='cross_dataset', ignore=1),
    ]
    return SliceSeries('000001_01_01', numbers, files, images, lesions)


def test_a_volume_is_stacked_and_labeled(volume):
    proposals = boxes(
        [1, 10, 10, 30, 30, 0.5],
        [2, 12, 10, 32, 30, 0.5],
        [3, 10, 10, 30, 30, 0.2],
        [4, 60, 60, 66, 66, 0.3],
        [8, 60, 60, 66, 66, 0.6],  # after a gap it is another
        [9, 40, 40, 50, 50, 0.4],
        [9, 70, 70, 80, 80, 0.8],
    )
    found = label_volume(volume, proposals)
    first, last = '000001_01_01_001-004', '000001_01_01_008-009'
    assert list(found) == [first, last]
    mean = (10 * 0.5 + 12 * 0.5 + 10 * 0.2) / 1.2
    lesion, false_positive = found[first]
    assert lesion == pytest.approx([mean, 10, 1, mean + 19, 29, 3, 0.5, 1])
    assert false_positive == [60, 60, 4, 65, 65, 4, 0.3, 0]
    # the uncertain one is not there
    assert found[last] == [[60, 60, 8, 65, 65, 8, 0.6, 0], [40, 40, 9, 49, 49, 9, 0.4, 1]]
    strict = label_volume(volume, proposals, iou_thr=0.95)
    assert sorted(row[-1] for row in strict[first]) == [0, 0, 0]


def test_without_proposals_there_is_nothing(volume):
    assert list(label_volume(volume, boxes()).values()) == [[], []]
