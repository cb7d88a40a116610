import json

import cv2
import numpy as np
import pytest

from mmlesion.froc import (
    OverlapCriterion,
    outcomes_at,
    pick_in_turn,
    threshold_at,
)
from mmlesion.structures import Detections, Lesions
from mmlesion.visualization import match_panels
from mmlesion.visualization.match_panels import Panel, PanelBox, draw_match_panels

TOOL = 'analysis_tools/draw_matches.py'
SIZE = 300  # px of a panel of the 100 px slices, so 3 px per px


def add(items, boxes, *columns):
    corners = np.array([[x, y, x + w, y + h] for x, y, w, h in boxes], dtype=float).reshape(-1, 4)
    return np.array(items), corners, *map(np.array, columns)


@pytest.fixture
def known():
    """Two images with known matches.

    Image 0: a lesion found twice, an ignored one that is matched, and a false positive. Image 1: a
    missed lesion and a detection under the threshold that would find it.
    """
    boxes = [(10, 10, 20, 20), (60, 60, 20, 20), (40, 40, 10, 30)]
    lesions = Lesions(*add([0, 0, 1], boxes, [False, True, False]))
    boxes = [(40, 40, 10, 30), (12, 10, 20, 20), (10, 60, 9, 9), (10, 10, 20, 20), (60, 60, 20, 18)]
    detections = Detections(*add([1, 0, 0, 0, 0], boxes, [0.2, 0.7, 0.5, 0.9, 0.6]))
    return detections, lesions


def test_known_outcomes(known):
    outcomes = outcomes_at(*known, OverlapCriterion(), 0.5)
    assert outcomes.detections.score.tolist() == [0.9, 0.7, 0.6, 0.5]
    # a second match and one of ignored ground truth count neither way
    assert outcomes.true_positive.tolist() == [True, False, False, False]
    assert outcomes.false_positive.tolist() == [False, False, False, True]
    assert outcomes.missed.tolist() == [False, False, True]
    everything = outcomes_at(*known, OverlapCriterion(), 0.2)
    assert everything.true_positive.tolist() == [True, False, False, False, True]
    assert not everything.missed.any()
    nothing = outcomes_at(*known, OverlapCriterion(), 1)
    assert len(nothing.detections) == 0 and nothing.missed.tolist() == [True, False, True]


def test_threshold_lets_no_more_false_positives_in(known):
    criterion = OverlapCriterion()
    assert threshold_at(*known, 2, criterion, 0.5) == 0.2
    assert threshold_at(*known, 2, criterion, 0.4) == 0.6
    first_is_false = known[0].take(known[0].score == 0.5)
    assert threshold_at(first_is_false, known[1], 2, criterion, 0.4) is None


def test_pick_in_turn():
    patients = ['a', 'a', 'b', 'c', 4, '4']
    assert pick_in_turn([[0, 1, 2], [1, 3, 4, 5]], patients, 9) == [0, 2, 3, 4]
    assert pick_in_turn([[0, 1, 2], [1, 3, 4, 5]], patients, 2) == [0, 3]
    assert pick_in_turn([[], [5]], patients, 3) == [5]
    assert pick_in_turn([[], []], patients, 3) == []


def pixels_like(picture, kind):
    """Where a picture (h, w, 3) BGR has about a kind's hue: (y, x) of each."""
    hues = {
        'true_positive': lambda b, g, r: (g > r + 90) & (g > b + 90),
        'false_positive': lambda b, g, r: (r > g + 90) & (r > b + 90),
        'missed': lambda b, g, r: (r > b + 90) & (g > b + 90) & (abs(r - g) < 80),
    }
    return hues[kind](*np.moveaxis(picture.astype(int), -1, 0))


def panel_of(picture):
    """The slice of a sheet of one."""
    gap, title = match_panels._GAP, match_panels._TITLE
    return picture[title : title + SIZE, gap : gap + SIZE]


def draw_one(path, boxes, hu=-1000.0, window=(-1000, 400)):
    panel = Panel(np.full((100, 100), hu), window, (1, 1), 'slice', boxes)
    draw_match_panels([panel], 'caption', path, SIZE)
    return panel_of(cv2.imread(str(path)))


BOX = np.array([20.0, 40, 60, 80])


@pytest.mark.parametrize('kind', ['true_positive', 'false_positive', 'missed'])
def test_box_lies_where_it_belongs(tmp_path, kind):
    drawn = draw_one(tmp_path / 'one.png', [PanelBox(kind, BOX)])
    drawn[: 40 * 3 - 4] = 0  # its label
    y, x = np.nonzero(pixels_like(drawn, kind))
    found = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
    np.testing.assert_allclose(found, BOX * 3, atol=2.5)


def test_lines_differ_without_color(tmp_path):
    shares = {}
    for kind in ('true_positive', 'false_positive', 'missed'):
        drawn = draw_one(tmp_path / 'one.png', [PanelBox(kind, BOX)])
        edge = drawn[125:235, 58:63].max(axis=(1, 2))  # the left edge, without its corners
        shares[kind] = (np.count_nonzero(edge > 150) / len(edge), edge)
    solid, dashed, dotted = (shares[kind][0] for kind in shares)
    assert solid == 1 and 0.4 < dashed < 0.9 and 0.2 < dotted < 0.9
    changes = {kind: np.abs(np.diff(edge > 150)).sum() for kind, (_, edge) in shares.items()}
    assert changes['true_positive'] == 0 < 1.5 * changes['false_positive'] < changes['missed']


def test_window_and_non_square_pixels(tmp_path):
    drawn = draw_one(tmp_path / 'one.png', [], hu=-300)[3:-3, 3:-3]
    assert np.isin(drawn, (127, 128)).all(), 'the middle of the window'
    panel = Panel(np.full((50, 100), 400.0), (-1000, 400), (1, 2), '', [])
    draw_match_panels([panel], '', tmp_path / 'two.png', SIZE)
    assert (panel_of(cv2.imread(str(tmp_path / 'two.png')))[3:-3, 3:-3] == 255).all()


def test_labels_keep_off_each_other_and_inside():
    taken = [np.array([0.0, 25, 10, 35])]
    for _ in range(6):
        place = match_panels._free_place(taken[0], np.array([12.0, 4]), taken, (60, 60))
        corners = np.concatenate([place, place + [12, 4]])
        assert corners.min() >= 0 and corners.max() <= 60
        assert not match_panels._covers_any(corners[:2], corners[2:], taken)
        taken.append(corners)


@pytest.fixture
def files(ramp_dataset):
    """Three patients, the options that read them, and the folder.

    The first has a lesion that is found, the second one that is missed, the third a false positive
    beside its found lesion.
    """
    for _ in range(3):
        ramp_dataset.add_image(first=6, last=6)
    for image_id, box in ((1, [2, 2, 8, 8]), (2, [10, 4, 12, 12]), (3, [2, 2, 8, 8])):
        ramp_dataset.add_lesion(image_id, box)
    rows = [(1, [2, 2, 8, 8], 0.9), (3, [2, 2, 8, 7], 0.8), (3, [20, 10, 6, 6], 0.7)]
    results = [dict(image_id=i, bbox=bbox, score=score) for i, bbox, score in rows]
    (ramp_dataset.root / 'pred.json').write_text(json.dumps(results))
    gt, pred = ramp_dataset.write(), ramp_dataset.root / 'pred.json'
    return ['--gt', gt, '--pred', pred, '--images', ramp_dataset.images_dir]


@pytest.fixture
def draw(load_tool, tmp_path, monkeypatch):
    """Run the tool; return its panels."""
    module = load_tool(TOOL)
    drawn = []

    def keep(panels, *args):
        drawn[:] = panels
        draw_match_panels(panels, *args)

    monkeypatch.setattr(module, 'draw_match_panels', keep)

    def run(*args):
        module.main([*map(str, args), '--out', str(tmp_path / 'out.png')])
        return drawn[:]

    return run


def kinds(panels):
    return [[box.kind for box in panel.boxes] for panel in panels]


def test_cases(draw, files, tmp_path, capsys):
    mixed = draw(*files)
    assert [panel.title[:6] for panel in mixed] == ['000001', '000002', '000003']
    assert kinds(mixed) == [['true_positive'], ['missed'], ['true_positive', 'false_positive']]
    assert mixed[2].boxes[1].score == 0.7 and mixed[2].boxes[1].bbox.tolist() == [20, 10, 26, 16]
    assert 'score ≥ 0.700: 2 of 3 lesions found, 0.33 false' in capsys.readouterr().out
    first = (tmp_path / 'out.png').read_bytes()
    draw(*files)
    assert (tmp_path / 'out.png').read_bytes() == first
    assert kinds(draw(*files, '--cases', 'missed')) == [['missed']]
    assert kinds(draw(*files, '--cases', 'false-positives')) == [kinds(mixed)[2]]
    assert kinds(draw(*files, '--cases', 'found', '--num', 1)) == [['true_positive']]
    # at 0.2 per image the false positive is out of the operating point, its image's lesion in it
    assert kinds(draw(*files, '--fp-per-image', 0.2))[-1] == ['missed']
    assert kinds(draw(*files, '--score-thr', 0.85, '--cases', 'missed')) == [['missed']] * 2


def test_windows(draw, files):
    assert list(draw(*files)[0].window) == [-600, 200]
    assert draw(*files, '--window', -100, 300)[0].window == [-100, 300]


def test_largest_missed_lesion_first(draw, files, ramp_dataset):
    ramp_dataset.content['images'][0]['spacing'] = [2.0, 2.0]
    ramp_dataset.write()
    missed = draw(*files, '--score-thr', 1, '--cases', 'missed')
    assert [panel.title[:6] for panel in missed] == ['000001', '000002', '000003']


def test_boxes_of_deeplesions_frame(draw, files, ramp_dataset):
    for image in ramp_dataset.content['images']:
        image['pixel_center'] = 0.0
    ramp_dataset.content['annotations'][1]['ignore'] = 1
    ramp_dataset.write()
    panels = draw(*files)
    assert panels[0].boxes[0].bbox.tolist() == [2.5, 2.5, 10.5, 10.5]
    assert kinds(draw(*files, '--cases', 'found')) == kinds(panels)


def test_one_slice_of_a_patient(draw, files, ramp_dataset):
    for image in ramp_dataset.content['images']:
        image['patient_id'] = 7
    ramp_dataset.write()
    assert kinds(draw(*files)) == [['true_positive']]


def test_errors(draw, files, ramp_dataset, tmp_path):
    def refused(message, *args):
        with pytest.raises(SystemExit, match=f'error: .*{message}') as end:
            draw(*files, *args)
        assert '\n' not in str(end.value.code)
        assert not (tmp_path / 'out.png').exists()

    refused('no slices to draw with --cases found', '--cases', 'found', '--score-thr', 1)
    refused('--fp-per-image is 0', '--fp-per-image', 0)
    refused('--num is 0', '--num', 0)
    refused('--size is 9', '--size', 9)
    refused('--window is', '--window', 5, 5)
    refused('000001_01_02.*no such slice; give', '--images', tmp_path / 'none')
    pred = tmp_path / 'other.json'
    pred.write_text(json.dumps([dict(image_id=99, bbox=[0, 0, 1, 1], score=1)]))
    refused('images that the ground truth does not list .99.', '--pred', pred)
    pred.write_text('[]')
    refused('has no detections', '--pred', pred)
    pred.write_text(json.dumps([dict(image_id=2, bbox=[0, 0, 1, 1], score=1)]))
    refused('the highest score makes more than 0.1 false', '--pred', pred, '--fp-per-image', 0.1)
    refused('none.json: No such file', '--gt', tmp_path / 'none.json')
    del ramp_dataset.content['images'][0]['file_name']
    ramp_dataset.write()
    refused('image 1 has no "file_name"')


def test_unknown_format(load_tool, files, tmp_path):
    with pytest.raises(SystemExit, match='error: --out is .*out.bmp: give'):
        load_tool(TOOL).main([*map(str, files), '--out', str(tmp_path / 'out.bmp')])
