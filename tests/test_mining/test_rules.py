import numpy as np
import pytest

from mmlesion.mining import (
    build_tracklets,
    match_annotations,
    match_embeddings,
    propagate,
    uncertain_regions,
)
from mmlesion.mining.rules import slice_overlap_pairs, suppress, without_overlap
from mmlesion.structures import SliceBoxes


def boxes_of(*rows):
    """SliceBoxes of rows x, slice, score: squares of 10 px whose left edges are at x."""
    x, slices, scores = np.array(rows, float).reshape(-1, 3).T
    boxes = np.stack([x, np.zeros_like(x), x + 10, np.full_like(x, 10)], axis=1)
    return SliceBoxes(boxes, slices.astype(int), scores)


def test_tracklets_follow_a_lesion_and_end_at_a_gap():
    # shifted by 3 px squares have an IoU of 7 / 13, by 4 px one of 6 / 14
    proposals = boxes_of((0, 4, 0.9), (3, 5, 0.8), (50, 5, 0.7), (7, 6, 0.6), (50, 7, 0.5))
    assert build_tracklets(proposals).tolist() == [0, 0, 1, 2, 3]
    assert build_tracklets(proposals, iou_thr=0.4).tolist() == [0, 0, 1, 0, 2]


def test_overlaps_are_those_of_a_loop_over_pairs():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (2, 40, 2))
    both = [
        SliceBoxes(np.hstack([c, c + rng.uniform(5, 30, (40, 2))]), rng.integers(0, 5, 40), c[:, 0])
        for c in corners
    ]
    expected = [
        (i, j, plain_iou(both[0].boxes[i], both[1].boxes[j]))
        for i in range(40)
        for j in range(40)
        if both[0].slices[i] == both[1].slices[j]
    ]
    np.testing.assert_allclose(np.stack(slice_overlap_pairs(*both), 1), expected)


def plain_iou(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return width * height / (sum(areas) - width * height)


def test_overlap_counts_on_one_slice_alone():
    known = boxes_of((0, 1, 1))
    boxes = boxes_of((0, 2, 0.5), (3, 1, 0.5), (4, 1, 0.5), (10, 1, 0.5))
    assert without_overlap(boxes, known, 0.5).tolist() == [True, False, True, True]
    assert without_overlap(boxes, known, 0).tolist() == [True, False, False, True]


def test_suppression_is_greedy():
    # the middle one loses to the first, and so does not take the last with it
    boxes = boxes_of((6, 1, 0.7), (3, 1, 0.8), (0, 1, 0.9), (0, 2, 0.1))
    assert suppress(boxes).tolist() == [0, 2, 3]


def test_propagation_takes_the_other_slices():
    proposals = boxes_of((0, 3, 0.4), (1, 4, 0.9), (2, 5, 0.5), (60, 4, 0.9), (60, 5, 0.9))
    tracklets = build_tracklets(proposals)
    annotations = boxes_of((0, 4, 1), (62, 9, 1))
    assert match_annotations(proposals, tracklets, annotations).tolist() == [
        [True, False],
        [False, False],
    ]
    mined, owner = propagate(proposals, tracklets, annotations)
    assert mined.tolist() == [0, 2] and owner.tolist() == [0, 0]


def test_propagation_does_not_repeat_what_is_annotated():
    proposals = boxes_of(*[(0, number, 0.5) for number in range(1, 7)])
    tracklets = build_tracklets(proposals)
    annotations = boxes_of((0, 2, 1), (0, 5, 1))
    mined, owner = propagate(proposals, tracklets, annotations)
    assert mined.tolist() == [0, 2, 3, 5] and owner.tolist() == [0, 0, 1, 1]


def test_propagation_needs_the_iou():
    proposals = boxes_of((0, 3, 0.4), (0, 4, 0.9))
    tracklets = build_tracklets(proposals)
    annotation = boxes_of((4, 4, 1))
    assert propagate(proposals, tracklets, annotation)[0].tolist() == []
    assert propagate(proposals, tracklets, annotation, iou_thr=0.4)[0].tolist() == [0]


@pytest.mark.parametrize('empty', ['proposals', 'annotations'])
def test_propagation_of_nothing(empty):
    some = boxes_of((0, 3, 0.4))
    parts = dict(proposals=some, annotations=some) | {empty: SliceBoxes.empty()}
    tracklets = build_tracklets(parts['proposals'])
    mined, owner = propagate(parts['proposals'], tracklets, parts['annotations'])
    assert len(mined) == len(owner) == 0


def test_matching_takes_the_nearest_below_delta():
    annotations = np.array([[1.0, 0.0], [0.0, 1.0]])
    tracklets = np.array([[0.9, 0.0], [0.0, 0.85], [0.05, 1.1], [1.0, 1.0]])
    nearest, distance = match_embeddings(tracklets, annotations)
    # 0.15 itself is not smaller than max_distance
    assert nearest.tolist() == [0, -1, 1, -1]
    np.testing.assert_allclose(distance, [0.1, 0.15, np.hypot(0.05, 0.1), 1])


def test_matching_without_annotations():
    nearest, distance = match_embeddings(np.ones((2, 3)), np.zeros((0, 0)))
    assert nearest.tolist() == [-1, -1] and np.isinf(distance).all()


def test_uncertain_regions_are_confident_new_and_apart():
    detections = boxes_of(
        (0, 1, 0.9),  # touches an annotation
        (30, 1, 0.5),  # not over score_thr
        (50, 1, 0.6),  # of a lesion that another expert finds too
        (52, 1, 0.8),
        (0, 2, 0.7),
    )
    known = boxes_of((9, 1, 1))
    assert uncertain_regions(detections, known).tolist() == [3, 4]
    assert uncertain_regions(detections, known, score_thr=0.4).tolist() == [1, 3, 4]
