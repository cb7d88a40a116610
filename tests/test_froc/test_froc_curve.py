import cv2
import numpy as np

from mmlesion.froc import deeplesion_protocol, evaluate_froc
from mmlesion.structures import Detections, Lesions
from mmlesion.visualization.froc_plots import draw_froc, look_of


def result(score, bootstrap=0):
    boxes = np.array([[0.0, 0, 9, 9], [30, 30, 39, 39]])
    lesions = Lesions(np.array([0, 1]), boxes, np.zeros(2, dtype=bool))
    detections = Detections(np.array([0, 0, 1]), boxes[[0, 1, 1]], np.array([0.9, 0.5, score]))
    return evaluate_froc(detections, lesions, 2, deeplesion_protocol(), bootstrap=bootstrap)


def test_several_curves_differ_from_one(tmp_path):
    draw_froc(result(0.1), tmp_path / 'one.png')
    draw_froc({'a': result(0.1, bootstrap=5), 'b': result(0.7)}, tmp_path / 'two.png')
    one, two = (cv2.imread(str(tmp_path / name)) for name in ('one.png', 'two.png'))
    assert one.shape == two.shape and one.std() > 0
    # The second curve has a color of its own, orange, that the first picture lacks.
    orange = [((picture[..., 2] > 200) & (picture[..., 0] < 60)).sum() for picture in (one, two)]
    assert orange[0] == 0 and orange[1] > 50


def test_the_legend_of_many_curves_leaves_the_axes_their_place(tmp_path):
    """Dark pixels of the frame's left and right edge: nine curves take little of the width."""
    names = [f'a class with a long name {number}' for number in range(9)]
    draw_froc(dict.fromkeys(names, result(0.1)), tmp_path / 'many.png')
    picture = cv2.imread(str(tmp_path / 'many.png')).max(axis=2)
    height, width = picture.shape
    columns = np.flatnonzero((picture < 60).sum(axis=0) > 0.7 * height)
    assert columns[0] < 0.15 * width and columns[-1] > 0.5 * width
    assert picture[:, -3:].min() > 200 and picture[-3:].min() > 200  # nothing is cut off


def test_empty_curve(tmp_path):
    none = Detections(np.zeros(0, int), np.zeros((0, 4)), np.zeros(0))
    lesions = Lesions(np.array([0]), np.array([[0.0, 0, 9, 9]]), np.zeros(1, dtype=bool))
    draw_froc(evaluate_froc(none, lesions, 1, deeplesion_protocol()), tmp_path / 'deep' / 'a.png')
    assert (tmp_path / 'deep' / 'a.png').stat().st_size > 1000
    assert [path.name for path in (tmp_path / 'deep').iterdir()] == ['a.png']


def test_runs_differ_without_color():
    looks = [look_of(number) for number in range(28)]
    assert len({(look['linestyle'], look['marker']) for look in looks}) == 28


def test_confidence_band_and_legend_outside_the_axes(tmp_path):
    draw_froc(result(0.1), tmp_path / 'plain.png')
    interval = dict(lower=[0.3] * 7, upper=[0.7] * 7, mean=[0.3, 0.7])
    draw_froc({**result(0.1), 'confidence_interval': interval}, tmp_path / 'band.png')
    plain, band = (cv2.imread(str(tmp_path / f'{name}.png')) for name in ('plain', 'band'))
    tinted = [((p[..., 0].astype(int) - p[..., 2]) > 10).sum() for p in (plain, band)]
    assert tinted[1] > tinted[0] + 10_000  # light blue
    # The frame's lower edge is its lowest long dark row; the legend has its own frame below.
    dark = np.flatnonzero((plain.max(axis=2) < 60).sum(axis=1) > 0.7 * plain.shape[1])
    legend = plain[dark[-1] + 60 :]
    assert (legend.min(axis=(1, 2)) < 100).any()
