import numpy as np
import pytest

from mmlesion.froc import (
    MatchedDetections,
    luna16_protocol,
    true_negative_patients,
)
from mmlesion.structures import Detections, Lesions

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
