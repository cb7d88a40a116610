import cv2
import numpy as np
import pytest

from mmlesion.converters.grabcut import (
    ellipse_mask,
    quadrilateral_mask,
    recist_from_box,
    recist_mask,
)

SIZE = 160
WINDOW = (-175.0, 275.0)


def ellipse_slice(center, radii, inside=80.0, outside=-60.0, noise=15.0, size=SIZE, seed=0):
    """A noisy slice with an ellipse, its true mask, its diameters' ends and its padded box."""
    y, x = np.indices((size, size))
    truth = ((x - center[0]) / radii[0]) ** 2 + ((y - center[1]) / radii[1]) ** 2 <= 1
    generator = np.random.default_rng(seed)
    image = np.where(truth, inside, outside) + generator.normal(0, noise, truth.shape)
    (x0, y0), (a, b) = center, radii
    recist = [x0 - a, y0, x0 + a, y0, x0, y0 - b, x0, y0 + b]
    box = [x0 - a - 5, y0 - b - 5, x0 + a + 5, y0 + b + 5]
    return image.astype(np.float32), truth, recist, box


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


@pytest.mark.parametrize('inside, outside', [(80, -60), (-90, 40)])
@pytest.mark.parametrize('radii', [(20, 20), (30, 15), (8, 6)])
def test_an_ellipse_is_found_whether_brighter_or_darker(inside, outside, radii):
    image, truth, recist, box = ellipse_slice((70, 85), radii, inside, outside)
    mask, source = recist_mask(image, recist, box, WINDOW)
    assert source == 'grabcut'
    assert mask.shape == image.shape and mask.dtype == bool
    assert iou(mask, truth) > 0.9
    assert iou(quadrilateral_mask(np.reshape(recist, (4, 2)), truth.shape), truth) < 0.85


def test_a_shape_that_is_no_ellipse_is_followed():
    """A square whose diagonals are the diameters is the quadrilateral; one along them is not."""
    truth = np.zeros((SIZE, SIZE), bool)
    truth[60:101, 60:101] = True
    noise = np.random.default_rng(0).normal(0, 15, truth.shape)
    recist = [60, 80, 100, 80, 80, 60, 80, 100]
    mask = recist_mask(np.where(truth, 80, -60) + noise, recist, [55, 55, 105, 105], WINDOW).mask
    assert iou(mask, truth) > 0.95
    assert iou(ellipse_mask(np.reshape(recist, (4, 2)), truth.shape), truth) < 0.8


@pytest.mark.parametrize('seed', range(5))
def test_the_mask_lies_in_the_box_and_holds_the_quadrilateral(seed):
    """Also where the picture says the opposite of the annotation."""
    generator = np.random.default_rng(seed)
    image = generator.normal(0, 100, (SIZE, SIZE)).cumsum(axis=1) % 400 - 150
    recist = generator.uniform(50, 110, 8)
    points = recist.reshape(4, 2)
    low, high = points.min(axis=0) - 5, points.max(axis=0) + 5
    mask = recist_mask(image, recist, [*low, *high], WINDOW).mask
    rows, columns = np.nonzero(mask)
    assert columns.min() >= low[0] and columns.max() <= high[0]
    assert rows.min() >= low[1] and rows.max() <= high[1]
    assert mask[quadrilateral_mask(points, image.shape)].all()


def test_a_bright_neighbor_outside_the_box_is_left_out():
    image, truth, recist, box = ellipse_slice((70, 80), (20, 12))
    image[:, 97:140] = 80
    mask = recist_mask(image, recist, box, WINDOW).mask
    assert not mask[:, 96:].any()
    assert iou(mask, truth) > 0.85


def test_parts_apart_from_the_quadrilateral_are_dropped_and_holes_filled(monkeypatch):
    image, truth, recist, box = ellipse_slice((80, 80), (30, 30), noise=0)
    hole = (slice(58, 61), slice(95, 98))  # outside the quadrilateral, inside the lesion
    speck = (slice(47, 49), slice(47, 49))  # outside the lesion, inside the box

    def with_hole_and_speck(picture, labels, *args):
        labels[:] = np.where(picture[..., 0] > 128, cv2.GC_PR_FGD, cv2.GC_BGD)

    assert truth[hole].all() and not truth[speck].any()
    image[hole], image[speck] = -150, 200
    monkeypatch.setattr(cv2, 'grabCut', with_hole_and_speck)
    mask, source = recist_mask(image, recist, box, WINDOW)
    assert source == 'grabcut'
    assert (mask == truth).all()


def test_grabcut_sees_the_box_with_its_margin_in_the_window(monkeypatch):
    image, _, recist, box = ellipse_slice((80, 85), (30, 20), noise=0)
    seen = []
    monkeypatch.setattr(cv2, 'grabCut', lambda picture, labels, *args: seen.append(picture))
    recist_mask(image, recist, box, (-60, 280), margin=7)
    recist_mask(image, recist, box, (0, 80), margin=None)
    assert seen[0].shape == (50 + 1 + 2 * 7, 70 + 1 + 2 * 7, 3)
    assert seen[1].shape == (SIZE, SIZE, 3)
    assert np.unique(seen[0]).tolist() == [0, 105]  # 140 of 340 HU
    assert np.unique(seen[1]).tolist() == [0, 255]


@pytest.mark.parametrize('radii', [(20, 20), (30, 15), (8, 6), (50, 40)])
def test_the_crop_gives_the_mask_of_the_whole_slice(radii):
    image, truth, recist, box = ellipse_slice((150, 240), radii, size=384)
    crop = recist_mask(image, recist, box, WINDOW).mask
    whole = recist_mask(image, recist, box, WINDOW, margin=None).mask
    assert iou(crop, whole) > 0.98


def test_the_same_input_gives_the_same_mask():
    image, _, recist, box = ellipse_slice((70, 85), (20, 14), inside=0, noise=60)
    first = recist_mask(image, recist, box, WINDOW).mask
    cv2.setRNGSeed(12345)
    assert (recist_mask(image, recist, box, WINDOW).mask == first).all()


def test_a_lesion_at_the_border_of_the_image():
    image, truth, recist, box = ellipse_slice((3, 155), (20, 12))
    mask = recist_mask(image, recist, box, WINDOW).mask
    assert iou(mask, truth) > 0.9


def fail(*args):
    raise cv2.error('grabCut')


def shrink(picture, labels, *args):
    labels[labels == cv2.GC_PR_FGD] = cv2.GC_PR_BGD


@pytest.mark.parametrize('grabcut', [fail, shrink])
def test_where_grabcut_fails_or_adds_nothing_the_ellipse_is_taken(monkeypatch, grabcut):
    image, truth, recist, box = ellipse_slice((70, 85), (30, 15))
    monkeypatch.setattr(cv2, 'grabCut', grabcut)
    mask, source = recist_mask(image, recist, box, WINDOW)
    assert source == 'ellipse'
    assert mask.sum() == pytest.approx(np.pi * 30 * 15, rel=0.03)
    assert iou(mask, truth) > 0.97


def test_the_ellipse_of_diameters_that_do_not_halve_each_other_holds_the_quadrilateral(monkeypatch):
    image, recist = np.zeros((SIZE, SIZE)), [40, 80, 120, 80, 50, 75, 50, 100]
    monkeypatch.setattr(cv2, 'grabCut', fail)
    mask = recist_mask(image, recist, [35, 70, 125, 105], WINDOW).mask
    quadrilateral = quadrilateral_mask(np.reshape(recist, (4, 2)), image.shape)
    assert mask[quadrilateral].all() and mask.sum() > 1.2 * quadrilateral.sum()


def test_ellipse_with_diameters_at_right_angles():
    turn = np.deg2rad(30)
    long, short = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    points = np.array([80, 70]) + [40 * long, -40 * long, 20 * short, -20 * short]
    mask = ellipse_mask(points, (SIZE, SIZE))
    assert mask.sum() == pytest.approx(np.pi * 40 * 20, rel=0.01)
    y, x = np.indices(mask.shape)
    offset = np.stack([x - 80, y - 70], axis=-1)
    expected = (offset @ long / 40) ** 2 + (offset @ short / 20) ** 2 <= 1
    assert (mask != expected).sum() <= 4  # rounding on the border


def test_oblique_diameters_span_an_oblique_ellipse_through_their_ends():
    points = np.array([[40, 80], [120, 80], [65, 60], [95, 100]], float)
    mask = ellipse_mask(points, (SIZE, SIZE))
    assert mask.sum() == pytest.approx(np.pi * abs(40 * 20 - 0 * 15), rel=0.01)
    for x, y in points.astype(int):
        assert mask[y - 1 : y + 2, x - 1 : x + 2].any()
        assert not mask[y - 1 : y + 2, x - 1 : x + 2].all()


@pytest.mark.parametrize(
    'recist, area',
    [
        ([80, 80, 80, 80, 80, 80, 80, 80], 1),
        ([60, 80, 100, 80, 80, 80, 80, 80], 41),
        ([60, 80, 100, 80, 70, 80, 90, 80], 41),
    ],
)
def test_diameters_without_length_or_parallel_give_a_small_mask(recist, area):
    """On a slice without contrast beyond them; the ends' own pixels are always lesion."""
    image = np.full((SIZE, SIZE), -60.0)
    mask, source = recist_mask(image, recist, [55, 55, 105, 105], WINDOW)
    assert source == 'ellipse'
    assert mask.sum() == pytest.approx(area, abs=6)
    assert mask[80, 80]


def test_diameters_that_do_not_cross_give_the_hull_of_their_ends():
    points = np.array([[40, 40], [80, 40], [40, 80], [80, 80]], float)
    assert quadrilateral_mask(points, (SIZE, SIZE)).sum() == 41 * 41


def test_recist_from_a_box_is_the_ellipse_in_it_less_the_padding():
    assert recist_from_box([10, 20, 40, 70]).tolist() == [25, 25, 25, 65, 15, 45, 35, 45]
    assert recist_from_box([10, 20, 70, 50]).tolist() == [15, 35, 65, 35, 40, 25, 40, 45]
    assert recist_from_box([10, 20, 16, 26]).tolist() == [12.5, 23, 13.5, 23, 13, 22.5, 13, 23.5]


@pytest.mark.parametrize(
    'recist, box, complaint',
    [
        ([1, 2, 3], [50, 50, 90, 90], 'recist is not eight'),
        ([60, 70, 80, 70, 70, 60, 70, np.nan], [50, 50, 90, 90], 'recist is not eight'),
        ([60, 70, 80, 70, 70, 60, 70, 80], [50, 50, 90], 'bbox is not four'),
        ([60, 70, 80, 70, 70, 60, 70, 80], [100, 100, 120, 120], 'outside its box'),
        ([260, 270, 280, 270, 270, 260, 270, 280], [250, 250, 290, 290], 'outside'),
        ([-60, -70, -80, -70, -70, -60, -70, -80], [-90, -90, -50, -50], 'outside'),
    ],
)
def test_numbers_that_cannot_be_used_are_errors(recist, box, complaint):
    with pytest.raises(ValueError, match=complaint):
        recist_mask(np.zeros((SIZE, SIZE)), recist, box, WINDOW)
