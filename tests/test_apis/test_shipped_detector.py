"""The detector that comes with the package: its card, and what it finds in a real chest."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from mmengine.config import Config

from mmlesion.apis.shipped_detector import WEIGHTS, read_card, shipped_detector
from mmlesion.io.results import read_results

SHARED = Path(__file__).parents[3] / 'shared/data'
CHEST = SHARED / 'chests/LIDC-IDRI-0001.nii.gz'
TUMOR = (56.208, 86.343, -115.868), 23.351  # LUNA16's row: world mm, and mm


def test_the_card_is_of_the_weights():
    card = read_card()
    assert card['sha256'] == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert 'not for diagnosis' in card['says']
    config, weights = shipped_detector()
    cfg = Config.fromfile(config)
    assert cfg.default_hooks.visualization.score_thr == card['score_thr']
    assert weights == str(WEIGHTS) and WEIGHTS.stat().st_size < 15e6


def test_patients_of_the_figures_were_not_trained_on():
    card = read_card()
    tested = set(card['figures']['patients'])
    assert tested and not tested & set(card['trained_on']['patients'])
    assert not set(card['figures']['chests']) & set(card['trained_on']['chests'])
    lists = SHARED / 'lidc2d/train.json'
    if lists.is_file():
        images = json.loads(lists.read_text())['images']
        assert set(card['trained_on']['patients']) <= {image['patient_id'] for image in images}


def test_a_checkpoint_is_needed_with_a_config(run_tool, tmp_path):
    with pytest.raises(SystemExit, match='give the checkpoint of config.py, too'):
        run_tool('infer.py', 'scan.nii.gz', 'config.py', '--out', tmp_path / 'out')


def test_a_scan_without_lungs(run_tool, tmp_path):
    hu = np.full((30, 64, 64), -1000, np.int16)
    hu[:, 10:54, 10:54] = 40
    sitk.WriteImage(sitk.GetImageFromArray(hu), str(tmp_path / 'belly.nii.gz'))
    with pytest.raises(SystemExit, match='error: no lungs are found'):
        run_tool('infer.py', tmp_path / 'belly.nii.gz', '--out', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.skipif(not CHEST.is_file(), reason='the chests are not in ../shared')
def test_a_real_tumor_is_found(run_tool, tmp_path, capsys):
    """In the 30 slices around it; the whole chest takes half a minute."""
    scan = sitk.ReadImage(str(CHEST))[:, :, 75:105]
    sitk.WriteImage(scan, str(tmp_path / 'part.nii.gz'))
    run_tool('infer.py', tmp_path / 'part.nii.gz', '--out', tmp_path / 'out', '--no-overlay')
    assert 'Lung nodules in chest CT and nothing else' in capsys.readouterr().out
    found = read_results(tmp_path / 'out').lesions
    center, diameter = TUMOR
    near = [np.linalg.norm(np.subtract(one.center_mm, center)) < diameter / 4 for one in found]
    assert any(near[:2]) and len(found) < 12
    assert found[near.index(True)].diameter_mm == pytest.approx(diameter, rel=0.25)
