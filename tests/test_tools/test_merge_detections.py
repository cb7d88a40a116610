import json
from pathlib import Path

import pytest

from mmlesion.io.luna16 import read_luna16_predictions

SCRIPT = Path(__file__).parents[2] / 'tools' / 'analysis_tools' / 'merge_detections.py'
HEADER = 'seriesuid,coordX,coordY,coordZ,probability'


@pytest.fixture
def merge(load_tool):
    module = load_tool(SCRIPT)
    return lambda *args: module.main([str(arg) for arg in args])


@pytest.fixture
def submissions(tmp_path):
    rows = (['a,0,0,0,0.9', 'b,0,0,0,0.8'], ['a,2,0,-2,0.5', 'b,9,9,9,0.4', 'c,0,0,0,0.1'])
    paths = tmp_path / 'first.csv', tmp_path / 'second.csv'
    for path, lines in zip(paths, rows):
        path.write_text('\n'.join([HEADER, *lines]) + '\n')
    return paths


def test_submissions(merge, submissions, tmp_path, capsys):
    out = tmp_path / 'run' / 'merged.csv'
    merge(*submissions, '--out', out)
    found = read_luna16_predictions(out, ['a', 'b', 'c']).detections
    assert found.case.tolist() == [0, 1, 1, 2]
    assert found.geometry[0].tolist() == [1, 0, -1]
    assert found.score.tolist() == pytest.approx([0.7, 0.8, 0.4, 0.1])
    merge(*submissions, '--out', out, '--mode', 'intersection')
    assert out.read_text() == f'{HEADER}\na,1.0,0.0,-1.0,0.7\n'
    assert 'intersection of 1 written' in capsys.readouterr().out


def test_spheres_and_boxes(merge, tmp_path):
    spheres = [
        dict(series_uid='a', center_mm=[x, 0, 0], diameter_mm=d, score=0.5, category_id=2)
        for x, d in ((0, 4), (1, 8))
    ]
    boxes = [dict(image_id=7, bbox=[x, 0, 10, w], score=0.5) for x, w in ((0, 10), (2, 12))]
    for rows in (spheres, boxes):
        paths = [tmp_path / '1.json', tmp_path / '2.json']
        for path, row in zip(paths, rows):
            path.write_text(json.dumps([row]))
        merge(*paths, '--out', tmp_path / 'out.json')
        (merged,) = json.loads((tmp_path / 'out.json').read_text())
        if rows is spheres:
            assert merged == {**spheres[0], 'center_mm': [0.5, 0, 0], 'diameter_mm': 6}
        else:
            assert merged == {**boxes[0], 'bbox': [1, 0, 10, 11], 'category_id': 1}


def test_bad_input(merge, submissions, tmp_path):
    out = tmp_path / 'out.csv'
    with pytest.raises(SystemExit, match='error: .*none.csv: No such file'):
        merge(tmp_path / 'none.csv', submissions[1], '--out', out)
    (tmp_path / 'boxes.json').write_text('[{"image_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]')
    with pytest.raises(SystemExit, match='different kinds'):
        merge(tmp_path / 'boxes.json', submissions[1], '--out', out)
    (tmp_path / 'boxes.json').write_text('[{"image_id": 1, "bbox": [0, 0, 1, 1]}]')
    with pytest.raises(SystemExit, match='result 0 .* missing required field `score`'):
        merge(tmp_path / 'boxes.json', tmp_path / 'boxes.json', '--out', out)
    with pytest.raises(SystemExit, match='--iou-thr is 1.0'):
        merge(*submissions, '--out', out, '--iou-thr', 1)
    assert not out.exists()
