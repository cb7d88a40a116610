"""Nodules pasted into chests, and the volumes that tools/dataset_converters makes of them."""

import csv
import json

import numpy as np
import pytest
import SimpleITK as sitk
from pasting import Nodule, paste, turned
from phantom import make_luna16_phantom
from scipy import ndimage

from mmlesion.structures import Grid

TOOL = 'dataset_converters/lung_nodules.py'
CUBE, SPACING = 40, 0.7
IDENTITY = (1.0, 0, 0, 0, 1, 0, 0, 0, 1)


def ball(diameter, lung=-850.0):
    """A ball of 50 HU in lung."""
    offset = (np.indices([CUBE] * 3) - (CUBE - 1) / 2) * SPACING
    distance = np.sqrt((offset**2).sum(0)) - diameter / 2
    hu = np.where(distance < 0, 50.0, lung)
    grid = Grid((CUBE,) * 3, (SPACING,) * 3, (0.0, 0.0, 0.0), IDENTITY)
    return Nodule('LIDC-IDRI-0001-1-1', hu, distance, grid, (0.0, 0.0, 0.0, diameter), 1.0)


@pytest.mark.parametrize('step', [(0.7, 0.7, 0.7), (2.5, 0.8, 0.6)])
def test_as_much_tissue_as_there_was(step):
    hu = np.full((60, 80, 80), -900.0, np.float32)
    paste(hu, np.array(step), ball(10.0), np.array([30, 40, 40]), 0)
    tissue = ((hu + 900) / 950).sum() * np.prod(step)
    assert tissue == pytest.approx(np.pi / 6 * 10**3, rel=0.06)
    assert hu[30, 40, 40] == pytest.approx(50, abs=1)
    center = ndimage.center_of_mass(hu + 900)
    np.testing.assert_allclose(center, (30, 40, 40), atol=0.1)


def test_parenchyma_is_the_chests():
    hu = np.full((60, 80, 80), -900.0, np.float32)
    paste(hu, np.full(3, SPACING), ball(10.0), np.array([30, 40, 40]), 0)
    beside = hu[30, 40, 40 + 10]  # 7 mm from the middle, 2 from the surface
    assert beside == pytest.approx(-900, abs=5)
    assert (hu[:, :, 60:] == -900).all() and (hu[30, 40, 34:46] > 0).all()


def test_a_place_at_the_border():
    hu = np.full((20, 20, 20), -900.0, np.float32)
    paste(hu, np.full(3, SPACING), ball(10.0), np.array([1, 18, 0]), 5)
    assert hu[1, 18, 0] == pytest.approx(50, abs=1)


def test_all_turns_differ():
    cube = np.arange(27).reshape(3, 3, 3)
    seen = {turned(cube, turn).tobytes() for turn in range(48)}
    assert len(seen) == 48 and (turned(cube, 0) == cube).all()


@pytest.fixture(scope='module')
def sources(tmp_path_factory):
    """A chest of LUNA16's phantom, four cubes of two patients, and who is in which part."""
    root = tmp_path_factory.mktemp('sources')
    make_luna16_phantom(root / 'raw', (1, 0))
    (chests := root / 'chests').mkdir()
    (path,) = (root / 'raw' / 'subset0').glob('*.mhd')
    sitk.WriteImage(sitk.ReadImage(str(path)), str(chests / 'one.nii.gz'))
    found = []
    with open(root / 'raw/annotations.csv', newline='') as file:
        for row in csv.DictReader(file):
            center = [float(row[f'coord{axis}']) for axis in 'XYZ']
            mark = dict(center_mm=center, diameter_mm=float(row['diameter_mm']))
            found.append(dict(mark, volume_id=1))
    content = dict(volumes=[dict(id=1, file_name='one.nii.gz')], annotations=found)
    (chests / 'mmlesion.json').write_text(json.dumps(content))
    for part, patient in (('train', 1), ('val', 2)):
        patient = f'LIDC-IDRI-{patient:04d}'
        content = dict(images=[dict(patient_id=patient)])
        (root / f'{part}.json').write_text(json.dumps(content))
        for number, diameter in enumerate((5.0, 8.0)):
            nodule = ball(diameter)
            images = dict(img=(nodule.hu + 1024) * 255 / 1324, seg=nodule.distance < 0)
            for kind, array in images.items():
                image = sitk.GetImageFromArray(np.rint(array).astype(np.uint8))
                image.SetSpacing([SPACING] * 3)
                (root / 'cubes' / kind).mkdir(parents=True, exist_ok=True)
                name = f'{patient}-{number}-1.nii.gz'
                sitk.WriteImage(image, str(root / 'cubes' / kind / name))
    return root


def test_volumes(sources, run_tool, tmp_path):
    out = tmp_path / 'out'
    run_tool(TOOL, sources / 'cubes', sources / 'chests', sources, '--out', out, '--copies', 2)
    for part in ('train', 'val'):
        chests = json.loads((out / f'chests_{part}.json').read_text())
        content = json.loads((out / f'{part}.json').read_text())
        assert content['volumes'][:2] == chests['volumes'] and len(content['volumes']) == 4
        assert content['info']['preparation'] == dict(lungs=dict(margin=10.0, outside='fill'))
        assert [volume['fold'] for volume in content['volumes']] == [0, 0, 9, 9]
        own = len(json.loads((sources / 'chests/mmlesion.json').read_text())['annotations'])
        # each nodule in one of the two copies, and in its cube
        assert len(chests['annotations']) == 2 * own + 2
        assert len(content['annotations']) == 2 * own + 4
        volumes = {volume['id']: volume for volume in content['volumes']}
        for mark in content['annotations'][-4:]:
            volume = volumes[mark['volume_id']]
            hu = np.load(out / volume['file_name'])
            ((z, y, x),) = np.floor(Grid.from_annotation(volume).from_world([mark['center_mm']]))
            assert hu[int(z), int(y), int(x)] > -100
    train = json.loads((out / 'train.json').read_text())['volumes']
    assert {volume['patient_id'] for volume in train} == {'one', 'LIDC-IDRI-0001'}


def test_bad_input_is_one_line(sources, run_tool, tmp_path):
    arguments = sources / 'cubes', sources / 'chests', sources, '--out', tmp_path / 'out'
    with pytest.raises(SystemExit, match='error: --copies'):
        run_tool(TOOL, *arguments, '--copies', 0)
    with pytest.raises(SystemExit, match='error: .*mmlesion.json'):
        run_tool(TOOL, sources / 'cubes', tmp_path, sources, '--out', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
