import pytest
from harness.benchmark import load_configs

from mmlesion.utils import UserError


def test_configs_that_cannot_be_loaded(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text('model = dict()')
    assert list(load_configs([config])) == ['config']
    with pytest.raises(UserError, match='given twice'):
        load_configs([config, config])
    with pytest.raises(UserError, match='nowhere.py does not exist'):
        load_configs([config, 'nowhere.py'])
