"""Scans of one's own, with boxes or masks, to slices and to volumes."""

import csv
import gzip
import json
import struct
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.converters import nifti
from mmlesion.datasets import CTSliceDataset, VolumeDataset
from mmlesion.io.volumes import volume_ground_truth
from mmlesion.structures import Grid
from mmlesion.utils import UserError

SIZE = (24, 20, 12)  # voxels i, j, k
SPACING = (0.8, 0.8, 2.5)
LESION_HU = 200
# of each case the class and the first and last voxel of its lesions, inclusive, in the file's axes
LESIONS = {
    'a': [('liver', (5, 4, 3), (10, 7, 5))],
    'b': [('kidney', (12, 9, 6), (15, 15, 8)), ('liver', (2, 2, 2), (4, 6, 2))],
    'c': [],
    'd': [('kidney', (8, 8, 4), (12, 10, 7))],
}
ORIENTATIONS = {'a': 'LPS', 'b': 'RAS', 'c': 'LPS', 'd': 'RPI'}
PATIENTS = {'a': 'p1', 'b': 'p2', 'c': 'p3', 'd': 'p1'}
COLUMNS = ('case', 'x1', 'y1', 'z1', 'x2', 'y2', 'z2', 'class', 'patient', 'split')


def scan_of(name):
    """The scan, whose lesions are brighter than all else, and a mask of their classes."""
    hu = np.full(SIZE[::-1], -900, np.int16)
    hu[:, 1:-1, 1:-1] = 30
    labels = np.zeros(hu.shape, np.uint8)
    for class_name, (i1, j1, k1), (i2, j2, k2) in LESIONS[name]:
        inside = slice(k1, k2 + 1), slice(j1, j2 + 1), slice(i1, i2 + 1)
        hu[inside] = LESION_HU
        labels[inside] = ('kidney', 'liver').index(class_name) + 1
    images = [sitk.GetImageFromArray(array) for array in (hu, labels)]
    direction = sitk.DICOMOrientImageFilter.GetDirectionCosinesFromOrientation(ORIENTATIONS[name])
    for image in images:
        image.SetSpacing(SPACING)
        image.SetOrigin((-30.0, 12.0, 100.0))
        image.SetDirection(direction)
    return images


def faces(first, last):
    return np.array([first, last], float) + [[-0.5], [0.5]]


def write_boxes(path, to_corners=lambda name, corners: corners, splits=None):
    with open(path, 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for name, lesions in LESIONS.items():
            end = [PATIENTS[name], (splits or {}).get(name, '')]
            for class_name, first, last in lesions:
                corners = np.array(to_corners(name, faces(first, last)))
                box = [*corners.min(axis=0), *corners.max(axis=0)]
                writer.writerow([name, *box, class_name, *end])
            if not lesions:
                writer.writerow([name, *[''] * 7, *end])
    return path


@pytest.fixture
def root(tmp_path):
    """Folders of scans and masks, and a table of boxes in voxels."""
    for name in LESIONS:
        for folder, image in zip(('images', 'masks'), scan_of(name)):
            (tmp_path / folder).mkdir(exist_ok=True)
            sitk.WriteImage(image, str(tmp_path / folder / f'{name}.nii.gz'))
    write_boxes(tmp_path / 'boxes.csv')
    return tmp_path


def convert(root, out='out', **options):
    if 'masks' not in options:
        options.setdefault('boxes', root / 'boxes.csv')
    options.setdefault('min_area', 0)
    return nifti.convert(root / 'images', root / out, workers=1, **options)


def boxes_by_slice(files):
    """Class, box and lesion by file name of the slice, of all files."""
    found = {}
    for coco in files.values():
        names = {category['id']: category['name'] for category in coco['categories']}
        images = {image['id']: image['file_name'] for image in coco['images']}
        for ann in coco['annotations']:
            region = (names[ann['category_id']], ann['bbox'], ann['lesion_id'])
            found.setdefault(images[ann['image_id']], []).append(region)
    return {name: sorted(regions) for name, regions in found.items()}


def test_boxes_enclose_the_lesions_on_the_written_slices(root):
    files = convert(root)
    found = boxes_by_slice(files)
    depth = {name: sum(k2 - k1 + 1 for _, (*_, k1), (*_, k2) in LESIONS[name]) for name in LESIONS}
    for name, count in depth.items():
        slices = [file for file in found if file.startswith(f'{name}/')]
        assert sum(len(found[file]) for file in slices) == count
    for file, regions in found.items():
        hu = cv2.imread(str(root / 'out' / 'Images_png' / file), cv2.IMREAD_UNCHANGED)
        bright = hu.astype(int) - 32768 == LESION_HU
        covered = np.zeros_like(bright)
        for _, (x, y, w, h), _ in regions:
            assert [x, y, w, h] == [round(value) for value in (x, y, w, h)]
            covered[int(y) : int(y + h), int(x) : int(x + w)] = True
        np.testing.assert_array_equal(covered, bright)
    image = files['train.json']['images'][0]
    assert image['spacing'] == pytest.approx([0.8, 0.8]) and image['slice_interval'] == 2.5
    assert image['height'], image['width'] == (20, 24)


def test_scans_of_a_patient_stay_together_and_classes_are_kept(root):
    files = convert(root, val_share=0.4)
    patients = [{image['patient_id'] for image in coco['images']} for coco in files.values()]
    assert list(files) == ['train.json', 'val.json'] and not patients[0] & patients[1]
    assert set.union(*patients) == {'p1', 'p2'}  # p3 has no slice with a lesion
    names = [category['name'] for category in files['train.json']['categories']]
    assert names == ['kidney', 'liver']
    assert convert(root, val_share=0.4) == files
    for split in ('train', 'val'):
        dataset = CTSliceDataset(
            data_root=str(root / 'out'),
            ann_file=f'{split}.json',
            data_prefix=dict(img='Images_png/'),
            metainfo=dict(classes=('kidney', 'liver')),
            pipeline=[],
        )
        assert len(dataset) == len(files[f'{split}.json']['images'])


@pytest.mark.parametrize('frame', ['LPS', 'RAS'])
def test_boxes_of_the_world_are_those_of_the_voxels(root, frame):
    def to_world(name, corners):
        image = scan_of(name)[0]
        points = [image.TransformContinuousIndexToPhysicalPoint(c.tolist()) for c in corners]
        return np.array(points) * ((-1, -1, 1) if frame == 'RAS' else 1)

    expected = convert(root)
    write_boxes(root / 'boxes.csv', to_world)
    assert boxes_by_slice(convert(root, 'world', frame=frame)) == boxes_by_slice(expected)
    with pytest.raises(UserError, match='lies outside of its scan: check --world'):
        convert(root, 'strict', strict=True)


def test_boxes_of_the_world_are_in_that_of_the_sform(root, caplog):
    """Labels made with nibabel, of scans whose qform is of another frame."""

    def to_world(name, corners):
        image = scan_of(name)[0]
        points = [image.TransformContinuousIndexToPhysicalPoint(c.tolist()) for c in corners]
        return np.array(points) * (-1, -1, 1)

    expected = convert(root)
    write_boxes(root / 'boxes.csv', to_world)
    for path in (root / 'images').iterdir():
        content = bytearray(gzip.decompress(path.read_bytes()))
        struct.pack_into('<h', content, 254, 2)  # the sform's code
        for offset in (268, 272):  # the qform's x and y, mm
            (place,) = struct.unpack_from('<f', content, offset)
            struct.pack_into('<f', content, offset, place + 4)
        path.write_bytes(gzip.compress(content))
    assert boxes_by_slice(convert(root, 'world', frame='RAS')) == boxes_by_slice(expected)
    assert 'qform and sform of its header disagree by up to 5.7 mm' in caplog.text


def test_masks_give_the_regions_of_the_boxes(root):
    boxes = boxes_by_slice(convert(root))
    masks = boxes_by_slice(
        convert(root, 'masked', masks=root / 'masks', classes=('kidney', 'liver'))
    )
    assert {n: [r[:2] for r in found] for n, found in masks.items()} == {
        n: [r[:2] for r in found] for n, found in boxes.items()
    }
    one = convert(root, 'one', masks=root / 'masks')
    assert [c['name'] for c in one['train.json']['categories']] == ['lesion']
    assert {name for found in boxes_by_slice(one).values() for name, *_ in found} == {'lesion'}
    with pytest.raises(UserError, match='has the label 2, but its labels are 0 to 1'):
        convert(root, 'few', masks=root / 'masks', classes=('kidney',), strict=True)


@pytest.mark.parametrize('source', ['boxes', 'masks'])
def test_volumes_train_and_score_by_the_sphere_of_the_box(root, source):
    options = dict(masks=root / 'masks', classes=('kidney', 'liver')) if source == 'masks' else {}
    files = convert(root, volumes=True, folds=2, **options)
    (content,) = files.values()
    assert json.loads((root / 'out' / 'volumes.json').read_text()) == json.loads(
        json.dumps(content)
    )
    dataset = VolumeDataset(
        data_root=str(root / 'out'),
        ann_file='volumes.json',
        metainfo=dict(classes=('kidney', 'liver')),
        pipeline=[],
        test_mode=True,
    )
    truth = volume_ground_truth(content, 'volumes.json')
    assert len(dataset) == 4 and len(truth.lesions.geometry) == 4
    for index, volume in enumerate(content['volumes']):
        name, sample = volume['series_uid'], dataset.get_data_info(index)
        image = scan_of(name)[0]
        expected = []
        for class_name, first, last in LESIONS[name]:
            middle = np.add(first, last) / 2
            center = image.TransformContinuousIndexToPhysicalPoint(middle.tolist())
            size = (np.subtract(last, first) + 1) * SPACING
            expected.append([('kidney', 'liver').index(class_name), *center, size.max()])
        found = [[i['bbox_label'], *i['center_mm'], i['diameter_mm']] for i in sample['instances']]
        np.testing.assert_allclose(sorted(found), sorted(expected), atol=1e-6)
        own = truth.lesions.geometry[truth.lesions.case == truth.cases.index(name)]
        np.testing.assert_allclose(sorted(own[:, 3]), sorted(np.reshape(expected, (-1, 5))[:, 4]))
        hu = np.load(root / 'out' / volume['file_name'])
        assert hu.shape == (*volume['size'],) and [*volume['spacing']] == [1.0] * 3
        voxels = Grid.from_annotation(volume).from_world([f[1:4] for f in found]).astype(int)
        # linearly interpolated, up to half a voxel from the middle of a slice
        assert all(hu[tuple(voxel)] > 150 for voxel in voxels)


def test_folds_keep_patients_together(root):
    volumes = convert(root, volumes=True, folds=3)['volumes.json']['volumes']
    folds = {volume['series_uid']: volume['fold'] for volume in volumes}
    assert folds['a'] == folds['d'] and set(folds.values()) == {0, 1, 2}
    files = convert(root, 'slices', folds=3)
    assert sorted(files) == ['fold0.json', 'fold1.json', 'fold2.json']
    with pytest.raises(UserError, match='--folds is 4, but there are 3 patients'):
        convert(root, 'four', folds=4)


def test_official_splits(root):
    write_boxes(root / 'boxes.csv', splits={'a': 'test', 'b': 'train', 'c': 'val', 'd': 'test'})
    files = convert(root, every_slice=True)
    cases = {
        name: {Path(image['file_name']).parent.name for image in coco['images']}
        for name, coco in files.items()
    }
    assert cases == {'train.json': {'b'}, 'val.json': {'c'}, 'test.json': {'a', 'd'}}
    assert len(files['val.json']['images']) == 12 and not files['val.json']['annotations']
    write_boxes(root / 'boxes.csv', splits={'a': 'test'})
    with pytest.raises(UserError, match='b has no split, but others have'):
        convert(root)


def test_a_table_of_cases_beside_masks(root):
    rows = ['case,patient,split', 'a,x,train', 'b,y,val', 'c,z,val', 'd,x,train']
    (root / 'cases.csv').write_text('\n'.join(rows))
    files = convert(root, masks=root / 'masks', cases=root / 'cases.csv')
    assert [{i['patient_id'] for i in c['images']} for c in files.values()] == [{'x'}, {'y'}]
    volumes = convert(root, 'out_3d', masks=root / 'masks', cases=root / 'cases.csv', volumes=True)
    assert patients_of(volumes) == {'a': 'x', 'b': 'y', 'c': 'z', 'd': 'x'}

    # a table of other patients, over what has been converted
    (root / 'cases.csv').write_text('\n'.join(rows).replace(',x,', ',w,'))
    files = convert(root, masks=root / 'masks', cases=root / 'cases.csv')
    assert [{i['patient_id'] for i in c['images']} for c in files.values()] == [{'w'}, {'y'}]
    volumes = convert(root, 'out_3d', masks=root / 'masks', cases=root / 'cases.csv', volumes=True)
    assert patients_of(volumes) == {'a': 'w', 'b': 'y', 'c': 'z', 'd': 'w'}
    volumes = convert(root, 'out_3d', masks=root / 'masks', volumes=True)
    assert patients_of(volumes) == {name: name for name in 'abcd'}


def patients_of(files):
    volumes = chain.from_iterable(coco['volumes'] for coco in files.values())
    return {volume['series_uid']: volume['patient_id'] for volume in volumes}


def test_what_is_left_out_and_what_cannot_be_used(root, capsys):
    (root / 'images' / 'b.nii.gz').unlink()
    with pytest.raises(UserError, match='1 of 4 cases were skipped'):
        convert(root)
    files = convert(root, allow_skipped=1)
    assert not any(name.startswith('b/') for name in boxes_by_slice(files))
    assert f'there is no {root}/images/b.nii.gz' in capsys.readouterr().err
    (root / 'masks' / 'd.nii.gz').unlink()
    files = convert(root, 'masked', masks=root / 'masks', allow_skipped=1)
    assert {name[0] for name in boxes_by_slice(files)} == {'a'}
    assert '| without a mask   | 1     |' in capsys.readouterr().out


@pytest.mark.parametrize(
    'text, message',
    [
        ('', 'has no column case, x1'),
        ('case,x1,y1,z1,x2,y2,z2\n', 'lists no case'),
        ('case,x1,y1,z1,x2,y2\na,1,2,3,4,5\n', 'has no column z2'),
        ('case,x1,y1,z1,x2,y2,z2\na,1,2,3,4,5\n', 'line 2: the box is 1, 2, 3, 4, 5, , not six'),
        ('case,x1,y1,z1,x2,y2,z2\na,1,2,3,4,5,nan\n', 'not six numbers'),
        ('case,x1,y1,z1,x2,y2,z2\na,1,2,3,4,5,2\n', 'is not x1 < x2'),
        ('case,x1,y1,z1,x2,y2,z2\n../a,1,2,3,4,5,6\n', 'no name of a scan'),
        ('case,x1,y1,z1,x2,y2,z2\na,1,2,3,4,5,6,7\n', 'line 2 has more cells'),
        (
            'case,x1,y1,z1,x2,y2,z2,patient\na,1,2,3,4,5,6,p\na,1,2,3,4,5,6,q\n',
            'line 3: the patient is q, but p in a row before',
        ),
    ],
)
def test_bad_tables(root, text, message):
    (root / 'boxes.csv').write_text(text)
    with pytest.raises(UserError, match=message):
        convert(root)
    assert not (root / 'out').exists()


def test_bad_options(root):
    for message, options in {
        'one of them': dict(masks=root / 'masks', boxes=root / 'boxes.csv'),
        'add it to --classes': dict(classes=('liver',)),
        'leave it out with --masks': dict(masks=root / 'masks', frame='LPS'),
        'not low < high': dict(window=(5, 5)),
        'names one twice': dict(classes=('liver', 'kidney', 'liver')),
        'is not a folder': dict(masks=root / 'nowhere'),
        'give 0 to 0.5': dict(test_share=0.5, val_share=0.6),
        'give at least 2': dict(folds=1),
    }.items():
        with pytest.raises(UserError, match=message):
            convert(root, **options)
    assert not (root / 'out').exists()


def test_nnunet_names_and_duplicates(root):
    (root / 'images' / 'a.nii.gz').rename(root / 'images' / 'a_0000.nii.gz')
    assert {n[0] for n in boxes_by_slice(convert(root))} == {'a', 'b', 'd'}
    sitk.WriteImage(scan_of('a')[0], str(root / 'images' / 'a.nii'))
    with pytest.raises(UserError, match='are of one case'):
        convert(root)


def test_small_sections_are_ignored(root):
    """The section of the lesion of d has 5 x 3 px of 0.8 mm, 9.6 mm2."""
    files = convert(root, min_area=10, every_slice=True)
    ignored = {
        (image['file_name'][0], ann['ignore'])
        for coco in files.values()
        for ann in coco['annotations']
        for image in coco['images']
        if image['id'] == ann['image_id']
    }
    assert ignored == {('a', 0), ('b', 0), ('b', 1), ('d', 1)}
