import numpy as np
import pytest

from mmlesion.froc import (
    MatchedDetections,
    compare_rows,
    deeplesion_protocol,
    evaluate_froc,
    froc_cases,
    luna16_protocol,
    true_negative_patients,
)
from mmlesion.structures import Detections, Lesions

"""Paired comparison of FROC scores, against plain loops and simulated detectors."""


BOX = np.array([0, 0, 9, 9.0])
FAR = np.array([50, 50, 59, 59.0])


def simulated(generator, hit_chance, num_patients=60, images_each=2):
    """A detector on images of one lesion each, by its chance to find a lesion of each image.

    Args:
        generator (numpy.random.Generator): Of the detections.
        hit_chance (ndarray): (n,) chance of each image's lesion to be found.

    Returns:
        Cases: Two detections an image, of random scores; the first one is near the lesion where it
        is found.
    """
    num_cases = num_patients * images_each
    found = generator.random(num_cases) < hit_chance
    case = np.repeat(np.arange(num_cases), 2)
    boxes = np.tile(FAR, (2 * num_cases, 1))
    boxes[::2][found] = BOX
    detections = Detections(case, boxes, generator.random(2 * num_cases))
    lesions = Lesions(
        np.arange(num_cases), np.tile(BOX, (num_cases, 1)), np.zeros(num_cases, dtype=bool)
    )
    patients = np.repeat(np.arange(num_patients), images_each).tolist()
    matched = MatchedDetections(detections, lesions, num_cases, deeplesion_protocol())
    return froc_cases(matched, range(num_cases), patients)


@pytest.mark.parametrize('protocol', [deeplesion_protocol(), luna16_protocol()])
def test_cases_give_the_curve_that_they_came_from(protocol):
    generator = np.random.default_rng(0)
    num_cases, width = 30, 4
    lesions = Lesions(
        generator.integers(num_cases, size=40),
        np.abs(generator.normal(size=(40, width))).cumsum(axis=1) * 5,
        generator.random(40) < 0.2,
    )
    detections = Detections(
        generator.integers(num_cases, size=900),
        np.abs(generator.normal(size=(900, width))).cumsum(axis=1) * 5,
        generator.integers(20, size=900) / 20,  # many ties
    )
    expected = evaluate_froc(detections, lesions, num_cases, protocol)
    matched = MatchedDetections(detections, lesions, num_cases, protocol)
    cases = froc_cases(matched, range(num_cases), range(num_cases))
    read = cases.sensitivity(np.ones(num_cases))
    assert 0 < expected['mean'] < 1
    np.testing.assert_array_equal(read, expected['sensitivity'])


def test_a_patient_drawn_twice_counts_as_two():
    generator = np.random.default_rng(1)
    cases = simulated(generator, np.full(6, 0.5), num_patients=3)
    weight = np.array([2, 0, 1])
    drawn = np.repeat([0, 1, 4, 5], [2, 2, 1, 1])  # images of patients 0, 0 and 2

    fp = np.concatenate([cases.fp_point[cases.fp_case == case] for case in drawn])
    point = np.concatenate([cases.lesion_point[cases.lesion_case == case] for case in drawn])
    steps = np.arange(-1, 1 + max(cases.fp_point.max(), cases.lesion_point.max()))
    rate = [(fp <= step).sum() / len(drawn) for step in steps]
    hits = [((point >= 0) & (point <= step)).sum() / len(drawn) for step in steps]
    expected = [np.interp(level, rate, hits) for level in cases.fp_rates]

    np.testing.assert_allclose(cases.sensitivity(weight), expected, atol=1e-12)


def test_a_row_against_itself_has_no_difference():
    cases = simulated(np.random.default_rng(2), 0.6)
    comparison = compare_rows({'one': [cases], 'same': [cases]}, draws=50)
    difference = comparison.differences['same']
    assert not difference.value.any() and not difference.lower.any() and not difference.upper.any()
    assert (difference.p == 1).all()
    assert np.isnan(comparison.training_noise) and np.isnan(comparison.rows['one'].standard_error)


def test_a_known_difference_is_found_and_seeds_are_pooled():
    generator = np.random.default_rng(3)
    rows = {
        'weak': [simulated(generator, 0.5, 150) for _ in range(3)],
        'strong': [simulated(generator, 0.8, 150) for _ in range(3)],
    }
    comparison = compare_rows(rows, draws=300)
    strong, difference = comparison.rows['strong'], comparison.differences['strong']
    assert difference.value[-1] == pytest.approx(
        strong.run_means.mean() - comparison.rows['weak'].run_means.mean()
    )
    assert difference.lower[-1] > 0.15 and difference.p[-1] < 0.01
    assert strong.standard_error == pytest.approx(strong.run_means.std(ddof=1) / np.sqrt(3))
    spread = [row.run_means.var(ddof=1) for row in comparison.rows.values()]
    assert comparison.training_noise == pytest.approx(np.sqrt(np.mean(spread)))


@pytest.mark.parametrize('num_runs', [1, 3])
def test_coverage_of_the_interval(num_runs):
    """A detector 0.1 above another, on images whose difficulty both share: 95 % of the intervals.

    What is found depends on patients, whose chance to be found both share, and on each run.
    """
    generator = np.random.default_rng(4)
    covered = []
    for _ in range(60):
        easy = np.repeat(generator.choice([0.2, 0.9], 40), 2)
        rows = {
            name: [simulated(generator, easy + gain, 40) for _ in range(num_runs)]
            for name, gain in (('weak', 0.0), ('strong', 0.1))
        }
        comparison = compare_rows(rows, draws=100)
        difference = comparison.differences['strong']
        # An image has two false positives at most, so that at 4 an image all detections count.
        at_4 = rows['weak'][0].fp_rates.tolist().index(4)
        covered.append(difference.lower[at_4] <= 0.1 <= difference.upper[at_4])
    assert 0.88 <= np.mean(covered) <= 1.0


# scans 0 and 1 have lesions, 2 to 5 have none; 2 has an excluded finding
LESIONS = Lesions(
    case=np.array([0, 0, 1, 2]),
    geometry=np.array([[0, 0, 0, 10], [50, 0, 0, 10], [0, 0, 0, 10], [0, 0, 0, 10.0]]),
    ignore=np.array([False, False, False, True]),
)


def detections(*rows):
    """Rows are item, x, score."""
    rows = np.array(rows, float).reshape(-1, 3)
    place = np.column_stack([rows[:, 1], np.zeros((len(rows), 2))])
    return Detections(rows[:, 0].astype(int), place, rows[:, 2])


def tnp(found, lesions, num_scans, *sensitivity):
    """The True Negative Patient score by LUNA16's rules."""
    matched = MatchedDetections(found, lesions, num_scans, luna16_protocol())
    return true_negative_patients(matched, *sensitivity)


FOUND = detections(
    (0, 0, 0.9),
    (0, 50, 0.8),
    (1, 0, 0.5),
    (1, 90, 0.95),  # false, but in a positive scan
    (2, 1, 0.9),  # in the excluded finding
    (3, 5, 0.5),
    (3, 9, 0.2),
    (4, 5, 0.6),
    (5, 5, 0.4),
)


@pytest.mark.parametrize(
    'sensitivity, threshold, score', [(0.95, 0.5, 0.5), (0.6, 0.8, 1.0), (0.3, 0.9, 1.0)]
)
def test_known_scores(sensitivity, threshold, score):
    result = tnp(FOUND, LESIONS, 6, sensitivity)
    expected = dict(TNP=score, TNP_threshold=threshold, TNP_sensitivity=sensitivity)
    assert result == expected  # at 0.5 the scans 3 and 4 have false positives, 2 and 5 do not


def test_a_sensitivity_that_is_reached_exactly():
    """19 of 20 is 0.95."""
    lesions = Lesions(np.arange(20), np.tile([0, 0, 0, 10.0], (20, 1)), np.zeros(20, bool))
    found = detections(*[(i, 0, 1 - i / 100) for i in range(19)], (20, 0, 0.825), (21, 0, 0.81))
    result = tnp(found, lesions, 22)
    assert result['TNP_threshold'] == pytest.approx(0.82) and result['TNP'] == 0.5


def test_a_sensitivity_that_is_not_reached():
    result = tnp(FOUND.take(slice(0, 2)), LESIONS, 6)
    assert np.isnan(result['TNP']) and result['TNP_threshold'] is None
    nothing = tnp(detections(), LESIONS, 6)
    assert np.isnan(nothing['TNP'])


def test_no_negative_scans():
    result = tnp(FOUND.take(FOUND.case < 2), LESIONS, 2)
    assert np.isnan(result['TNP']) and result['TNP_threshold'] == 0.5


def test_only_the_marks_that_the_benchmark_counts():
    crowd = detections((0, 0, 0.9), (0, 50, 0.9), (1, 0, 0.9), *[(3, 80, 0.95)] * 101)
    assert tnp(crowd, LESIONS, 4)['TNP'] == 1
