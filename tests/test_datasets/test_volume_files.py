import io
import json
from dataclasses import dataclass

import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.datasets.volume_files import (
    isotropic_grid,
    resample,
    store_volume,
    write_annotations,
    write_volume,
)
from mmlesion.structures import Grid
from mmlesion.utils import UserError

BALLS = [(12.3, 14.8, 9.1, 8.0), (30.2, 21.7, 31.4, 5.0)]  # mm from the corner, diameter
AIR, LESION = -850, 40
IDENTITY = (1, 0, 0, 0, 1, 0, 0, 0, 1)


def as_image(array, direction=IDENTITY, spacing=(0.7, 0.8, 2.0)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin((-31.0, 17.5, 240.0))
    image.SetDirection(np.ravel(direction).tolist())
    return image


def tilt(degrees):
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])


def balls(direction, spacing=(0.7, 0.8, 2.0), side=44.0):
    """An image of balls, by the share of each voxel that they cover, and their world centres."""
    fine = 4  # points a voxel and axis
    size = np.round(side / np.array(spacing)).astype(int)
    axes = [(np.arange(n * fine) + 0.5) / fine * mm for n, mm in zip(size, spacing)]
    z, y, x = np.meshgrid(*axes[::-1], indexing='ij')
    covered = np.zeros(z.shape, bool)
    for cx, cy, cz, diameter in BALLS:
        covered |= (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 < (diameter / 2) ** 2
    nz, ny, nx = size[::-1]
    share = covered.reshape(nz, fine, ny, fine, nx, fine).mean((1, 3, 5))
    image = as_image((AIR + (LESION - AIR) * share).round().astype(np.int16), direction, spacing)
    voxels = [np.array(ball[2::-1]) / spacing[::-1] for ball in BALLS]
    return image, Grid.from_image(image).to_world(voxels)


@pytest.mark.parametrize('flip', [(1, 1, 1), (-1, -1, 1), (1, 1, -1)])
@pytest.mark.parametrize('degrees', [0, 14])
@pytest.mark.parametrize('spacing', [(0.7, 0.8, 2.0), (0.6, 0.6, 1.25)])
def test_lesions_keep_their_centres(flip, degrees, spacing):
    """A scan read, resampled and mapped back: lesion centres within 0.5 mm."""
    image, world = balls(tilt(degrees) @ np.diag(flip), spacing)
    oriented = sitk.DICOMOrient(image, 'LPI')
    source = Grid.from_image(oriented)
    grid = isotropic_grid(source, (0, 3, 5), source.size)
    hu = resample(oriented, grid).astype(float)
    for center, (*_, diameter) in zip(world, BALLS):
        z, y, x = np.indices(hu.shape) + 0.5
        (cz, cy, cx) = grid.from_world([center])[0]
        near = (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < (diameter / 2 + 3) ** 2
        weight = (hu[near] - AIR) / (hu[near] - AIR).sum()
        measured = grid.to_world([[(weight * axis[near]).sum() for axis in (z, y, x)]])
        assert np.linalg.norm(measured - center) < 0.5


def test_the_grid_is_of_1_mm_and_begins_where_it_is_told():
    grid = Grid((10, 20, 30), (0.5, 0.5, 2.5), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    new = isotropic_grid(grid, (2, 4, 6), (6, 20, 26))
    assert new.size == (10, 8, 10) and new.spacing == (1.0, 1.0, 1.0)
    corner = grid.to_world([[2, 4, 6]])
    np.testing.assert_allclose(new.to_world([[0, 0, 0]]), corner)
    np.testing.assert_allclose(new.to_world([[10, 8, 10]]), grid.to_world([[6, 20, 26]]))
    assert isotropic_grid(grid, (0, 0, 0), (0.1, 0.1, 0.1)).size == (1, 1, 1)


def test_a_ramp_stays_a_ramp_and_hu_are_clipped():
    z, y, x = np.indices((12, 24, 24))
    image = as_image((20 * z + 4 * y + 2 * x).astype(np.int16), spacing=(0.5, 0.5, 2.0))
    source = Grid.from_image(image)
    hu = resample(image, isotropic_grid(source, (1, 2, 2), (11, 22, 22)))
    z, y, x = np.indices(hu.shape) + 0.5
    expected = 20 * (1 + z / 2 - 0.5) + 4 * (2 + y * 2 - 0.5) + 2 * (2 + x * 2 - 0.5)
    np.testing.assert_allclose(hu, expected, rtol=0, atol=0.5)
    wide = as_image(np.full((4, 4, 4), 20000, np.int16))
    assert resample(wide, Grid.from_image(wide)).max() == 3071
    outside = Grid((2, 2, 2), (1.0,) * 3, (900.0,) * 3, tuple(np.eye(3).ravel()))
    assert (resample(wide, outside) == -1024).all()


@dataclass
class Options:
    margin: float = 10.0


def np_bytes(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_a_volume_is_stored_once(tmp_path):
    grid = Grid((2, 3, 4), (1.0, 1.0, 1.0), (1.0, 2.0, 3.0), tuple(np.eye(3).ravel()))
    hu = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    source = tmp_path / 'scan.mhd'
    source.write_text('scan')
    calls = []

    def convert():
        calls.append(1)
        return write_volume(tmp_path, '1.2.3', hu, grid, fold=4)

    def store(options):
        return store_volume(tmp_path, '1.2.3', [source], options, convert)

    entry = store(Options())
    assert entry['file_name'] == 'volumes/1.2.3.npy' and entry['fold'] == 4
    np.testing.assert_array_equal(np.load(tmp_path / entry['file_name']), hu)
    assert store(Options()) == json.loads(json.dumps(entry)) and len(calls) == 1
    store(Options(margin=5.0))
    assert len(calls) == 2
    source.write_text('another scan')
    store(Options(margin=5.0))
    assert len(calls) == 3
    volume = tmp_path / entry['file_name']
    volume.unlink()
    store(Options(margin=5.0))
    assert len(calls) == 4 and volume.is_file()
    content = volume.read_bytes()
    for broken in (content[:-2], content[:40], b'', np_bytes(hu[:1]), np_bytes(hu.astype(float))):
        volume.write_bytes(broken)
        store(Options(margin=5.0))
        assert volume.read_bytes() == content
    assert len(calls) == 9
    source.unlink()
    with pytest.raises(UserError, match='there is no .*scan.mhd'):
        store(Options())


def test_the_voxels_of_an_mhd_file_count(tmp_path):
    """A replaced .raw makes the volume anew, though its header is the same."""
    image = sitk.GetImageFromArray(np.zeros((4, 5, 6), np.int16))
    sitk.WriteImage(image, str(tmp_path / 'scan.mhd'))
    raw = tmp_path / 'scan.raw'
    grid = Grid.from_image(image)
    calls = []

    def convert():
        calls.append(1)
        return write_volume(tmp_path, '1', np.zeros((4, 5, 6), np.int16), grid)

    def store():
        store_volume(tmp_path, '1', [tmp_path / 'scan.mhd'], Options(), convert)

    store()
    store()
    assert len(calls) == 1
    raw.write_bytes(b'\1' * 240)
    store()
    assert len(calls) == 2
    raw.unlink()
    with pytest.raises(UserError, match='there is no .*scan.raw'):
        store()


def test_annotations(tmp_path):
    lesion = {'center_mm': [1.0, 2.0, 3.0], 'diameter_mm': 4.0, 'ignore': 0}
    write_annotations(tmp_path / 'a.json', [{'fold': 0}] * 2, [[], [lesion] * 2], 'nodule', 'Test')
    content = json.loads((tmp_path / 'a.json').read_text())
    assert [volume['id'] for volume in content['volumes']] == [1, 2]
    assert [(a['id'], a['volume_id']) for a in content['annotations']] == [(1, 2), (2, 2)]
    assert content['annotations'][0] == {'id': 1, 'volume_id': 2, 'category_id': 1, **lesion}
    assert content['categories'] == [{'id': 1, 'name': 'nodule'}]
