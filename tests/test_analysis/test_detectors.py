import pytest
from mmengine.config import Config

from mmlesion.analysis.detectors import load_configs, without_pretrained
from mmlesion.utils import UserError


def test_weights_to_download_are_left_out_everywhere():
    pretrained = dict(type='Pretrained', checkpoint='torchvision://resnet50')
    kaiming = dict(type='Kaiming')
    cfg = Config(
        dict(a=dict(init_cfg=pretrained), b=[dict(init_cfg=pretrained), 1], init_cfg=kaiming)
    )
    plain = without_pretrained(cfg._cfg_dict)
    assert plain == dict(a=dict(init_cfg=None), b=[dict(init_cfg=None), 1], init_cfg=kaiming)
    assert cfg.a.init_cfg == pretrained


def test_configs_that_cannot_be_loaded(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text('model = dict()')
    assert list(load_configs([config])) == ['config']
    with pytest.raises(UserError, match='given twice'):
        load_configs([config, config])
    with pytest.raises(UserError, match='nowhere.py does not exist'):
        load_configs([config, 'nowhere.py'])
