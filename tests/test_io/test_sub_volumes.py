import json
from pathlib import Path

import numpy as np
import pytest

from mmlesion.io.sub_volumes import SubVolume, consecutive_runs, mask_boxes
from mmlesion.utils import UserError

MANUAL = Path(__file__).parents[3] / 'shared' / 'data' / 'deeplesion' / 'manual_val_3d.json'


def test_runs_of_consecutive_slices():
    runs = consecutive_runs('000187_05_01', [*range(20, 46), *range(61, 74), 80])
    names = ['000187_05_01_020-045', '000187_05_01_061-073', '000187_05_01_080-080']
    assert [run.name for run in runs] == names
    assert [SubVolume.parse(name) for name in names] == runs
    assert consecutive_runs('x', []) == []


@pytest.mark.parametrize('name', ['000187_05_01', '000187_05_01_045-020', '020-045'])
def test_names_that_are_none(name):
    with pytest.raises(UserError, match='no sub-volume such as'):
        SubVolume.parse(name)


@pytest.mark.skipif(not MANUAL.is_file(), reason=f'{MANUAL} is not there')
def test_names_of_the_manual_test_set():
    for name, boxes in json.loads(MANUAL.read_text()).items():
        sub_volume = SubVolume.parse(name)
        assert sub_volume.name == name
        assert all(sub_volume.first <= z1 <= z2 <= sub_volume.last for _, _, z1, *_, z2 in boxes)


def test_boxes_of_masks():
    labels = np.zeros((5, 30, 40), np.uint8)
    labels[1:3, 10:14, 20:26] = 4
    labels[2, 0:2, 37:40] = 1
    labels[4, 5, 5] = 4  # of another run
    slices = np.array([7, 8, 9, 10, 30])
    found = mask_boxes(labels, slices, SubVolume('s', 7, 10))
    assert found == [[32, 0, 9, 39, 6, 9], [15, 5, 8, 30, 18, 9]]
    assert mask_boxes(labels, slices, SubVolume('s', 9, 9), margin=0)[1] == [20, 10, 9, 25, 13, 9]
    assert mask_boxes(labels, slices, SubVolume('s', 10, 10)) == []
