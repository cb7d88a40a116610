import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from phantom import make_luna16_phantom

from mmlesion.converters import luna16
from mmlesion.converters.base import Case
from mmlesion.converters.lungs import LungRegion
from mmlesion.datasets import VolumeDataset
from mmlesion.datasets.transforms import LoadSphereAnnotations, LoadVolume
from mmlesion.io.luna16 import find_luna16_scans, read_luna16_findings, read_luna16_ground_truth
from mmlesion.structures import Grid
from mmlesion.utils import UserError

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'dataset_converters' / 'luna16.py'
SHARED = ROOT.parent / 'shared' / 'data' / 'luna16'


@pytest.fixture(scope='module')
def phantom(tmp_path_factory):
    root = tmp_path_factory.mktemp('phantom') / 'luna16'
    make_luna16_phantom(root, (5, 1), seed=2)
    return root


@pytest.fixture
def copy(phantom, tmp_path):
    return Path(shutil.copytree(phantom, tmp_path / 'luna16'))


@pytest.fixture
def convert(run_tool, tmp_path):
    def run(root, *flags):
        arguments = [root, '--out', tmp_path / 'out', '--workers', 1, *flags]
        run_tool(TOOL, *arguments)
        return json.loads((tmp_path / 'out' / 'luna16.json').read_text())

    return run


def rows_of(path):
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


def test_schema(convert, phantom, tmp_path):
    content = convert(phantom)
    assert [volume['id'] for volume in content['volumes']] == list(range(1, 7))
    assert content['categories'] == [{'id': 1, 'name': 'nodule'}]
    for volume in content['volumes']:
        folder = phantom / f'subset{volume["fold"]}'
        assert (folder / f'{volume["series_uid"]}.mhd').is_file()
        hu = np.load(tmp_path / 'out' / volume['file_name'])
        assert hu.dtype == np.int16 and list(hu.shape) == volume['size']
        assert volume['spacing'] == [1.0] * 3
        assert volume['direction'] == [1, 0, 0, 0, 1, 0, 0, 0, -1]


def test_world_centers_are_exact(convert, phantom):
    """Flipped scans among them: what goes in comes out, and from voxels back too."""
    content = convert(phantom)
    uids = {volume['id']: volume['series_uid'] for volume in content['volumes']}
    for name, ignore in (('annotations', 0), ('annotations_excluded', 1)):
        expected = [
            (row['seriesuid'], *(float(row[f'coord{axis}']) for axis in 'XYZ'))
            for row in rows_of(phantom / f'{name}.csv')
        ]
        found = [
            (uids[annotation['volume_id']], *annotation['center_mm'])
            for annotation in content['annotations']
            if annotation['ignore'] == ignore
        ]
        assert sorted(found) == sorted(expected) and found
    for volume in content['volumes']:
        grid = Grid.from_annotation(volume)
        centers = [a['center_mm'] for a in content['annotations'] if a['volume_id'] == volume['id']]
        again = grid.to_world(grid.from_world(centers))
        np.testing.assert_allclose(again, np.reshape(centers, (-1, 3)), rtol=0, atol=1e-6)
    diameters = [a['diameter_mm'] for a in content['annotations'] if a['ignore']]
    assert min(diameters) > 0  # -1 in the list is LUNA16's 10 mm


def test_nodules_are_found_in_the_voxels(convert, phantom, tmp_path):
    """By the center of mass of what is denser than lung, whatever way the scan is flipped."""
    convert(phantom)
    dataset = VolumeDataset(
        ann_file='luna16.json',
        data_root=str(tmp_path / 'out'),
        metainfo=dict(classes=('nodule',)),
        pipeline=[LoadVolume(), LoadSphereAnnotations(with_ignored=False)],
    )
    errors = []
    for sample in dataset:
        for *center, diameter in sample['gt_bboxes'].numpy():
            axes = np.ogrid[tuple(slice(0, n) for n in sample['img_shape'])]
            offsets = [axis + 0.5 - at for axis, at in zip(axes, center)]
            distance = np.sqrt(sum(offset**2 for offset in offsets))
            dense = (distance < diameter / 2 + 1.5) & (sample['volume'] > -450)
            near = np.argwhere(dense) + 0.5
            errors.append(np.linalg.norm(near.mean(0) - center))
    assert len(errors) > 5
    assert np.median(errors) < 0.5  # some touch a vessel or the wall


def test_volumes_hold_the_lungs_and_little_else(convert, phantom, tmp_path):
    def sizes(margin):
        content = convert(phantom, '--margin', margin)
        return {v['series_uid']: np.array(v['size']) for v in content['volumes']}

    bare, wide = sizes(0), sizes(10)
    for uid, size in bare.items():
        mask = sitk.ReadImage(str(phantom / 'seg-lungs-LUNA16' / f'{uid}.mhd'))
        lungs = np.argwhere(np.isin(sitk.GetArrayFromImage(mask), (3, 4)))
        extent = (np.ptp(lungs, axis=0) + 1) * mask.GetSpacing()[::-1]
        np.testing.assert_allclose(size, extent, atol=0.51)
        assert (wide[uid] > size).all() and (wide[uid] <= size + 20).all()


def test_what_is_outside_of_the_lungs(convert, phantom, tmp_path):
    """Filled by default: half of a volume is tissue then; no nodule loses a voxel."""

    def volumes(*flags):
        content = convert(phantom, *flags)
        preparation = content['info']['preparation']
        files = {v['id']: np.load(tmp_path / 'out' / v['file_name']) for v in content['volumes']}
        return content, preparation, files

    _, preparation, kept = volumes('--outside', 'keep')
    assert preparation == {'lungs': {'margin': 10.0, 'outside': 'keep'}}
    content, preparation, filled = volumes()
    assert preparation == {'lungs': {'margin': 10.0, 'outside': 'fill'}}
    for volume in content['volumes']:
        before, after = kept[volume['id']], filled[volume['id']]
        assert 0.3 < (before != after).mean() < 0.7
        assert (after[0] == 0).mean() > 0.4 and (after[:, 0] == 0).mean() > 0.4
        mask = sitk.ReadImage(str(phantom / f'seg-lungs-LUNA16/{volume["series_uid"]}.mhd'))
        lungs = np.isin(sitk.GetArrayViewFromImage(mask), (3, 4)).sum() * np.prod(mask.GetSpacing())
        assert (after < -600).sum() > 0.9 * lungs
        grid = Grid.from_annotation(volume)
        found = [a for a in content['annotations'] if a['volume_id'] == volume['id']]
        for nodule in (a for a in found if not a['ignore']):
            sphere = [*nodule['center_mm'], nodule['diameter_mm'] - 1]
            ((*center, diameter),) = grid.spheres_from_world([sphere])
            offsets = np.indices(after.shape) + 0.5 - np.reshape(center, (3, 1, 1, 1))
            inside = (offsets**2).sum(0) < (diameter / 2) ** 2
            assert (before == after)[inside].mean() > 0.98


def test_a_second_run_keeps_what_is_there(convert, phantom, tmp_path):
    first = convert(phantom)
    files = sorted((tmp_path / 'out' / 'volumes').glob('*.npy'))
    stamps = [path.stat().st_mtime_ns for path in files]
    files[0].unlink()
    assert convert(phantom) == first
    again = [path.stat().st_mtime_ns for path in files]
    files[1].write_bytes(files[1].read_bytes()[:-100])
    convert(phantom)
    assert [list(np.load(path).shape) for path in files]  # the truncated one is made anew
    assert again[1:] == stamps[1:] and again[0] != stamps[0]
    convert(phantom, '--margin', 2)
    assert all(path.stat().st_mtime_ns > stamp for path, stamp in zip(files, stamps))


def test_processes_make_no_difference(convert, phantom, tmp_path):
    first = convert(phantom)
    shutil.rmtree(tmp_path / 'out')
    assert convert(phantom, '--workers', 2) == first


def test_lists_for_the_official_evaluation(convert, phantom, tmp_path):
    content = convert(phantom)
    lists = [phantom / 'annotations.csv', phantom / 'annotations_excluded.csv']
    truth = read_luna16_ground_truth(*lists, tmp_path / 'out' / 'seriesuids.csv')
    assert truth.cases == [volume['series_uid'] for volume in content['volumes']]
    assert len(truth.lesions.case) == len(content['annotations'])


def test_scans_that_cannot_be_used(convert, copy, capsys, tmp_path):
    scans = sorted(copy.glob('subset*/*.mhd'))
    scans[0].with_suffix('.raw').write_bytes(b'')
    (copy / 'seg-lungs-LUNA16' / scans[1].name).unlink()
    with pytest.raises(SystemExit, match='2 of 6 scans were skipped.*--allow-skipped 2'):
        convert(copy)
    content = convert(copy, '--allow-skipped', 2)
    assert len(content['volumes']) == 4
    printed = capsys.readouterr()
    for scan in scans[:2]:
        assert scan.stem in (tmp_path / 'out' / 'skipped.txt').read_text()
        assert scan.stem in printed.err
    assert f'{scans[0].stem}.raw is truncated' in printed.err
    assert 'no scan of the subsets' in printed.err
    with pytest.raises(SystemExit, match='Without --strict such scans are skipped'):
        convert(copy, '--strict')


def test_a_full_disk_ends_the_run(convert, copy, tmp_path, monkeypatch):
    def write_nothing(file, array):
        raise OSError('4096 requested and 0 written')  # what NumPy says

    monkeypatch.setattr(np, 'save', write_nothing)
    with pytest.raises(SystemExit, match='error: .*npy cannot be written: 4096 requested'):
        convert(copy, '--allow-skipped', 9)
    assert [path.name for path in (tmp_path / 'out').rglob('*.*')] == ['seriesuids.csv']


def test_unusable_input(convert, copy, tmp_path):
    with pytest.raises(SystemExit, match='has no scan subset0'):
        convert(copy / 'subset0', '--masks', copy / 'seg-lungs-LUNA16')
    with pytest.raises(SystemExit, match='lung masks by --masks'):
        convert(copy, '--masks', copy / 'nowhere')
    with pytest.raises(SystemExit, match='margin'):
        convert(copy, '--margin', -1)
    with pytest.raises(SystemExit, match='nowhere.csv'):
        convert(copy, '--excluded', copy / 'nowhere.csv')
    assert not (tmp_path / 'out' / 'luna16.json').exists()
    scan = next(copy.glob('subset0/*.mhd'))
    shutil.copy(scan, copy / 'subset1')
    with pytest.raises(SystemExit, match='is in subset0 and subset1'):
        convert(copy)


def test_masks_that_are_not_of_the_scan(phantom, tmp_path):
    scan = find_luna16_scans(phantom)[0]
    mask = sitk.ReadImage(str(phantom / 'seg-lungs-LUNA16' / f'{scan.uid}.mhd'))
    path = tmp_path / f'{scan.uid}.mhd'
    case = Case(scan.uid, (scan.path, path))
    sitk.WriteImage(mask * 0, str(path))
    with pytest.raises(UserError, match='has no lungs'):
        luna16.convert_scan(case, tmp_path, LungRegion(0.0))
    mask.SetOrigin((900.0, 900.0, 900.0))
    sitk.WriteImage(mask, str(path))
    with pytest.raises(UserError, match='outside of their scan'):
        luna16.convert_scan(case, tmp_path, LungRegion(0.0))


@pytest.mark.skipif(not SHARED.is_dir(), reason=f'{SHARED} is not there')
def test_the_official_lists(tmp_path):
    lists = SHARED / 'annotations.csv', SHARED / 'annotations_excluded.csv'
    uids = (SHARED / 'seriesuids.csv').read_text().split()
    findings = read_luna16_findings(*lists, tmp_path, uids)
    ignored = sum(finding['ignore'] for found in findings for finding in found)
    assert sum(map(len, findings)) - ignored == 1186 and ignored == 35192
    positives = [any(not f['ignore'] for f in found) for found in findings]
    assert sum(positives) == 601
    assert findings[0][0]['center_mm'] == [-128.6994211, -175.3192718, -298.3875064]


def test_help(run_tool, capsys):
    with pytest.raises(SystemExit):
        run_tool(TOOL, '--help')
    assert 'LUNA16' in capsys.readouterr().out
