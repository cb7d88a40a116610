import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmlesion.evaluation.groups import diameter_groups, lesion_type_groups
from mmlesion.froc import (
    OverlapCriterion,
    Protocol,
    box_overlaps,
    center_in_sphere,
    deeplesion_protocol,
    evaluate_froc,
    lens_protocol,
    limit_per_case,
    luna16_protocol,
    match,
    matching,
    slice_overlaps,
)
from mmlesion.structures import Detections, Lesions

spec = importlib.util.spec_from_file_location(
    'plain_froc', Path(__file__).with_name('plain_froc.py')
)
plain = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plain)


def as_detections(rows_of):
    """A list, item by item, of (n, k + 1) rows with the score last."""
    item = np.repeat(np.arange(len(rows_of)), [len(rows) for rows in rows_of])
    rows = np.concatenate(rows_of)
    return Detections(item, rows[:, :-1], rows[:, -1])


def as_lesions(rows_of, ignore=None):
    item = np.repeat(np.arange(len(rows_of)), [len(rows) for rows in rows_of])
    rows = np.concatenate(rows_of)
    ignore = np.zeros(len(rows), dtype=bool) if ignore is None else ignore
    return Lesions(item, rows, ignore)


def random_boxes(generator, number, dims, size):
    start = generator.integers(0, 25, size=(number, dims))
    return np.hstack([start, start + generator.integers(2, size, size=(number, dims))]).astype(
        float
    )


def random_set(seed, dims, items=30):
    """Items with none to six lesions and none to thirty detections of few distinct scores."""
    generator = np.random.default_rng(seed)
    gts = [random_boxes(generator, generator.integers(0, 7), dims, 20) for _ in range(items)]
    boxes = []
    for gt in gts:
        drawn = random_boxes(generator, generator.integers(0, 25), dims, 20)
        near = gt[generator.random(len(gt)) < 0.7]
        drawn = np.vstack([drawn, near + generator.integers(0, 2, size=near.shape)])
        scores = np.round(generator.random((len(drawn), 1)), 1 + seed % 2)
        boxes.append(np.hstack([generator.permutation(drawn), scores]))
    return boxes, gts


def test_known_overlaps():
    box, gt = np.array([0.0, 0, 9, 9]), np.array([5.0, 5, 9, 24])
    # Inclusive: 10 x 10 and 5 x 20 px share 5 x 5.
    assert box_overlaps(box, gt, 'iou') == 25 / 175
    assert box_overlaps(box, gt, 'iobb') == box_overlaps(box, gt, 'iogt') == 0.25
    # Exclusive: 9 x 9 and 4 x 19 px share 4 x 4.
    assert box_overlaps(box, gt, 'iou', inclusive=False) == 16 / (81 + 76 - 16)
    assert box_overlaps(box, gt, 'iobb', inclusive=False) == 16 / 81
    assert box_overlaps(box, gt, 'max', inclusive=False) == 16 / 76
    solid, other = np.array([0.0, 0, 0, 9, 9, 3]), np.array([0.0, 0, 2, 9, 9, 9])
    assert box_overlaps(solid, other, 'iou') == 200 / (400 + 800 - 200)
    assert box_overlaps(solid, other, 'iobb') == 0.5


def test_overlaps_broadcast_to_a_matrix():
    generator = np.random.default_rng(0)
    boxes, gts = random_boxes(generator, 8, 3, 15), random_boxes(generator, 5, 3, 15)
    for metric in ('iou', 'iobb', 'iogt', 'max'):
        matrix = box_overlaps(boxes[:, None], gts[None], metric)
        expected = [[plain.iou(box, gt, metric) for gt in gts] for box in boxes]
        assert np.array_equal(matrix, expected)


def test_boxes_apart_and_unknown_metric():
    assert box_overlaps([0, 0, 1, 1], [2, 0, 3, 1]) == 0
    with pytest.raises(ValueError, match='giou'):
        box_overlaps([0, 0, 1, 1], [2, 0, 3, 1], 'giou')
    with pytest.raises(ValueError, match='giou'):
        OverlapCriterion('giou')


def test_box_against_an_annotated_slice():
    gt = np.array([0.0, 0, 5, 9, 9, 5])
    covering, beside = np.array([0.0, 0, 4, 9, 4, 5]), np.array([0.0, 0, 6, 9, 9, 8])
    assert slice_overlaps(covering, gt, 'iou') == 0.5
    assert slice_overlaps(covering, gt, 'iobb') == 1
    assert slice_overlaps(beside, gt, 'max') == 0
    criterion = OverlapCriterion('iou', 0.5, annotated_slice=True)
    assert criterion(np.stack([covering, beside]), np.stack([gt, gt])).tolist() == [True, False]


def test_center_on_the_sphere_is_outside():
    sphere = np.array([10.0, 20, 30, 8])
    marks = np.array([[10, 20, 34.0], [10, 20, 33.999], [12, 22, 32.0], [12.4, 22.4, 32.4]])
    assert center_in_sphere(marks, sphere).tolist() == [False, True, True, False]


def test_hand_computed_curve():
    """Two images, three lesions; a hit on two at once, a duplicate, a tie, two false positives."""
    lesions = as_lesions(
        [np.array([[0.0, 0, 9, 9], [0, 0, 9, 10]]), np.array([[50.0, 50, 59, 59]])]
    )
    detections = as_detections(
        [
            np.array([[0.0, 0, 9, 9, 0.9], [0, 0, 9, 9, 0.8], [90, 90, 99, 99, 0.7]]),
            np.array([[90.0, 90, 99, 99, 0.95], [50, 50, 59, 59, 0.5], [70, 70, 79, 79, 0.4]]),
        ]
    )
    rules = Protocol(OverlapCriterion('iou', 0.5), (0.25, 0.5, 0.75, 1, 1.5, 4))
    result = evaluate_froc(detections, lesions, 2, rules)
    # Points (FP per image, hits): (.5, 0) (.5, 2) (.5, 2) (1, 2) (1, 3) (1.5, 3).
    expected = np.array([0, 2, 2, 3, 3, 3]) / 3
    assert result['sensitivity'] == pytest.approx(expected)
    assert result['mean'] == pytest.approx(13 / 18)
    assert result['score_thresholds'] == [None, 0.8, 0.8, 0.5, 0.4, 0.4]
    assert (result['num_lesions'], result['num_items'], result['num_detections']) == (3, 2, 6)
    assert result['curve']['fp'] == [0, 0.5, 0.5, 1, 1, 1.5]
    assert result['curve']['sensitivity'] == pytest.approx([0, 0, 2 / 3, 2 / 3, 1, 1])
    assert result['curve']['score'] == [0.95, 0.95, 0.8, 0.7, 0.5, 0.4]


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('metric', ['iou', 'iobb', 'iogt', 'max'])
@pytest.mark.parametrize('dims', [2, 3])
def test_fast_is_plain(seed, metric, dims):
    boxes, gts = random_set(seed, dims)
    rules = {2: deeplesion_protocol, 3: lens_protocol}[dims](metric, 0.3)
    levels = np.array(rules.fp_rates)
    expected, fp, sensitivity = plain.boxes_froc(boxes, gts, levels, metric, 0.3)
    result = evaluate_froc(as_detections(boxes), as_lesions(gts), len(gts), rules)
    assert result['sensitivity'] == pytest.approx(expected, abs=1e-12)
    # The thinned curve reads the same everywhere, its ends included.
    anywhere = np.linspace(fp[0] + 1e-9, fp[-1], 997)
    thinned = np.interp(anywhere, result['curve']['fp'], result['curve']['sensitivity'])
    assert thinned == pytest.approx(np.interp(anywhere, fp, sensitivity), abs=1e-12)


def test_order_of_the_file_and_size_of_blocks_do_not_matter(monkeypatch):
    boxes, gts = random_set(1, 2)
    detections, lesions = as_detections(boxes), as_lesions(gts)
    rules = deeplesion_protocol('iou', 0.3)
    whole = evaluate_froc(detections, lesions, len(gts), rules)
    # Items interleaved, each item's own detections in their order.
    mixed = np.lexsort((detections.case, np.concatenate([np.arange(len(b)) for b in boxes])))
    monkeypatch.setattr(matching, 'MAX_PAIRS', 7)
    again = evaluate_froc(detections.take(mixed), lesions, len(gts), rules)
    assert again['curve'] == whole['curve']
    assert again['score_thresholds'] == whole['score_thresholds']


@pytest.mark.parametrize('marks', range(111, 131))
def test_thresholds_of_whole_numbers_of_false_positives(marks):
    """On 888 scans an eighth of a false positive per scan are 111, however many there are."""
    num_scans = 888
    detections = Detections(
        np.arange(marks) % num_scans, np.full((marks, 3), 500.0), np.linspace(1, 0.01, marks)
    )
    lesions = Lesions(np.zeros(1, int), np.array([[0.0, 0, 0, 5]]), np.zeros(1, bool))
    result = evaluate_froc(detections, lesions, num_scans, luna16_protocol())
    assert (detections.score >= result['score_thresholds'][0]).sum() == 111


def test_thresholds_are_operating_points():
    boxes, gts = random_set(3, 2)
    detections, lesions = as_detections(boxes), as_lesions(gts)
    result = evaluate_froc(detections, lesions, len(gts), deeplesion_protocol('iou', 0.3))
    criterion = OverlapCriterion('iou', 0.3)
    for level, threshold in zip(result['fp_levels'], result['score_thresholds']):
        wrong = {}
        for score in np.unique(detections.score):
            kept = detections.take(detections.score >= score)
            wrong[score] = match(kept, lesions, criterion)[0].sum() / len(gts)
        allowed = [score for score, rate in wrong.items() if rate <= level]
        assert threshold == (min(allowed) if allowed else None)


def test_match_keeps_classes_apart():
    box = np.array([[0.0, 0, 9, 9]])
    lesions = Lesions(np.array([0]), box, np.array([False]), np.array([2]))
    detections = Detections(np.array([0, 0]), np.repeat(box, 2, 0), np.ones(2), np.array([1, 2]))
    false_positive, first_hit = match(detections, lesions, OverlapCriterion())
    assert false_positive.tolist() == [True, False] and first_hit.tolist() == [1]
    false_positive, first_hit = match(detections, replace(lesions, label=None), OverlapCriterion())
    assert false_positive.tolist() == [False, False] and first_hit.tolist() == [0]


def test_ignored_lesion_counts_neither_way():
    gts = [np.array([[0.0, 0, 9, 9], [50, 50, 59, 59]])]
    boxes = [np.array([[0.0, 0, 9, 9, 0.9], [50, 50, 59, 59, 0.8]])]
    lesions = as_lesions(gts, np.array([True, False]))
    result = evaluate_froc(as_detections(boxes), lesions, 1, deeplesion_protocol())
    assert result['num_lesions'] == 1
    assert result['curve'] == {'fp': [0, 0], 'sensitivity': [0, 1], 'score': [0.9, 0.8]}


def test_nothing_detected_and_nothing_to_detect():
    none = Detections(np.zeros(0, int), np.zeros((0, 4)), np.zeros(0))
    boxes, gts = random_set(0, 2)
    result = evaluate_froc(none, as_lesions(gts), len(gts), deeplesion_protocol(), bootstrap=3)
    assert result['sensitivity'] == [0] * 7 and result['mean'] == 0
    assert result['score_thresholds'] == [None] * 7
    assert result['curve'] == {'fp': [], 'sensitivity': [], 'score': []}
    assert result['confidence_interval']['upper'] == [0] * 7
    no_lesions = as_lesions([np.zeros((0, 4))] * len(gts))
    result = evaluate_froc(as_detections(boxes), no_lesions, len(gts), deeplesion_protocol())
    assert np.isnan(result['sensitivity']).all() and result['num_lesions'] == 0
    assert result['curve']['fp'][-1] == sum(map(len, boxes)) / len(gts)


def random_scans(seed, scans=25):
    generator = np.random.default_rng(seed)
    nodules, marks = [], []
    for _ in range(scans):
        number = generator.integers(0, 8)
        diameter = generator.choice([-1, 6, 12, 20], size=(number, 1))
        ignored = generator.random((number, 1)) < 0.4
        nodules.append(np.hstack([generator.uniform(0, 60, (number, 3)), diameter, ignored]))
        number = generator.choice([0, 20, 150])
        p = np.round(generator.random((number, 1)), 2)
        far = np.hstack([generator.uniform(0, 60, (number, 3)), p])
        near = np.repeat(nodules[-1][:, :4], 2, axis=0)
        near[:, :3] += generator.normal(0, 2, (len(near), 3))
        near[:, 3] = np.round(1 - generator.random(len(near)) ** 2 / 2, 2)
        marks.append(generator.permutation(np.vstack([far, near])))
    return marks, nodules


@pytest.mark.parametrize('seed', range(8))
def test_luna16_is_plain(seed):
    marks, nodules = random_scans(seed)
    rules = luna16_protocol()
    expected = plain.luna16_froc(marks, nodules, rules.fp_rates)
    rows = np.concatenate(nodules)
    spheres = [np.where(n[:, :4] == -1, 10, n[:, :4]) for n in nodules]
    lesions = as_lesions(spheres, rows[:, 4] > 0)
    result = evaluate_froc(as_detections(marks), lesions, len(marks), rules)
    assert result['sensitivity'] == pytest.approx(expected, abs=1e-12)
    assert 0 < result['mean'] < 1


def test_marks_at_the_limit_all_go_when_they_tie():
    item = np.repeat([0, 1], [5, 3])
    score = np.array([0.9, 0.5, 0.7, 0.5, 0.5, 0.1, 0.1, 0.1])
    kept = limit_per_case(Detections(item, np.zeros((8, 3)), score), 3)
    assert kept.score.tolist() == [0.9, 0.7, 0.1, 0.1, 0.1]


def test_groups_by_hand():
    gts = [np.array([[0.0, 0, 9, 9]]), np.array([[0.0, 0, 9, 9], [50, 50, 59, 59]])]
    boxes = [
        np.array([[0.0, 0, 9, 9, 0.9], [90, 90, 95, 95, 0.8]]),
        np.array([[50.0, 50, 59, 59, 0.7]]),
    ]
    groups = {**lesion_type_groups([4, 5, 4]), **diameter_groups([9.9, 30, np.nan])}
    assert set(groups) == {'liver', 'lung', '<10 mm', '10-30 mm', '>30 mm'}
    rules = Protocol(OverlapCriterion(), (0.25, 0.5))
    result = evaluate_froc(as_detections(boxes), as_lesions(gts), 2, rules, groups)['groups']
    assert result['liver']['sensitivity'] == [0.5, 1] and result['liver']['num_lesions'] == 2
    assert result['lung']['sensitivity'] == [0, 0]
    assert result['<10 mm']['sensitivity'] == [1, 1]
    assert result['>30 mm']['num_lesions'] == 0 and np.isnan(result['>30 mm']['mean'])


def test_bootstrap_is_the_curve_of_drawn_items():
    boxes, gts = random_set(5, 2, items=12)
    rules = deeplesion_protocol('iou', 0.3)
    levels = np.array(rules.fp_rates)
    detections, lesions = as_detections(boxes), as_lesions(gts)
    result = evaluate_froc(detections, lesions, len(gts), rules, bootstrap=40, seed=3)
    generator = np.random.default_rng(3)
    samples = []
    for _ in range(40):
        drawn = generator.integers(len(gts), size=len(gts))
        # Distinct scores, so that the order among copies of an item cannot matter.
        samples.append(merged_plain([boxes[i] for i in drawn], [gts[i] for i in drawn], levels))
    rows = np.column_stack([samples, np.mean(samples, axis=1)])
    low, high = np.percentile(rows, [2.5, 97.5], axis=0)
    interval = result['confidence_interval']
    merged = Protocol(rules.criterion, rules.fp_rates, merge_ties=True)
    again = evaluate_froc(detections, lesions, len(gts), merged, bootstrap=40, seed=3)
    assert again['confidence_interval']['lower'] == pytest.approx(low[:-1], abs=1e-9)
    assert again['confidence_interval']['upper'] == pytest.approx(high[:-1], abs=1e-9)
    assert again['confidence_interval']['mean'] == pytest.approx([low[-1], high[-1]], abs=1e-9)
    repeated = evaluate_froc(detections, lesions, len(gts), rules, bootstrap=40, seed=3)
    assert repeated['confidence_interval'] == interval
    other = evaluate_froc(detections, lesions, len(gts), rules, bootstrap=40, seed=4)
    assert other['confidence_interval'] != interval
    assert interval['mean'][0] < result['mean'] < interval['mean'][1]


def merged_plain(boxes, gts, levels):
    """The plain curve read where a score is complete, for items that are drawn more than once."""
    _, fp, sensitivity = plain.boxes_froc(boxes, gts, levels, 'iou', 0.3)
    score = np.sort(np.vstack(boxes)[:, -1])[::-1]
    last = np.append(score[1:] != score[:-1], True)
    return np.interp(levels, np.append(0, fp[last]), np.append(0, sensitivity[last]))
