import cv2
import numpy as np

from mmlesion.evaluation.functional import deeplesion_protocol, evaluate_froc
from mmlesion.structures import Detections, Lesions
from mmlesion.visualization.froc_curve import draw_froc


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


def test_empty_curve(tmp_path):
    none = Detections(np.zeros(0, int), np.zeros((0, 4)), np.zeros(0))
    lesions = Lesions(np.array([0]), np.array([[0.0, 0, 9, 9]]), np.zeros(1, dtype=bool))
    draw_froc(evaluate_froc(none, lesions, 1, deeplesion_protocol()), tmp_path / 'deep' / 'a.png')
    assert (tmp_path / 'deep' / 'a.png').stat().st_size > 1000
    assert [path.name for path in (tmp_path / 'deep').iterdir()] == ['a.png']
