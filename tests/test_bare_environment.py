"""What an environment with the package alone can do, and what it says of the rest."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from bare_environment import FRAMEWORKS, run_without


def test_scores_need_neither_frameworks_nor_opencv(tmp_path):
    truth = tmp_path / 'truth.json'
    truth.write_text(json.dumps({'000001_01_01_001-004': [[1, 2, 1, 9, 9, 4]]}))
    found = tmp_path / 'found.json'
    found.write_text(json.dumps({'000001_01_01_001-004': [[1, 2, 1, 9, 9, 4, 0.9]]}))
    args = ('lens', '--gt', truth, '--pred', found, '--out', tmp_path / 'out')
    done = run_without(tmp_path, (*FRAMEWORKS, 'cv2'), 'analysis_tools/eval_froc.py', *args)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / 'out' / 'froc.json').read_text())['mean'] == 1


def test_conversion_needs_no_framework(tmp_path):
    (tmp_path / 'scans').mkdir()
    hu = np.full((6, 20, 24), -900, np.int16)
    hu[:, 5:, 5:] = 30
    scan = sitk.GetImageFromArray(hu)
    scan.SetSpacing((0.8, 0.8, 2.5))
    sitk.WriteImage(scan, str(tmp_path / 'scans' / 'a.nii.gz'))
    boxes = tmp_path / 'boxes.csv'
    boxes.write_text('case,x1,y1,z1,x2,y2,z2,split\na,4.5,4.5,1.5,9.5,8.5,3.5,train\n')
    args = ('nifti', tmp_path / 'scans', '--boxes', boxes, '--out', tmp_path / 'out')
    done = run_without(tmp_path, FRAMEWORKS, 'convert.py', *args)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / 'out' / 'train.json').read_text())['annotations']


@pytest.mark.parametrize('absent', ['torch', 'mmcv', 'mmengine', 'mmdet'])
@pytest.mark.parametrize(
    'tool, arguments',
    [('infer.py', ('a.nii', 'b.py', 'c.pth', '--out', 'd')), ('train.py', ('b.py',))],
)
def test_networks_say_what_they_need(tmp_path, absent, tool, arguments):
    done = run_without(tmp_path, [absent], tool, *arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f'error: this needs torch, mmcv, mmengine, mmdet, and {absent}')
    assert 'docs/installation.md' in line
