import numpy as np
import pytest

from mmlesion.froc import link_boxes, stack_boxes


def stack(rows, **options):
    """Stack rows of x1, y1, x2, y2, score, slice, label."""
    rows = np.array(rows, float).reshape(-1, 7)
    return stack_boxes(
        rows[:, :4], rows[:, 4], rows[:, 5].astype(int), rows[:, 6].astype(int), **options
    )


def test_average_is_weighted_by_score():
    boxes, scores, labels, _ = stack(
        [[0, 0, 10, 10, 0.9, 4, 0], [2, 0, 12, 10, 0.3, 5, 0], [1, 1, 11, 11, 0.6, 6, 0]]
    )
    # x1: (0 * 0.9 + 2 * 0.3 + 1 * 0.6) / 1.8, y1: 1 * 0.6 / 1.8
    np.testing.assert_allclose(boxes, [[2 / 3, 1 / 3, 4, 32 / 3, 31 / 3, 7]])
    np.testing.assert_allclose(scores, [0.9])
    assert labels.tolist() == [0]


@pytest.mark.parametrize('x, joined', [(3.9, True), (4, False), (4.1, False)])
def test_iou_must_exceed_one_half(x, joined):
    # IoU of two squares of side 12 shifted by x is (12 - x) / (12 + x), 1/2 at x = 4.
    boxes, *_ = stack([[0, 0, 12, 12, 0.5, 0, 0], [x, 0, x + 12, 12, 0.5, 1, 0]])
    assert len(boxes) == (1 if joined else 2)


def test_chain_follows_the_last_box_not_the_average():
    rows = [[3 * k, 0, 3 * k + 10, 10, 0.5, k, 0] for k in range(5)]
    boxes, *_ = stack(rows)
    np.testing.assert_allclose(boxes, [[6, 0, 0, 16, 10, 5]])


def test_missing_slice_and_other_label_separate():
    same = [0, 0, 10, 10]
    boxes, scores, labels, members = stack(
        [[*same, 0.5, 0, 0], [*same, 0.7, 2, 0], [*same, 0.6, 3, 1], [*same, 0.4, 3, 0]]
    )
    np.testing.assert_allclose(boxes[:, [2, 5]], [[2, 4], [3, 4], [0, 1]])
    np.testing.assert_allclose(scores, [0.7, 0.6, 0.5])
    assert labels.tolist() == [0, 1, 0]
    assert members.tolist() == [2, 0, 1, 0]


def test_greedy_by_iou_one_to_one():
    # Box 2 overlaps both boxes below with 9/11 and 1; the better one gets it, the other ends.
    rows = [[0, 0, 10, 10], [1, 0, 11, 10], [1, 0, 11, 10], [30, 0, 40, 10]]
    slices = np.array([0, 0, 1, 1])
    tracks = link_boxes(np.array(rows, float), np.full(4, 0.5), slices, np.zeros(4, int))
    assert tracks.tolist() == [0, 1, 1, 2]


def test_equal_ious_go_to_the_higher_score():
    rows = np.array([[0, 0, 10, 10]] * 3, float)
    tracks = link_boxes(rows, np.array([0.2, 0.8, 0.5]), np.array([0, 0, 1]), np.zeros(3, int))
    assert tracks.tolist() == [0, 1, 1]


def test_nothing_and_zero_scores():
    boxes, scores, labels, _ = stack([])
    assert boxes.shape == (0, 6) and len(scores) == len(labels) == 0
    boxes, scores, *_ = stack([[0, 0, 10, 10, 0, 0, 0], [2, 0, 12, 10, 0, 1, 0]])
    np.testing.assert_allclose(boxes, [[1, 0, 0, 11, 10, 2]])
    assert scores.tolist() == [0]


def plain_tracks(boxes, scores, slices, labels, iou_thr):
    """The definition in loops: the best remaining pair of each two slices, again and again."""
    tracks = {}
    for index in np.lexsort((np.arange(len(boxes)), slices)):
        tracks[index] = None
    number = 0
    for z in range(slices.max() + 1):
        here = [i for i in range(len(boxes)) if slices[i] == z]
        free = [i for i in range(len(boxes)) if slices[i] == z - 1]
        while True:
            best = None
            for a in free:
                for b in here:
                    if tracks[b] is None and labels[a] == labels[b]:
                        iou = plain_iou(boxes[a], boxes[b])
                        if iou > iou_thr and (best is None or iou > best[0]):
                            best = iou, a, b
            if best is None:
                break
            tracks[best[2]] = tracks[best[1]]
            free.remove(best[1])
        for b in here:
            if tracks[b] is None:
                tracks[b] = number
                number += 1
    return [tracks[i] for i in range(len(boxes))]


def plain_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(width, 0) * max(height, 0)
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


@pytest.mark.parametrize('seed', range(3))
def test_agrees_with_plain_loops(seed):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 12, (120, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(8, 14, (120, 2))], axis=1)
    slices, labels = rng.integers(0, 12, 120), rng.integers(0, 2, 120)
    scores = rng.uniform(size=120)
    tracks = link_boxes(boxes, scores, slices, labels, 0.5)
    assert tracks.tolist() == plain_tracks(boxes, scores, slices, labels, 0.5)
    assert 12 < tracks.max() + 1 < 120


def test_links_are_the_same_however_many_pairs_are_compared_at_once(monkeypatch):
    generator = np.random.default_rng(0)
    low = generator.integers(0, 12, (300, 2))
    boxes = np.concatenate([low, low + generator.integers(1, 9, (300, 2))], axis=1)
    scores, slices = generator.integers(0, 5, 300) / 4, generator.integers(0, 30, 300)
    labels = generator.integers(0, 2, 300)
    whole = link_boxes(boxes, scores, slices, labels, 0.3)
    monkeypatch.setattr('mmlesion.froc.stacking._MAX_PAIRS', 50)
    assert (link_boxes(boxes, scores, slices, labels, 0.3) == whole).all()
    # a track has at most one box on a slice, and none is left out in between
    for track in range(whole.max() + 1):
        assert (np.diff(np.sort(slices[whole == track])) == 1).all()


@pytest.mark.parametrize(
    'share, z, members', [(0.3, [2, 5], [-1, 0, 0, 0, -1]), (0, [1, 6], [0] * 5)]
)
def test_faint_ends_are_left_out(share, z, members):
    scores = [0.02, 0.9, 0.1, 0.4, 0.2]  # the faint box in the middle is a part of the lesion
    rows = [[0, 0, 10, 10, score, index, 0] for index, score in enumerate(scores, start=1)]
    boxes, scores, _, found = stack(rows, end_share=share)
    np.testing.assert_allclose(boxes[0, [2, 5]], z)
    assert scores.tolist() == [0.9] and found.tolist() == members


def ball_boxes(positions, radius=12, center=3.2, interval=5.0, margin=4):
    """Return a ball's boxes (n, 4), in px of 1 mm, at those positions in slices that cut it."""
    half = np.sqrt(np.maximum(radius**2 - ((positions - center) * interval) ** 2, 0))
    cut = half > 0
    half += margin
    corners = np.stack([-half, -half, half, half], axis=1) + 50
    return corners[cut], positions[cut]


def test_a_ball_on_a_grid_between_slices_is_one_box():
    """At 5 mm its sections differ too much to be linked, at a third of it they do not."""
    found = {}
    for steps in (1, 3):
        boxes, positions = ball_boxes(np.arange(6 * steps + 1) / steps)
        ones = np.ones(len(boxes))
        found[steps], *_ = stack_boxes(boxes, ones, positions, ones.astype(int), grid_steps=steps)
    # the ball lies between 0.8 and 5.6: slices 1 to 5
    assert len(found[1]) > 1 and len(found[3]) == 1
    np.testing.assert_allclose(found[3][0, [2, 5]], [1, 6])
    assert found[3][0, :2].min() > 34 and found[3][0, 3:5].max() < 66


@pytest.mark.parametrize(
    'positions, z',
    [
        ([2, 7 / 3, 8 / 3, 3], [2, 4]),  # from slice to slice
        ([5 / 3, 2, 7 / 3], [2, 3]),
        ([7 / 3, 8 / 3, 3, 10 / 3, 11 / 3], [3, 4]),
        ([7 / 3], [2, 3]),  # between two slices, nearer to the lower one
        ([8 / 3], [3, 4]),
        ([7 / 3, 8 / 3], [3, 4]),  # and to neither
    ],
)
def test_boxes_on_a_grid_have_whole_slices(positions, z):
    rows = np.array([[0, 0, 10, 10]] * len(positions), float)
    ones = np.ones(len(rows))
    boxes, _, _, members = stack_boxes(
        rows, ones, np.array(positions), ones.astype(int), grid_steps=3
    )
    np.testing.assert_allclose(boxes, [[0, 0, z[0], 10, 10, z[1]]])
    assert members.tolist() == [0] * len(rows)


def test_a_missing_position_separates():
    rows = np.array([[0, 0, 10, 10]] * 3, float)
    tracks = link_boxes(rows, np.ones(3), np.array([1, 4 / 3, 2]), np.zeros(3, int), grid_steps=3)
    assert tracks.tolist() == [0, 0, 1]
