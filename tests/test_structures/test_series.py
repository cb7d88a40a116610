import json
from pathlib import Path

import numpy as np
import pytest

from mmlesion.structures import SliceSeries, SubVolume, consecutive_runs
from mmlesion.utils import UserError

MANUAL = Path(__file__).parents[3] / 'shared' / 'data' / 'deeplesion' / 'manual_val_3d.json'


def test_runs_of_consecutive_slices():
    numbers = np.array([*range(20, 46), *range(61, 74), 80])
    runs = SliceSeries('000187_05_01', numbers, []).sub_volumes
    names = ['000187_05_01_020-045', '000187_05_01_061-073', '000187_05_01_080-080']
    assert [run.name for run in runs] == names
    assert [SubVolume.parse(name) for name in names] == runs
    assert consecutive_runs(numbers) == [(20, 45), (61, 73), (80, 80)]
    assert consecutive_runs([]) == []


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
