import numpy as np
import pytest
from harness.drawn import list_key_slices, write_series

from mmlesion.io.slices import read_hu
from mmlesion.utils import UserError


def test_series_are_a_body_in_air(tmp_path):
    write_series(tmp_path, 2, 3, 32, seed=0)
    keys = list_key_slices(tmp_path)
    assert [(key.folder.name, key.number, key.last) for key in keys] == [
        (f'00000{series}_01_01', number, 3) for series in (1, 2) for number in (1, 2, 3)
    ]
    hu = read_hu(keys[4].path)
    assert hu.shape == (32, 32)
    assert np.median(hu[12:20, 12:20]) == pytest.approx(40, abs=10) and hu[0, 0] < -900
    assert keys[4].sample(2.5) == dict(
        img_path=keys[4].path, slice_index=2, slice_range=[1, 3], slice_interval=2.5
    )


def test_series_that_cannot_be_used(tmp_path):
    with pytest.raises(UserError, match='has no folders of slices'):
        list_key_slices(tmp_path)
    write_series(tmp_path, 1, 3, 8, seed=0)
    (tmp_path / '000001_01_01/002.png').unlink()
    with pytest.raises(UserError, match='without a gap'):
        list_key_slices(tmp_path)
