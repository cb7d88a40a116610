import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
TOOL = str(ROOT / 'tools/analysis_tools/browse_dataset.py')


def browse_in_a_shell(*args):
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    env.pop('DISPLAY', None)
    command = [sys.executable, TOOL, *map(str, args)]
    return subprocess.run(command, capture_output=True, encoding='utf-8', env=env)


@pytest.fixture
def browse(monkeypatch):
    def run(*args):
        monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, args)])
        runpy.run_path(TOOL, run_name='__main__')

    return run


@pytest.fixture
def config(ramp_dataset):
    for key in (5, 6):
        image = ramp_dataset.add_image(key=key, size=(60, 80))
        ramp_dataset.add_lesion(image['id'], [30, 20, 24, 16])
    for name in ('train.json', 'test.json'):
        ramp_dataset.write(name)
    path = ramp_dataset.root / 'config.py'
    names = ('_base_/default_runtime.py', 'phantom/_base_/datasets/deeplesion.py')
    bases = [str(ROOT / 'configs' / name) for name in names]
    root = str(ramp_dataset.root)
    path.write_text(
        f'_base_ = {bases}\n'
        f'train_dataloader = dict(dataset=dict(data_root={root!r}))\n'
        f'val_dataloader = dict(dataset=dict(data_root={root!r}))\n'
        "wide = dict(type='WindowHU', windows=((-1024, 3071),))\n"
        'prepare = [wide, _base_.native_size, _base_.load_boxes]\n'
        'test_pipeline = [_base_.load, *prepare, _base_.pack]\n'
        f'test_dataloader = dict(dataset=dict(data_root={root!r}, pipeline=test_pipeline))\n'
    )
    return path


def extent(picture, more, less):
    """x1, x2, y1, y2 of the pixels that have more of one channel of BGR than of another."""
    channels = picture.astype(int)
    y, x = np.nonzero(channels[..., more] - channels[..., less] > 100)
    return [x.min(), x.max(), y.min(), y.max()]


def box_extent(picture):
    """Extent of the lesion class's color, (255, 196, 0), among the grays."""
    return extent(picture, more=2, less=0)


def test_pictures_of_the_test_phase(config, browse, capsys):
    out = config.parent / 'out'
    browse(config, '--phase', 'test', '--output-dir', out)
    names = ['000001_01_02_005.png', '000002_01_02_006.png']
    assert sorted(p.name for p in out.iterdir()) == names
    picture = cv2.imread(str(out / names[0]))
    assert picture.shape == (60, 80, 3)
    expected = np.array([30, 54, 20, 36])
    np.testing.assert_allclose(box_extent(picture), expected, atol=2)
    # HU 100 * 5 + 2 * y + x - 1000 in the sample's own window, -600 to 200.
    y, x = 48, 30
    hu = 500 + 2 * y + x - 1000
    assert picture[y, x, 0] == pytest.approx((hu + 600) / 800 * 255, abs=2)
    assert '2/2' in capsys.readouterr().err


@pytest.mark.parametrize('phase', ['train', 'test'])
def test_diameters_go_with_the_boxes(config, browse, phase):
    """Through resize, flip and affine map: the box around the ends is the box, at any chance."""
    path = config.parent / f'{phase}.json'
    content = json.loads(path.read_text())
    for annotation in content['annotations']:
        # the ends of both diameters on the edges of the box, pixel n with its center at n
        annotation['recist'] = [29.5, 27.5, 53.5, 27.5, 41.5, 19.5, 41.5, 35.5]
    path.write_text(json.dumps(content))
    out = config.parent / 'out'
    options = []
    if phase == 'train':
        affine = 'train_dataloader.dataset.pipeline.5'
        options = [f'{affine}.max_rotate_degree=0', f'{affine}.max_shear_degree=0']
        options = ['--cfg-options', *options]
    browse(config, '--phase', phase, '--output-dir', out, *options)
    for picture in out.iterdir():
        picture = cv2.imread(str(picture))
        np.testing.assert_allclose(extent(picture, more=1, less=2), box_extent(picture), atol=2.5)


def test_a_window_that_the_pipeline_cuts_is_not_shown(config, browse):
    """The slices' own, -600 to 200, would show all that the pipeline sets to -200 as one gray."""
    out = config.parent / 'out'
    window = 'test_dataloader.dataset.pipeline.1.windows=((-200,250),)'
    browse(config, '--phase', 'test', '--output-dir', out, '--cfg-options', window)
    picture = cv2.imread(str(out / '000001_01_02_005.png'))
    y, x = 59, 79
    hu = 500 + 2 * y + x - 1000  # below -200: black
    assert hu < -200 and picture[y, x].max() <= 2


def test_number_and_options(config, browse):
    out = config.parent / 'out'
    option = 'train_dataloader.dataset.pipeline.3.scale=(128,128)'
    browse(config, '--output-dir', out, '--num', 1, '--cfg-options', option)
    (path,) = out.iterdir()
    assert cv2.imread(str(path)).shape == (96, 128, 3)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['no_such_config.py'], 'no_such_config.py'),
        (['CONFIG', '--phase', 'val'], 'val.json does not exist'),
    ],
)
def test_bad_input(config, browse, arguments, message):
    arguments = [config if a == 'CONFIG' else a for a in arguments]
    with pytest.raises(SystemExit, match=message) as error:
        browse(*arguments, '--output-dir', config.parent / 'out')
    assert str(error.value).startswith('error: ')
    assert not (config.parent / 'out').exists()


def test_truncated_slice_in_a_shell(config):
    path = config.parent / 'Images_png/000001_01_02/005.png'
    path.write_bytes(path.read_bytes()[:40])
    result = browse_in_a_shell(config, '--output-dir', config.parent / 'out')
    assert result.returncode == 1
    assert f'error: slice {path} is truncated' in result.stderr
    assert 'Traceback' not in result.stderr and not (config.parent / 'out').exists()
