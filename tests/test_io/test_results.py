"""Results of infer.py that were edited by hand are refused in one line."""

import copy
import json

import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.io.results import read_label_map, read_results
from mmlesion.utils import UserError

LESION = dict(
    id=1,
    label='lesion',
    score=0.9,
    center_mm=[4, 4, 2],
    bbox_voxel=[1, 1, 0, 4, 4, 2],
    diameter_mm=4.8,
    short_diameter_mm=3.2,
    diameter_source='box',
    key_slice=1,
    recist_voxel=None,
)
CONTENT = dict(
    volume=dict(
        source='scan.nii.gz',
        size=[8, 7, 3],
        spacing_mm=[1, 1, 2],
        origin_mm=[0, 0, 0],
        direction=[1, 0, 0, 0, 1, 0, 0, 0, 1],
        slice_axis='k',
    ),
    detector=dict(config='a.py', checkpoint='a.pth'),
    lesions=[LESION],
)


@pytest.fixture
def write(tmp_path):
    def write(part, field, value):
        content = copy.deepcopy(CONTENT)
        record = content[part]
        (record[0] if part == 'lesions' else record)[field] = value
        (tmp_path / 'lesions.json').write_text(json.dumps(content))
        return tmp_path

    return write


def test_results_as_written(write):
    results = read_results(write('volume', 'source', 'b.nii.gz'))
    assert results.volume['source'] == 'b.nii.gz' and results.lesions[0].id == 1


@pytest.mark.parametrize(
    ('part', 'field', 'value'),
    [
        ('volume', 'source', None),
        ('volume', 'source', 7),
        ('volume', 'source', ['a']),
        ('volume', 'source', 'half a character \ud83d'),
        ('volume', 'size', [8, 7]),
        ('volume', 'size', [8, 7, float('inf')]),
        ('volume', 'spacing_mm', [1, 1]),
        ('volume', 'spacing_mm', 'wide'),
        ('volume', 'origin_mm', None),
        ('volume', 'direction', [1, 0, 0, 1]),
        ('volume', 'slice_axis', ['k']),
        ('detector', 'checkpoint', 5),
        ('lesions', 'id', float('inf')),
        ('lesions', 'id', 10**400),
        ('lesions', 'id', -1),
        ('lesions', 'score', 10**400),
        ('lesions', 'diameter_mm', 10**400),
        ('lesions', 'bbox_voxel', [1, 2, 3]),
        ('lesions', 'bbox_voxel', [[1], [1, 2]]),
        ('lesions', 'center_mm', {}),
        ('lesions', 'label', '\udc00'),
        ('lesions', 'key_slice', 3),
        ('lesions', 'score', float('nan')),
        ('lesions', 'score', 'x'),
        ('lesions', 'diameter_mm', float('inf')),
        ('lesions', 'diameter_mm', -1),
        ('lesions', 'center_mm', [1, 2]),
        ('volume', 'origin_mm', [float('nan')] * 3),
        ('volume', 'slice_axis', 'q'),
    ],
)
def test_edited_results(write, part, field, value):
    with pytest.raises(UserError, match='lesions.json is not what infer.py writes') as raised:
        read_results(write(part, field, value))
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('field', ['id', 'label', 'score', 'bbox_voxel', 'key_slice'])
def test_a_field_that_is_missing(write, field):
    folder = write('volume', 'source', 'a')
    content = json.loads((folder / 'lesions.json').read_text())
    del content['lesions'][0][field]
    (folder / 'lesions.json').write_text(json.dumps(content))
    with pytest.raises(UserError, match=f'missing required field `{field}`'):
        read_results(folder)


@pytest.mark.parametrize('text', ['', '{', '[1]', '[' * 10**5, '{"lesions": []}'])
def test_what_is_no_file_of_results(tmp_path, text):
    (tmp_path / 'lesions.json').write_text(text)
    with pytest.raises(UserError, match='lesions.json is not what infer.py writes'):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ('array', 'is_whole'),
    [
        (np.zeros((3, 7, 8), np.uint8), True),
        (np.zeros((3, 7, 9), np.uint8), False),
        (np.full((3, 7, 8), -1, np.int16), False),
        (np.full((3, 7, 8), 0.5, np.float32), False),
        (np.zeros((3, 7, 8, 3), np.uint8), False),  # of colors
    ],
)
def test_label_maps(write, array, is_whole):
    folder = write('volume', 'source', 'a')
    labels = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
    sitk.WriteImage(labels, str(folder / 'lesions.nii.gz'))
    results = read_results(folder)
    if is_whole:
        np.testing.assert_array_equal(read_label_map(results), array)
        return
    with pytest.raises(UserError, match='is not the label map of lesions.json'):
        read_label_map(results)
