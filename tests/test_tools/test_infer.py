import csv
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from forked_programs import run_script
from mmdet.registry import MODELS
from mmengine.config import Config

REPO = Path(__file__).parents[2]
TOOL = REPO / 'tools/infer.py'
CONFIG = REPO / 'configs/phantom/baselines/faster-rcnn_r18_fpn_phantom.py'


def infer(*args):
    """Run the tool in a process of its own."""
    return run_script(TOOL, *args)


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


def test_lungs_are_for_detectors_of_lungs(tmp_path, scan, checkpoint, monkeypatch):
    options = ['--out', tmp_path / 'out', '--device', 'cpu', '--lungs', scan]
    args = [scan, CONFIG, checkpoint, *options]
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, args)])
    with pytest.raises(SystemExit, match='error: the detector was not trained on lungs'):
        runpy.run_path(str(TOOL), run_name='__main__')


@pytest.mark.parametrize('broken', ['volume', 'config', 'checkpoint'])
def test_missing_input(tmp_path, scan, checkpoint, broken, monkeypatch):
    paths = dict(volume=scan, config=CONFIG, checkpoint=checkpoint)
    paths[broken] = tmp_path / 'none'
    args = [*paths.values(), '--out', tmp_path / 'out', '--device', 'cpu']
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, args)])
    with pytest.raises(SystemExit, match=f'error: .*{tmp_path}/none'):
        runpy.run_path(str(TOOL), run_name='__main__')
    assert list(tmp_path.iterdir()) == []


def test_many_volumes(tmp_path, scan, checkpoint, monkeypatch, capsys):
    """A volume that fails is named, the others are done; a second run does only what is left."""
    folder = tmp_path / 'scans'
    folder.mkdir()
    for name in 'a', 'b':
        (folder / f'{name}.nii.gz').write_bytes(scan.read_bytes())
    (folder / 'broken.nii.gz').write_bytes(b'no volume')
    out = tmp_path / 'out'
    options = ['--device', 'cpu', '--score-thr', 0.01, '--no-overlay', '--report']
    small = ['--cfg-options', 'test_dataloader.dataset.pipeline.2.scale=(64,64)']
    args = [folder, CONFIG, checkpoint, '--out', out, *options, *small]
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, args)])

    def run():
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name='__main__')
        with open(out / 'volumes.csv', newline='') as file:
            return str(end.value), {row['name']: row for row in csv.DictReader(file)}

    # new results have pages of the volume that was read for them
    read = 'mmlesion.report.volume_report.read_ct'
    with monkeypatch.context() as patched:
        patched.setattr(read, None)
        message, rows = run()
    assert message.startswith('error: 1 of 3 volumes failed')
    assert [rows[name]['status'] for name in ('a', 'b', 'broken')] == ['done', 'done', 'failed']
    assert 'cannot read' in rows['broken']['message'] and not (out / 'broken').exists()
    lesions = json.loads((out / 'a' / 'lesions.json').read_text())['lesions']
    assert rows['a']['lesions'] == str(len(lesions)) != '0'
    with open(out / 'lesions.csv', newline='') as file:
        joined = [row for row in csv.DictReader(file) if row['volume'] == 'a']
    assert [row['id'] for row in joined] == [str(lesion['id']) for lesion in lesions]
    pages = [out / name / 'report.html' for name in 'ab']
    first, second = [page.stat().st_mtime_ns for page in pages]
    (out / 'b' / 'lesions.json').write_text('{')
    assert [row['status'] for row in run()[1].values()] == ['kept', 'done', 'failed']
    # the page of new results is new
    assert pages[0].stat().st_mtime_ns == first and pages[1].stat().st_mtime_ns > second
    assert '3 volumes (1 kept, 1 done, 1 failed)' in capsys.readouterr().out
    pages[0].unlink()
    assert [row['status'] for row in run()[1].values()] == ['kept', 'kept', 'failed']
    assert pages[0].is_file() and f'report: {pages[0]} (' in capsys.readouterr().out
