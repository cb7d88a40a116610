"""The converters whose every slice is an image: LiTS, NIH-LN and LUNA16's slices."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import SimpleITK as sitk
from mmdet.registry import DATASETS
from phantom import (
    PatientOptions,
    make_lits_phantom,
    make_luna16_phantom,
    make_nih_ln_phantom,
)
from scipy import ndimage

from mmlesion.io.ct import read_ct
from mmlesion.structures.ct_volume import CTVolume

SMALL = PatientOptions(size=128, slice_intervals=(2.5, 5.0))


@pytest.fixture
def convert(tmp_path, run_tool):
    def run(name, root, *flags, out=tmp_path / 'out'):
        arguments = [root, '--out', out, '--workers', 1, '--val-share', 0.5, *flags]
        run_tool(f'dataset_converters/{name}.py', *arguments)
        assert not (out / 'test.json').exists()
        splits = [json.loads((out / f'{split}.json').read_text()) for split in ('train', 'val')]
        patients = [{image['patient_id'] for image in coco['images']} for coco in splits]
        assert not patients[0] & patients[1]
        return slices_of(splits)

    return run


def slices_of(splits):
    """Images by file name, with their annotations, of all splits."""
    slices = {}
    for coco in splits:
        by_id = {image['id']: dict(image, annotations=[]) for image in coco['images']}
        for annotation in coco['annotations']:
            by_id[annotation['image_id']]['annotations'].append(annotation)
        slices.update({image['file_name']: image for image in by_id.values()})
    return slices


def read(out, name):
    return cv2.imread(str(out / 'Images_png' / name), cv2.IMREAD_UNCHANGED).astype(int) - 32768


@pytest.fixture(scope='module')
def lits(tmp_path_factory):
    root = tmp_path_factory.mktemp('phantom') / 'lits'
    make_lits_phantom(root, (2, 1), seed=3, options=SMALL)
    return root


@pytest.fixture(scope='module')
def nih_ln(tmp_path_factory):
    root = tmp_path_factory.mktemp('phantom') / 'nih_ln'
    make_nih_ln_phantom(root, (1, 1), seed=3, options=SMALL)
    return root


@pytest.fixture(scope='module')
def luna16(tmp_path_factory):
    root = tmp_path_factory.mktemp('phantom') / 'luna16'
    make_luna16_phantom(root, (1, 1), seed=3)
    return root


def test_lits_slices_and_boxes(lits, convert, tmp_path):
    """Whichever way rows and columns run in a volume, and whatever its segmentation's header is."""
    slices = convert('lits', lits, '--min-area', 0)
    count = 0
    for number in range(2):
        volume = CTVolume(sitk.ReadImage(str(lits / f'volume-{number}.nii')))
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(lits / f'segmentation-{number}.nii')))
        assert set(np.unique(labels)) == {0, 1, 2}
        tumors = volume.oriented(labels) == 2
        lesions, _ = ndimage.label(tumors, np.ones((3, 3, 3)))
        assert len(volume.array) == sum(name.startswith(f'volume-{number}/') for name in slices)
        for index, plane in enumerate(volume.array):
            name = f'volume-{number}/{index + 1:03d}.png'
            np.testing.assert_array_equal(read(tmp_path / 'out', name), plane)
            image = slices[name]
            assert image['patient_id'] == number and image['slice_range'] == [1, len(volume.array)]
            parts, _ = ndimage.label(tumors[index], np.ones((3, 3)))
            expected = [
                [x.start, y.start, x.stop - x.start, y.stop - y.start]
                for y, x in ndimage.find_objects(parts)
            ]
            assert sorted(a['bbox'] for a in image['annotations']) == sorted(expected)
            for annotation in image['annotations']:
                x, y, w, h = annotation['bbox']
                own = lesions[index, y : y + h, x : x + w]
                assert annotation['lesion_id'] in own and annotation['lesion_type'] == 4
            count += len(expected)
    assert count > 5
    assert any(not image['annotations'] for image in slices.values())


def test_lits_orientations(lits, convert, tmp_path):
    """In every volume the spine lies beneath, and the liver's tumors at the picture's left."""
    for name, image in convert('lits', lits).items():
        # the spine is in the lower half of the picture, beneath the middle column
        hu = read(tmp_path / 'out', name)[:, 54:74]
        assert (hu[64:] > 330).sum() > (hu[:64] > 330).sum()
        assert all(x + w / 2 < 64 for x, _, w, _ in (a['bbox'] for a in image['annotations']))


def test_lits_goes_on_and_reports(lits, convert, tmp_path, capsys):
    root = Path(shutil.copytree(lits, tmp_path / 'lits'))
    slices = convert('lits', root)
    stamp = (tmp_path / 'out' / 'Images_png' / 'volume-0').stat().st_mtime_ns
    (root / 'segmentation-1.nii').unlink()
    assert {name.split('/')[0] for name in convert('lits', root)} == {'volume-0'}
    assert (tmp_path / 'out' / 'Images_png' / 'volume-0').stat().st_mtime_ns == stamp
    assert '| without a segmentation | 1     |' in capsys.readouterr().out
    cube = sitk.ReadImage(str(root / 'volume-0.nii'))
    cube.SetSpacing((1, 1, 1))
    sitk.WriteImage(cube, str(root / 'volume-0.nii'))
    assert len(convert('lits', root)) < len(slices)
    assert '1 volumes have voxels of 1 mm in all directions' in capsys.readouterr().err
    labels = sitk.ReadImage(str(root / 'segmentation-0.nii'))
    sitk.WriteImage(labels[1:], str(root / 'segmentation-0.nii'))
    with pytest.raises(SystemExit, match='have the size'):
        convert('lits', root, '--strict')
    sitk.WriteImage(labels * 2, str(root / 'segmentation-0.nii'))
    with pytest.raises(SystemExit, match='has the label 4'):
        convert('lits', root, '--strict')
    with pytest.raises(SystemExit, match='no volume-.*nii with a segmentation'):
        convert('lits', tmp_path / 'out')


def test_a_dataset_of_negatives_and_positives(lits, convert, tmp_path):
    slices = convert('lits', lits)
    cfg = dict(
        type='CTSliceDataset',
        dataset_name='lits',
        data_root=str(tmp_path / 'out'),
        ann_file='train.json',
        data_prefix=dict(img='Images_png/'),
        pipeline=[dict(type='LoadCTSlices', num_slices=9, slice_interval=2.0)],
    )
    dataset = DATASETS.build(dict(cfg, filter_cfg=dict(filter_empty_gt=False)))
    positives = DATASETS.build(dict(cfg, filter_cfg=dict(filter_empty_gt=True)))
    name = Path(dataset.get_data_info(0)['img_path']).parent.name
    own = [image for image in slices.values() if image['file_name'].startswith(f'{name}/')]
    assert len(dataset) == len(own) > len(positives) > 0
    assert all(dataset.get_data_info(i)['dataset_name'] == 'lits' for i in range(len(dataset)))
    assert {id for i in range(len(positives)) for id in positives.get_data_info(i)['lesion_ids']}
    assert dataset[0]['img'].shape == (128, 128, 9)


def test_nih_ln_masks(nih_ln, convert, tmp_path):
    slices = convert('nih_ln', nih_ln, '--min-area', 0)
    for name, lesion_type in (('ABD_LYMPH_001', 2), ('MED_LYMPH_001', 3)):
        (series,) = {path.parent for path in (nih_ln / 'CT Lymph Nodes' / name).rglob('*.dcm')}
        volume = CTVolume(read_ct(series))
        path = nih_ln / 'MED_ABD_LYMPH_MASKS' / name / f'{name}_mask.nii.gz'
        nodes = CTVolume(sitk.ReadImage(str(path))).array
        assert nodes.shape == volume.array.shape and nodes.any()
        for index, plane in enumerate(volume.array):
            image = slices[f'{name}/{index + 1:03d}.png']
            np.testing.assert_array_equal(read(tmp_path / 'out', image['file_name']), plane)
            found = {a['lesion_id'] for a in image['annotations']}
            assert found == set(np.unique(nodes[index]).tolist()) - {0}
            assert {a['lesion_type'] for a in image['annotations']} <= {lesion_type}
            assert image['patient_id'] == name
            for annotation in image['annotations']:
                x, y, w, h = annotation['bbox']
                assert (nodes[index, y : y + h, x : x + w] == annotation['lesion_id']).any()


def test_nih_ln_markers_where_there_is_no_mask(nih_ln, convert, tmp_path):
    """Spheres round the listed points meet the masks' boxes of the slices of their centers."""
    slices = convert('nih_ln', nih_ln)
    marked = convert('nih_ln', nih_ln, '--masks', tmp_path, out=tmp_path / 'marked')
    assert marked.keys() == slices.keys()
    folder = nih_ln / 'MED_ABD_LYMPH_ANNOTATIONS' / 'ABD_LYMPH_001'
    listed = np.loadtxt(folder / 'ABD_LYMPH_001_lymphnodes_indices.txt', ndmin=2)
    sizes = np.loadtxt(folder / 'ABD_LYMPH_001_lymphnodes_sizes.txt', ndmin=2)
    assert sizes.shape == (len(listed), 2)
    own = [image for name, image in marked.items() if name.startswith('ABD')]
    for number, ((column, row, height), size) in enumerate(zip(listed, sizes.max(axis=1)), 1):
        key = next(i for i in own if i['slice_index'] == len(own) - height)
        (region,) = [a for a in key['annotations'] if a['lesion_id'] == number]
        x, y, w, h = region['bbox']
        assert abs(x + w / 2 - column - 0.5) < 1 and abs(y + h / 2 - row - 0.5) < 1
        assert w * key['spacing'][0] == pytest.approx(size, rel=1e-2)
        masks = [a['bbox'] for a in slices[key['file_name']]['annotations']]
        assert any(
            abs(a + c / 2 - x - w / 2) < 4 and abs(b + d / 2 - y - h / 2) < 4
            for a, b, c, d in masks
        )


def test_nih_ln_problems(nih_ln, convert, tmp_path, capsys):
    root = Path(shutil.copytree(nih_ln, tmp_path / 'nih'))
    mask = root / 'MED_ABD_LYMPH_MASKS' / 'ABD_LYMPH_001' / 'ABD_LYMPH_001_mask.nii.gz'
    image = sitk.ReadImage(str(mask))
    sitk.WriteImage(image[:, 1:], str(mask))
    with pytest.raises(SystemExit, match='ABD_LYMPH_001_mask.nii.gz and its scan have the size'):
        convert('nih_ln', root, '--strict')
    mask.unlink()
    lists = root / 'MED_ABD_LYMPH_ANNOTATIONS' / 'ABD_LYMPH_001'
    points = lists / 'ABD_LYMPH_001_lymphnodes_physicalPoints.txt'
    for text, message in (
        ('1 2\n', 'do not have three numbers'),
        ('1 2 x\n', 'not a list of numbers'),
        ('999 0 0\n' * len(points.read_text().splitlines()), 'point outside of its scan'),
    ):
        points.write_text(text)
        with pytest.raises(SystemExit, match=message):
            convert('nih_ln', root, '--strict')
    points.unlink()
    slices = convert('nih_ln', root, '--allow-skipped', 1)
    assert {name.split('/')[0] for name in slices} == {'MED_LYMPH_001'}
    assert 'there is no' in capsys.readouterr().err
    with pytest.raises(SystemExit, match='no folder ABD_LYMPH_001'):
        convert('nih_ln', tmp_path / 'out')


def test_nih_ln_series(nih_ln, convert, tmp_path):
    """A segmentation in DICOM is no scan; two scans of a patient are one too many."""
    root = Path(shutil.copytree(nih_ln, tmp_path / 'nih'))
    (series,) = {path.parent for path in (root / 'CT Lymph Nodes' / 'MED_LYMPH_001').rglob('*.dcm')}
    (series.parent / 'seg').mkdir()
    shutil.copy(series / '000000.dcm', series.parent / 'seg')
    assert convert('nih_ln', root) == convert('nih_ln', nih_ln, out=tmp_path / 'other')
    shutil.copytree(series, series.parent / 'again')
    with pytest.raises(SystemExit, match='MED_LYMPH_001 has several series'):
        convert('nih_ln', root, '--strict')


def test_luna16_slices(luna16, convert, tmp_path):
    slices = convert('luna16_slices', luna16)
    rows = list(csv.DictReader(open(luna16 / 'annotations.csv')))
    assert {image['patient_id'] for image in slices.values()} == {
        path.stem for path in luna16.glob('subset*/*.mhd')
    }
    for uid in {row['seriesuid'] for row in rows}:
        (path,) = luna16.glob(f'subset*/{uid}.mhd')
        volume = CTVolume(sitk.ReadImage(str(path)))
        nodules = [row for row in rows if row['seriesuid'] == uid]
        for number, row in enumerate(nodules, 1):
            point = [float(row[f'coord{axis}']) for axis in 'XYZ']
            z, y, x = volume.grid.from_world([point])[0]
            image = slices[f'{uid}/{int(z) + 1:03d}.png']
            (region,) = [a for a in image['annotations'] if a['lesion_id'] == number]
            left, top, w, h = region['bbox']
            np.testing.assert_allclose([left + w / 2, top + h / 2], [x, y], atol=0.01)
            assert w * image['spacing'][0] == pytest.approx(float(row['diameter_mm']), abs=0.01)
            assert not region['ignore'] and region['lesion_type'] == 5
            hu = read(tmp_path / 'out', image['file_name'])
            assert hu[int(y), int(x)] > -400, 'a nodule in the lung'
            spans = [
                n
                for n, i in slices.items()
                if n.startswith(uid) and any(a['lesion_id'] == number for a in i['annotations'])
            ]
            height = float(row['diameter_mm']) / volume.spacing[2]
            assert abs(len(spans) - height) <= 1.5
    ignored = convert('luna16_slices', luna16, '--min-area', 1000)
    assert all(a['ignore'] for image in ignored.values() for a in image['annotations'])
    assert (tmp_path / 'out' / 'seriesuids.csv').is_file()


def test_luna16_nodule_outside_of_its_scan(luna16, convert, tmp_path, capsys):
    path = tmp_path / 'annotations.csv'
    rows = (luna16 / 'annotations.csv').read_text().splitlines()
    uid = rows[1].split(',')[0]
    path.write_text('\n'.join([*rows, f'{uid},9999,0,0,5']) + '\n')
    flags = ('--annotations', path, '--allow-skipped', 1)
    slices = convert('luna16_slices', luna16, *flags)
    assert not any(name.startswith(uid) for name in slices)
    assert f'1 nodules of {uid} lie outside' in capsys.readouterr().err


def test_phantoms_are_the_same_whatever_the_workers(tmp_path):
    for make, name in ((make_lits_phantom, 'lits'), (make_nih_ln_phantom, 'nih')):
        contents = []
        for workers in (1, 2):
            root = tmp_path / f'{name}{workers}'
            make(root, (1, 1), seed=1, workers=workers, options=SMALL)
            files = sorted(path for path in root.rglob('*') if path.suffix in ('.nii', '.txt'))
            contents.append([path.read_bytes() for path in files])
        assert contents[0] == contents[1] and contents[0]


def test_a_folder_of_test_patients_alone(lits, run_tool, tmp_path, capsys):
    shares = ('--val-share', 0, '--test-share', 1)
    run_tool('dataset_converters/lits.py', lits, '--out', tmp_path, '--workers', 1, *shares)
    splits = {
        split: json.loads((tmp_path / f'{split}.json').read_text())
        for split in ('train', 'val', 'test')
    }
    assert not splits['train']['images'] and not splits['val']['images']
    assert {image['patient_id'] for image in splits['test']['images']} == {0, 1}
    assert 'train.json has no image' in capsys.readouterr().err


def test_shares_that_make_no_sense(lits, run_tool, tmp_path):
    with pytest.raises(SystemExit, match='--val-share is 0.2: give 0 to 0'):
        run_tool('dataset_converters/lits.py', lits, '--out', tmp_path, '--test-share', 1)
    assert not list(tmp_path.iterdir())
