"""Inference on many volumes: what an earlier run has left, and tables of any names."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from mmlesion.apis import LesionInferencer
from mmlesion.apis.many_volumes import detect_many
from mmlesion.apis.speed import Speed
from mmlesion.io.ct import read_ct
from mmlesion.io.volume_list import list_volumes

REPO = Path(__file__).parents[2]
CONFIG = REPO / 'configs/phantom/baselines/faster-rcnn_r18_fpn_phantom.py'


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    model = MODELS.build(dict(Config.fromfile(CONFIG).model, _scope_='mmdet'))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'weights.pth')
    return tmp_path / 'weights.pth'


@pytest.fixture
def scan(tmp_path):
    array = np.random.default_rng(0).integers(-200, 200, (3, 40, 48)).astype(np.int16)
    (tmp_path / 'scans').mkdir()
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / 'scans' / 'a.nii.gz'))
    return tmp_path / 'scans' / 'a.nii.gz'


def test_results_of_other_files_or_options_are_not_kept(tmp_path, scan, weights):
    def run(size=48, **options):
        cfg_options = {'test_dataloader.dataset.pipeline.2.scale': (size, size)}
        inferencer = LesionInferencer(CONFIG, weights, 'cpu', cfg_options, **options)
        volumes = list_volumes(scan.parent)
        (status,) = detect_many(inferencer, volumes, tmp_path / 'out', max_overlays=0)
        return status.status

    assert [run(64), run(64), run(), run()] == ['done', 'kept', 'done', 'kept']
    assert [run(speed=Speed(amp=True)), run()] == ['done', 'done']
    (tmp_path / 'out' / 'a' / 'lesions.csv').unlink()
    assert [run(), run()] == ['done', 'kept']
    os.utime(scan, (0, 0))
    assert [run(), run()] == ['done', 'kept']
    content = torch.load(weights)
    content['state_dict']['roi_head.bbox_head.fc_cls.bias'] += 1
    torch.save(content, weights)
    assert [run(), run()] == ['done', 'kept']


def test_names_in_tables_are_text_and_a_bad_one_stops_no_other(tmp_path, scan, capsys):
    """SimpleITK aborts at a name that is not UTF-8, and spreadsheets compute cells."""
    for name in ('-1+1', '@SUM(1)', 'caf\udce9'):
        shutil.copy(scan, scan.with_name(f'{name}.nii.gz'))

    def detect(path, out_dir):
        read_ct(path)
        out_dir.mkdir(parents=True)
        (out_dir / 'lesions.csv').write_text('id\n1\n')
        return [None]

    statuses = detect_many(detect, list_volumes(scan.parent), tmp_path / 'out')
    assert [one.status for one in statuses] == ['done', 'done', 'done', 'failed']
    assert 'error: caf\\udce9: ' in capsys.readouterr().out
    rows = list(csv.DictReader(open(tmp_path / 'out' / 'volumes.csv', encoding='utf-8')))
    assert [row['name'] for row in rows] == ["'-1+1", "'@SUM(1)", 'a', 'caf\\udce9']
    assert 'not UTF-8' in rows[3]['message']
    rows = list(csv.DictReader(open(tmp_path / 'out' / 'lesions.csv', encoding='utf-8')))
    assert [row['volume'] for row in rows] == ["'-1+1", "'@SUM(1)", 'a']
