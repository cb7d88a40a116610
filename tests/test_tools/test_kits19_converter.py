import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from mmdet.registry import DATASETS
from phantom import PatientOptions, make_kits19_phantom
from scipy import ndimage

from mmlesion.converters import kits19

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'dataset_converters' / 'kits19.py'
SPLITS = ('train', 'val', 'test')


@pytest.fixture(scope='module')
def phantom(tmp_path_factory):
    root = tmp_path_factory.mktemp('phantom') / 'data'
    make_kits19_phantom(root, (5, 1), seed=2, options=PatientOptions(size=128))
    return root


@pytest.fixture
def data(phantom, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(phantom, tmp_path / 'data')


@pytest.fixture
def convert(run_tool, tmp_path):
    def run(root, *flags, out=tmp_path / 'out', workers=1):
        arguments = [root, '--out', out, '--workers', workers, *flags]
        run_tool(TOOL, *arguments)
        return {split: json.loads((out / f'{split}.json').read_text()) for split in SPLITS}

    return run


def all_of(converted):
    """Slices by file name with their boxes, of all splits."""
    slices = {}
    for coco in converted.values():
        for image in coco['images']:
            boxes = [a['bbox'] for a in coco['annotations'] if a['image_id'] == image['id']]
            slices[image['file_name']] = sorted(boxes)
    return slices


def rewrite(path, change):
    image = sitk.ReadImage(str(path))
    sitk.WriteImage(change(image), str(path))


def test_boxes_are_those_of_the_tumors_in_the_volume(phantom, convert):
    slices = all_of(convert(phantom, '--min-area', 0))
    expected = {}
    for case in sorted(phantom.glob('case_*/segmentation.nii.gz')):
        # columns, rows, slices: the axes of the file in reverse
        for index, plane in enumerate(
            np.moveaxis(sitk.GetArrayFromImage(sitk.ReadImage(case)), -1, 0)
        ):
            parts, _ = ndimage.label(plane.T == 2, np.ones((3, 3)))
            boxes = [
                [x.start, y.start, x.stop - x.start, y.stop - y.start]
                for y, x in ndimage.find_objects(parts)
            ]
            if boxes:
                expected[f'{case.parent.name}/{index + 1:03d}.png'] = sorted(boxes)
    assert slices == expected and len(expected) > 15


def test_a_dataset_reads_slices_and_boxes(phantom, convert, tmp_path):
    converted = convert(phantom)
    pipeline = [
        dict(type='LoadCTSlices', num_slices=9, slice_interval=2.0),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    ]
    dataset = DATASETS.build(
        dict(
            type='CTSliceDataset',
            data_root=str(tmp_path / 'out'),
            ann_file='train.json',
            data_prefix=dict(img='Images_png/'),
            pipeline=pipeline,
        )
    )
    assert len(dataset) == len(converted['train']['images'])
    for sample, image in zip(dataset, converted['train']['images']):
        scan = sitk.ReadImage(str(phantom / f'case_{image["patient_id"]:05d}' / 'imaging.nii.gz'))
        plane = sitk.GetArrayFromImage(scan)[..., image['slice_index'] - 1].T
        np.testing.assert_array_equal(sample['img'][..., 4], plane)
        for box, mask in zip(sample['gt_bboxes'].tensor.numpy(), sample['gt_masks']):
            rows, columns = mask.nonzero()
            corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_array_equal(box, corners)


def test_fields_and_splits(phantom, convert, capsys):
    converted = convert(phantom)
    patients = {s: {i['patient_id'] for i in converted[s]['images']} for s in SPLITS}
    assert sorted(map(len, patients.values())) == [1, 1, 3]
    assert set.union(*patients.values()) == set(range(5))
    assert converted == convert(phantom, '--seed', 0)
    other = convert(phantom, '--seed', 1)
    assert all_of(other) == all_of(converted) and other != converted
    image, annotation = converted['train']['images'][0], converted['train']['annotations'][0]
    expected = dict(id=1, height=128, width=128, study_id=1, series_id=1)
    assert expected.items() <= image.items()
    assert image['slice_interval'] in (1, 2, 5) and 0.7 < image['spacing'][0] < 0.9
    expected = dict(category_id=1, lesion_type=6, iscrowd=0, ignore=0, noisy=0, source='annotated')
    assert expected.items() <= annotation.items()
    assert converted['train']['categories'] == [
        {'id': 1, 'name': 'lesion', 'supercategory': 'lesion'}
    ]
    assert '| without a segmentation | 1     |' in capsys.readouterr().out


def test_all_training_patients_without_a_validation(phantom, convert, capsys):
    converted = convert(phantom, '--val-share', 0)
    assert converted['val']['images'] == []
    assert len({image['patient_id'] for image in converted['train']['images']}) == 4
    assert 'warning: val.json has no image' in capsys.readouterr().err


@pytest.mark.parametrize('orientation', ['RAS', 'LPS', 'SAR', 'AIL'])
def test_other_orders_and_directions_of_axes_give_the_same(
    orientation, data, phantom, convert, tmp_path
):
    expected = convert(phantom, out=tmp_path / 'expected')
    for path in data.rglob('*.nii.gz'):
        rewrite(path, lambda image: sitk.DICOMOrient(image, orientation))
    found = convert(data)
    assert all_of(found) == all_of(expected)
    picture = Path('Images_png', expected['train']['images'][0]['file_name'])
    pictures = [(tmp_path / name / picture).read_bytes() for name in ('out', 'expected')]
    assert pictures[0] == pictures[1]


def test_whole_hu_stored_as_floats(data, convert):
    expected = convert(data)
    for path in data.rglob('imaging.nii.gz'):
        rewrite(path, lambda image: sitk.Cast(image, sitk.sitkFloat64))
    assert convert(data) == expected


def test_a_small_region_is_ignored_and_its_slice_is_left_out(data, convert):
    (case,) = {path.parent for path in data.glob('case_00000/*')}

    def add_px(image):
        array = sitk.GetArrayFromImage(image)
        array[2, 2] = 2  # a px in each slice
        changed = sitk.GetImageFromArray(array)
        changed.CopyInformation(image)
        return changed

    before = convert(data)
    rewrite(case / 'segmentation.nii.gz', add_px)
    after = convert(data)
    assert all_of(after).keys() == all_of(before).keys()
    added = [a for s in SPLITS for a in after[s]['annotations'] if a['bbox'] == [2, 2, 1, 1]]
    slices = [name for name in all_of(before) if name.startswith('case_00000/')]
    assert len(added) == len(slices) > 0 and all(a['ignore'] == 1 for a in added)


def test_goes_on_where_it_stopped(data, convert, monkeypatch, tmp_path):
    sliced, plain = [], kits19.slice_case

    def fail_at_third(case, *others):
        sliced.append(case.name)
        if len(sliced) == 3:
            raise KeyboardInterrupt
        return plain(case, *others)

    monkeypatch.setattr(kits19, 'slice_case', fail_at_third)
    with pytest.raises(SystemExit, match='130'):
        convert(data)
    assert not (tmp_path / 'out' / 'train.json').exists()
    converted = convert(data)
    assert sliced == [f'case_{n:05d}' for n in (0, 1, 2, 2, 3, 4)]
    assert converted == convert(data, out=tmp_path / 'unbroken')
    assert not list((tmp_path / 'out').rglob('.*'))


def test_workers_change_nothing(phantom, convert, tmp_path):
    assert convert(phantom, workers=2) == convert(phantom, out=tmp_path / 'other')


def shift(image):
    image.SetOrigin(np.add(image.GetOrigin(), (0, 5, 0)).tolist())
    return image


@pytest.mark.parametrize(
    'name, change, message',
    [
        ('segmentation', lambda image: image[:, 1:], 'have the size'),
        ('segmentation', shift, 'have the origin'),
        ('segmentation', lambda image: image * 3, 'the label 6'),
        ('segmentation', lambda image: sitk.Cast(image, sitk.sitkFloat32) / 2, 'not whole'),
        ('imaging', lambda image: image * 0, 'cannot be a CT scan'),
    ],
)
def test_a_case_that_cannot_be_used(name, change, message, data, convert, capsys, tmp_path):
    rewrite(data / 'case_00001' / f'{name}.nii.gz', change)
    with pytest.raises(SystemExit, match=f'error: .*case_00001.*{message}.*--strict'):
        convert(data, '--strict')
    with pytest.raises(SystemExit, match='1 of 5 cases were skipped.*skipped.txt'):
        convert(data)
    converted = convert(data, '--allow-skipped', 1)
    assert not any('case_00001' in name for name in all_of(converted))
    assert len({i['patient_id'] for s in SPLITS for i in converted[s]['images']}) == 4
    printed = capsys.readouterr()
    assert message in printed.err and '| unusable               | 1     |' in printed.out
    assert message in (tmp_path / 'out' / 'skipped.txt').read_text()


def test_nothing_is_written_if_no_case_can_be_used(data, convert, tmp_path):
    for path in data.glob('*/imaging.nii.gz'):
        path.unlink()
    with pytest.raises(SystemExit, match='no case can be used; the first: .*case_00000'):
        convert(data, '--allow-skipped', 9)
    assert not (tmp_path / 'out' / 'train.json').exists()


@pytest.mark.parametrize('workers', [1, 2])
def test_a_full_disk_ends_the_run(data, convert, tmp_path, monkeypatch, workers):
    def write_nothing(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, 'write_bytes', write_nothing)
    with pytest.raises(SystemExit, match='error: .*case_0000.* cannot be written: .*No space'):
        convert(data, '--allow-skipped', 9, workers=workers)
    assert not (tmp_path / 'out' / 'train.json').exists()
    assert not list((tmp_path / 'out' / 'Images_png').iterdir())
