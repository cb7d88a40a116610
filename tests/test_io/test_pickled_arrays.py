import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from mmlesion.io.pickled_arrays import load_arrays
from mmlesion.utils import UserError


class RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_survive_every_protocol(tmp_path, protocol):
    boxes = {'val': OrderedDict(a=np.arange(6.0).reshape(1, 6), b=np.zeros((0, 6), np.float32))}
    boxes['scalar'], boxes['numbers'] = np.float64(0.5), {1, 2}
    path = tmp_path / 'boxes.pkl'
    path.write_bytes(pickle.dumps(boxes, protocol))

    loaded = load_arrays(path)

    np.testing.assert_array_equal(loaded['val']['a'], boxes['val']['a'])
    assert loaded['val']['b'].shape == (0, 6) and loaded['val']['b'].dtype == np.float32
    assert loaded['scalar'] == 0.5 and loaded['numbers'] == {1, 2}


def test_code_is_refused_and_named(tmp_path):
    path, trace = tmp_path / 'bad.pkl', tmp_path / 'made'
    path.write_bytes(pickle.dumps(RunsCode(trace)))
    with pytest.raises(UserError, match=rf'bad\.pkl.*{os.mkdir.__module__}\.mkdir'):
        load_arrays(path)
    assert not trace.exists()


@pytest.mark.parametrize('content', [b'', b'not a pickle', pickle.dumps(list(range(99)))[:-9]])
def test_damaged_file(tmp_path, content):
    path = tmp_path / 'damaged.pkl'
    path.write_bytes(content)
    with pytest.raises(UserError, match='not a readable pickle'):
        load_arrays(path)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match='No such file'):
        load_arrays(tmp_path / 'none.pkl')
