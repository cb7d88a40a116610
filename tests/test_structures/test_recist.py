import numpy as np
import pytest

from mmlesion.structures import measure_recist
from mmlesion.structures.recist import _outline


def ellipse(diameters_mm, degrees, spacing, shape=(120, 120), shift=(0.2, -0.3)):
    """A mask of the px whose centers lie in an ellipse."""
    y, x = np.indices(shape)
    center = np.array(shape[::-1]) / 2 + shift
    dx, dy = (x - center[0]) * spacing[0], (y - center[1]) * spacing[1]
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    u, v = (dx * c + dy * s) / diameters_mm[0], (dy * c - dx * s) / diameters_mm[1]
    return u**2 + v**2 <= 0.25


@pytest.mark.parametrize('spacing', [(1.0, 1.0), (0.8, 0.8), (0.5, 1.3)])
@pytest.mark.parametrize('degrees', [0, 20, 45, 90, 130])
@pytest.mark.parametrize('diameters', [(40, 25), (12, 9)])
def test_ellipses_of_known_axes(diameters, degrees, spacing):
    recist = measure_recist(ellipse(diameters, degrees, spacing), spacing)
    np.testing.assert_allclose(recist.diameters_mm, diameters, atol=1.1 * max(spacing))
    along = (recist.points[1] - recist.points[0]) * spacing
    turned = np.degrees(np.arctan2(along[1], along[0])) - degrees
    # a digital outline lets the longest chord of a nearly round lesion turn
    assert abs((turned + 90) % 180 - 90) < (12 if diameters[0] == 40 else 35)


def test_lengths_are_unbiased_within_half_a_px():
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(100):
        long, turn = rng.uniform(6, 50), rng.uniform(0, 180)
        axes = np.array([long, long * rng.uniform(0.4, 1)])
        mask = ellipse(axes, turn, (1, 1), (60, 60), rng.uniform(-0.5, 0.5, 2))
        errors.append(np.array(measure_recist(mask).diameters_mm) - axes)
    assert (np.abs(np.mean(errors, axis=0)) < 0.5).all() and np.abs(errors).max() < 1.2


@pytest.mark.parametrize('degrees', [0, 30, 45])
def test_rectangles(degrees):
    # half-planes through the sides, of which the long diameter is a diagonal
    y, x = np.indices((80, 80)) - 39.5
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    mask = (np.abs(x * c + y * s) <= 24) & (np.abs(y * c - x * s) <= 7)
    long, short = measure_recist(mask).diameters_mm
    diagonal = np.hypot(48, 14)
    assert long == pytest.approx(diagonal, abs=1.2)  # the grid of px blunts the corners
    # Across the diagonal: from side to side, 14 / cos of its angle.
    assert short == pytest.approx(14 * diagonal / 48, abs=1)


def test_known_points():
    mask = np.zeros((9, 12), bool)
    mask[4, 2:9] = True
    mask[2:7, 5] = True  # a cross, 7 px wide and 5 high
    recist = measure_recist(mask, (0.5, 0.5), (100, 200))
    assert recist.diameters_mm == pytest.approx((3.5, 2.5))
    ends = np.sort(recist.points.reshape(2, 2, 2), axis=1)
    np.testing.assert_allclose(ends[0], [[101.5, 204], [108.5, 204]])
    np.testing.assert_allclose(ends[1], [[105, 201.5], [105, 206.5]], atol=0.13)


def test_one_px():
    assert measure_recist(np.ones((1, 1), bool), (0.7, 0.7)).diameters_mm == pytest.approx(
        (0.7,) * 2
    )
    recist = measure_recist(np.ones((1, 1), bool), (0.5, 2.0), (7, 9))
    assert recist.diameters_mm == pytest.approx((2, 0.5))
    np.testing.assert_allclose(recist.points[:2], [[7, 8.5], [7, 9.5]])
    with pytest.raises(ValueError, match='empty'):
        measure_recist(np.zeros((3, 3), bool))


def test_the_short_diameter_stays_in_the_mask():
    mask = np.zeros((30, 60), bool)
    mask[2:28, 5:55] = True
    mask[6:24, 9:51] = False  # a frame: across its middle there are two bars of 4 px
    whole = np.ones((26, 50), bool)
    frame = measure_recist(mask).diameters_mm
    assert frame[0] == pytest.approx(measure_recist(whole).diameters_mm[0])
    assert frame[1] < 0.5 * measure_recist(whole).diameters_mm[1]


def plain_recist(mask, spacing):
    """Every pair of points of the outline, and every line a fine step apart, in loops."""
    pieces = (_outline(mask) * spacing).tolist()
    points = [piece[0] for piece in pieces]
    long, start, end = max(
        (np.hypot(p[0] - q[0], p[1] - q[1]), p, q) for p in points for q in points
    )
    u = np.subtract(end, start) / long
    short = 0
    for place in np.arange(0.005, long, 0.01):
        crossings = []
        for piece in pieces:
            (a, h), (b, k) = (
                ((p - np.array(start)) @ u, (p - np.array(start)) @ (-u[1], u[0]))
                for p in map(np.array, piece)
            )
            if min(a, b) <= place < max(a, b):
                crossings.append(h + (place - a) / (b - a) * (k - h))
        crossings.sort()
        short = max([short] + [b - a for a, b in zip(crossings[::2], crossings[1::2])])
    return long, short


@pytest.mark.parametrize('seed', range(3))
def test_agrees_with_plain_loops(seed):
    rng = np.random.default_rng(seed)
    mask = ellipse((11, 8), rng.uniform(0, 180), (1, 1), (16, 16))
    mask &= rng.random(mask.shape) > 0.15  # with holes and bays
    spacing = (0.7, 0.9)
    expected = plain_recist(mask, spacing)
    # The short one is sought on lines a quarter of a px apart.
    found = measure_recist(mask, spacing).diameters_mm
    assert found[0] == pytest.approx(expected[0])
    assert expected[1] - 0.4 < found[1] <= expected[1] + 0.02


@pytest.mark.parametrize('seed', range(3))
def test_diameters_are_chords_at_right_angles(seed):
    mask = np.random.default_rng(seed).random((40, 50)) > 0.6
    spacing = np.array([0.6, 1.1])
    recist = measure_recist(mask, spacing)
    ends = (recist.points * spacing).reshape(2, 2, 2)
    along = ends[:, 1] - ends[:, 0]
    np.testing.assert_allclose(np.linalg.norm(along, axis=1), recist.diameters_mm)
    assert along[0] @ along[1] == pytest.approx(0, abs=1e-9)
