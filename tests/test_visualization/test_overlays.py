import numpy as np

from mmlesion.io.schema import LUNG_WINDOW, SOFT_TISSUE_WINDOW
from mmlesion.structures import Segment
from mmlesion.visualization.overlays import (
    BANNER,
    BOX_COLOR,
    MASK_COLOR,
    choose_window,
    draw_lesion,
)


def test_window_follows_the_surroundings():
    thorax = np.full((100, 100), 40.0)
    thorax[20:80, 10:45] = -850  # lung
    thorax[45:55, 20:30] = 30  # a nodule in it
    assert choose_window(thorax, (19, 44, 31, 56)) == LUNG_WINDOW
    assert choose_window(thorax, (60, 40, 80, 60)) == SOFT_TISSUE_WINDOW
    outside = np.full((100, 100), -1000.0)
    assert choose_window(outside, (10, 10, 20, 20)) == SOFT_TISSUE_WINDOW


def test_square_pixels_window_and_box():
    # 64 x 32 px of 0.5 x 2 mm are 32 x 64 mm: 16 px per mm.
    slice_hu = np.full((32, 64), 40.0)
    slice_hu[:, :32] = 500
    picture = draw_lesion(slice_hu, (32, 8, 48, 16), (0.5, 2.0), '')[BANNER:]
    assert picture.shape == (1024, 512, 3)
    assert (picture[300, 100] == 255).all(), 'above the window'
    # (40 + 160) / 400 of 255 is 127
    assert (picture[600, 400] == 127).all()
    colored = np.argwhere((picture == BOX_COLOR).all(-1))
    np.testing.assert_allclose(colored.min(0), (8 * 32, 32 * 8), atol=1)
    np.testing.assert_allclose(colored.max(0), (16 * 32, 48 * 8), atol=1)


def test_mask_and_diameters():
    slice_hu = np.full((32, 64), -1000.0)
    segment = Segment(np.ones((3, 10), bool), (20, 10))
    # px n has its center at n: at n + 1/2 of the picture, 8 px by 32 px of it a px
    recist = np.array([[19.5, 11], [29.5, 11], [25, 9.5], [25, 12.5]])
    picture = draw_lesion(slice_hu, (60, 2, 62, 4), (0.5, 2.0), '', segment, recist)[BANNER:]
    y, x = np.nonzero((picture == MASK_COLOR).all(-1))
    found = [x.min(), x.max(), y.min(), y.max()]
    np.testing.assert_allclose(found, [20 * 8, 30 * 8, 10 * 32, 13 * 32], atol=1)
    green = picture[..., 1] > picture[..., [0, 2]].max(-1) + 100.0
    y, x = np.nonzero(green)
    found = [x.min(), x.max(), y.min(), y.max()]
    np.testing.assert_allclose(found, [20 * 8, 30 * 8, 10 * 32, 13 * 32], atol=2)
    assert green[int(11.5 * 32), 22 * 8] and green[11 * 32, int(25.5 * 8)]


def test_boxes_over_the_border_are_drawn():
    picture = draw_lesion(np.zeros((20, 20)), (-5, -5, 3, 30), (1.0, 1.0), 'text')
    assert (picture == BOX_COLOR).all(-1).any()
