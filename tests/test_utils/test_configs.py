import pytest
from mmengine.config import Config

from mmlesion.utils import UserError
from mmlesion.utils.configs import load_config


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(
        'model = dict(depth=18, scales=[dict(a=1), dict(a=2)])\ntest_dataloader = dict()\n'
    )
    return path


def test_options_and_copies(config):
    cfg = load_config(config, {'model.depth': 50, 'model.scales.0.a': 3})
    assert cfg.model == dict(depth=50, scales=[dict(a=3), dict(a=2)])
    again = load_config(cfg, {'model.depth': 34})
    assert (cfg.model.depth, again.model.depth) == (50, 34)
    assert load_config(Config(dict(a=1))).a == 1


def test_of_mmdet():
    cfg = load_config('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', needed=['model'])
    assert cfg.model.type == 'RetinaNet'


@pytest.mark.parametrize(
    'text, message',
    [
        ('a = (', 'SyntaxError: '),
        ("_base_ = './missing.py'", 'FileNotFoundError: .*missing.py'),
        ("_base_ = ['./config.py', './other.py']\n", 'KeyError: .*[Dd]uplicate key'),
        ('a = b', "NameError: name 'b' is not defined"),
        ("custom_imports = dict(imports=['no_such_module'])", 'ImportError: .*no_such_module'),
        ('a = 1 / 0', 'ZeroDivisionError: division by zero'),
        ('\xff', 'cannot be read: '),
    ],
)
def test_configs_that_cannot_be_read(config, text, message):
    (config.parent / 'other.py').write_text('model = dict(depth=1)')
    broken = config.parent / 'broken.py'
    broken.write_bytes(text.encode('latin-1'))
    with pytest.raises(UserError, match=f'^the config {broken} cannot be read: ') as caught:
        load_config(broken)
    assert caught.match(message) and len(str(caught.value).splitlines()) == 1


def test_missing_files(tmp_path):
    with pytest.raises(UserError, match='the config .*none.py does not exist'):
        load_config(tmp_path / 'none.py')
    with pytest.raises(UserError, match=f'the config {tmp_path} cannot be read: '):
        load_config(tmp_path)
    with pytest.raises(UserError, match='the config mmdet::retinanet/none.py cannot be read: '):
        load_config('mmdet::retinanet/none.py')


def test_options_and_parts_that_do_not_fit(config):
    with pytest.raises(UserError, match=f'{config} cannot take the options .*scales.5'):
        load_config(config, {'model.scales.5': 1})
    with pytest.raises(UserError, match=f'{config} has no train_dataloader and val_dataloader: '):
        load_config(config, needed=['model', 'train_dataloader', 'val_dataloader'])
