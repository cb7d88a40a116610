import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

REPO = Path(__file__).parents[2]
TOOL = REPO / 'tools/infer.py'
CONFIG = REPO / 'configs/phantom/baselines/faster-rcnn_r18_fpn_phantom.py'


def infer(*args):
    """Run the tool in a process of its own."""
    command = [sys.executable, str(TOOL), *map(str, args)]
    env = dict(os.environ, PYTHONPATH=str(REPO))
    return subprocess.run(command, capture_output=True, encoding='utf-8', env=env)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    import mmlesion  # noqa: F401 (registers mmlesion's components)

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'random.pth'
    model = MODELS.build(dict(Config.fromfile(CONFIG).model, _scope_='mmdet'))
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


@pytest.fixture(scope='module')
def scan(tmp_path_factory):
    array = np.random.default_rng(0).integers(-200, 200, (5, 40, 48)).astype(np.int16)
    path = tmp_path_factory.mktemp('scan') / 'scan.nii.gz'
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    return path


def test_volume_to_lesions(tmp_path, scan, checkpoint):
    out = tmp_path / 'out'
    options = ['--device', 'cpu', '--batch-size', 3, '--score-thr', 0.01, '--max-overlays', 1]
    small = ['--cfg-options', 'test_dataloader.dataset.pipeline.2.scale=(64,64)']
    result = infer(scan, CONFIG, checkpoint, '--out', out, *options, *small)
    assert result.returncode == 0, result.stderr
    content = json.loads((out / 'lesions.json').read_text())
    assert f'{len(content["lesions"])} lesions written to {out}' in result.stdout
    assert content['lesions'] and content['detector']['checkpoint'] == str(checkpoint)
    assert sorted(path.name for path in out.iterdir()) == [
        'lesions.csv',
        'lesions.json',
        'lesions.nii.gz',
        'overlays',
    ]
    assert 'slices: 100%' in result.stderr


def test_bad_input_in_a_process(tmp_path, checkpoint):
    result = infer(tmp_path / 'none', CONFIG, checkpoint, '--out', tmp_path / 'out')
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    assert f'error: {tmp_path / "none"} does not exist' in result.stderr
    assert list(tmp_path.iterdir()) == []
