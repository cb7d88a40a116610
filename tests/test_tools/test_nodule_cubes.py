"""Cubes around nodules become volumes; those of the validation part random crops."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.structures import Grid


@pytest.fixture
def cubes(tmp_path):
    """Two cubes of 24 voxels with a bright nodule in the middle, and one beside it."""
    volumes, annotations = [], []
    for number, part in enumerate(('train', 'val'), start=1):
        hu = np.full((24, 24, 24), -850, np.int16)
        hu[11:13, 11:13, 11:13] = 100
        image = sitk.GetImageFromArray(hu)
        image.SetSpacing((0.7, 0.7, 0.7001))
        image.SetOrigin((10.0, -20.0, 30.0))
        sitk.WriteImage(image, str(tmp_path / f'cube{number}.nii.gz'))
        entry = dict(id=number, file_name=f'cube{number}.nii.gz', patient_id=f'P{number}')
        volumes.append(dict(entry, lidc2d_part=part))
        for at in (11.5, 0.0):
            center = np.add((10.0, -20.0, 30.0), 0.7 * at).tolist()
            finding = dict(center_mm=center, diameter_mm=3.0, ignore=0)
            annotations.append(dict(finding, volume_id=number))
    path = tmp_path / 'cubes.json'
    path.write_text(json.dumps(dict(volumes=volumes, annotations=annotations)))
    return path


def test_cubes(cubes, run_tool, tmp_path):
    out = tmp_path / 'out'
    arguments = [cubes, '--out', out, '--size', 14, '--crops', 8]
    run_tool('dataset_converters/nodule_cubes.py', *arguments)
    content = {part: json.loads((out / f'{part}.json').read_text()) for part in ('train', 'val')}
    (whole,) = content['train']['volumes']
    assert whole['size'] == [24, 24, 24] and len(content['train']['annotations']) == 2
    assert len(content['val']['volumes']) == 8
    places = set()
    for volume in content['val']['volumes']:
        hu = np.load(out / volume['file_name'])
        own = [a for a in content['val']['annotations'] if a['volume_id'] == volume['id']]
        (nodule,) = [a for a in own if not a['ignore'] and a['center_mm'][0] > 15]
        (at,) = Grid.from_annotation(volume).from_world([nodule['center_mm']])
        assert hu.shape == (14, 14, 14) and hu[tuple(at.astype(int))] == 100
        places.add(tuple(at.round(1)))
    # nothing is learned from where the nodule is
    assert len(places) > 4
    first = (out / 'val.json').read_text()
    run_tool('dataset_converters/nodule_cubes.py', *arguments)
    assert (out / 'val.json').read_text() == first


def test_cubes_smaller_than_crops(cubes, run_tool, tmp_path):
    with pytest.raises(SystemExit, match='give a --size of at most the least'):
        run_tool('dataset_converters/nodule_cubes.py', cubes, '--out', tmp_path, '--size', 30)
