import numpy as np
import pytest

from mmlesion.evaluation.merging import merge_detections
from mmlesion.structures import Detections


def detections(*rows):
    """Rows are item, x1, x2, score, label: boxes x1, 0, x2, 10."""
    rows = np.array(rows, float).reshape(-1, 5)
    boxes = np.column_stack([rows[:, 1], rows[:, 0] * 0, rows[:, 2], rows[:, 0] * 0 + 10])
    return Detections(rows[:, 0].astype(int), boxes, rows[:, 3], rows[:, 4].astype(int))


def same(boxes):
    return boxes


FIRST = detections((0, 0, 10, 0.9, 0), (1, 0, 10, 0.5, 0), (0, 50, 60, 0.4, 0))
SECOND = detections((0, 2, 12, 0.5, 0), (1, 0, 10, 0.7, 1), (2, 0, 10, 0.2, 0))


def test_union_and_intersection():
    both = merge_detections(FIRST, SECOND, same, 'intersection')
    assert both.case.tolist() == [0] and both.score.tolist() == pytest.approx([0.7])
    assert both.geometry.tolist() == [[1, 0, 11, 10]] and both.label.tolist() == [0]
    union = merge_detections(FIRST, SECOND, same)
    assert union.case.tolist() == [0, 0, 1, 1, 2]
    assert union.score.tolist() == pytest.approx([0.7, 0.4, 0.7, 0.5, 0.2])
    assert union.label.tolist() == [0, 0, 1, 0, 0], 'another class is another lesion'


def test_pairs_have_the_largest_sum_of_overlaps():
    """By falling IoU 10-20 would go with 10.5-20.5, 0.90, and leave the others alone."""
    first = detections((0, 7, 17, 0.5, 0), (0, 10, 20, 0.5, 0))
    second = detections((0, 10.5, 20.5, 0.5, 0), (0, 13, 23, 0.5, 0))
    merged = merge_detections(first, second, same, 'intersection', iou_thr=0.3)
    assert sorted(merged.geometry[:, 0].tolist()) == [8.75, 11.5]  # 0.48 and 0.54


def test_threshold_and_nothing():
    barely = detections((0, 9, 19, 0.5, 0))
    assert len(merge_detections(FIRST, barely, same, 'intersection').score) == 0
    assert len(merge_detections(FIRST, barely, same, 'intersection', iou_thr=0.05).score) == 1
    empty = detections()
    assert len(merge_detections(empty, empty, same).score) == 0
    union = merge_detections(FIRST, empty, same)
    assert sorted(union.score.tolist()) == sorted(FIRST.score.tolist())
    assert len(merge_detections(FIRST, empty, same, 'intersection').score) == 0
    with pytest.raises(ValueError, match="not 'sum'"):
        merge_detections(FIRST, SECOND, same, 'sum')


def test_detections_without_classes_are_of_one():
    first, second = (Detections(one.case, one.geometry, one.score) for one in (FIRST, SECOND))
    merged = merge_detections(first, second, same, 'intersection')
    assert merged.case.tolist() == [0, 1] and merged.label is None
