import json
from pathlib import Path

import numpy as np
import pytest

from mmlesion.io.sub_volumes import read_proposals
from mmlesion.mining import VolumeStore

TOOL = Path(__file__).parents[2] / 'tools' / 'label_proposals.py'
SERIES = '000001_01_02'


@pytest.fixture
def data(ramp_dataset):
    """A series with an annotated lesion, and what a detector has found in it."""
    image = ramp_dataset.add_image(size=(64, 64))  # slices 3 to 9, of which 6 is annotated
    ramp_dataset.add_lesion(image['id'], [10, 10, 20, 20])
    ramp_dataset.write()
    boxes = [[10, 10, 30, 30], [11, 10, 31, 30], [50, 50, 60, 60], [20, 10, 40, 30]]
    slices, scores = np.array([5, 6, 9, 6]), np.array([0.5, 0.9, 0.25, 0.3])
    store = VolumeStore(ramp_dataset.root / 'mined.json.mining' / 'proposals', 'a detector')
    arrays = dict(pooled_boxes=np.array(boxes, float), pooled_slices=slices, pooled_scores=scores)
    store.save(SERIES, arrays)
    return ramp_dataset.root


@pytest.fixture
def run(run_tool, data):
    def call(annotations='train.json', work_dir='mined.json.mining', *options):
        paths = ['--images', data / 'Images_png', '--work-dir', data / work_dir]
        run_tool(TOOL, data / annotations, *paths, '--out', data / 'proposals.json', *options)

    return call


def test_lesions_and_false_positives(run, data, capsys):
    run()
    rows = read_proposals(data / 'proposals.json', labeled=True)
    assert list(rows) == [f'{SERIES}_003-009']
    x1 = (10 * 0.5 + 11 * 0.9) / 1.4
    expected = [[x1, 10, 5, x1 + 19, 29, 6, 0.9, 1], [50, 50, 9, 59, 59, 9, 0.25, 0]]
    # the fourth box has an IoU of 1 / 3 with the lesion
    np.testing.assert_allclose(rows[f'{SERIES}_003-009'], expected)
    assert '1 lesions and 1 false positives in 1 sub-volumes' in capsys.readouterr().out
    run('train.json', 'mined.json.mining', '--theta-fp', '0.4')
    rows = read_proposals(data / 'proposals.json', labeled=True)[f'{SERIES}_003-009']
    assert rows[:, 7].tolist() == [1, 0, 0]


def test_mined_annotations_count(run, data):
    coco = json.loads((data / 'train.json').read_text())
    slice_9 = dict(coco['images'][0], id=2, file_name=f'{SERIES}/009.png', slice_index=9)
    mined = dict(coco['annotations'][0], id=2, image_id=2, bbox=[50, 50, 10, 10])
    coco['images'].append(slice_9)
    coco['annotations'].append(mined)
    for extra, label in ((dict(source='matching'), [1, 1]), (dict(ignore=1), [1])):
        mined.update(extra)
        (data / 'mined.json').write_text(json.dumps(coco))
        run('mined.json')
        rows = read_proposals(data / 'proposals.json', labeled=True)
        assert rows[f'{SERIES}_003-009'][:, 7].tolist() == label
