import io
import json
from dataclasses import dataclass

import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.io.volumes import store_volume, write_annotations, write_volume
from mmlesion.structures import Grid
from mmlesion.utils import UserError


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
