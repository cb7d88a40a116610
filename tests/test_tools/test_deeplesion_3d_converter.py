import csv
import json
from pathlib import Path

import numpy as np
import pytest
from phantom import PatientOptions, make_deeplesion_phantom

from mmlesion.converters import deeplesion_3d
from mmlesion.structures import Grid

TOOL = 'dataset_converters/deeplesion_3d.py'
SPLITS = 'train', 'val', 'test'


@pytest.fixture(scope='module')
def phantom(run_tool, tmp_path_factory):
    root = tmp_path_factory.mktemp('phantom') / 'phantom'
    options = PatientOptions(size=160, unannotated=0.0)
    make_deeplesion_phantom(root, (2, 1, 1), seed=5, noisy=0.0, options=options)
    arguments = [root / 'DL_info.csv', '--images', root / 'Images_png', '--out', root]
    run_tool('dataset_converters/deeplesion.py', *arguments)
    return root


@pytest.fixture
def convert(run_tool, phantom, tmp_path):
    def convert(*flags, annotations=phantom):
        images, out = phantom / 'Images_png', tmp_path / 'out'
        run_tool(TOOL, annotations, '--images', images, '--out', out, '--workers', 1, *flags)
        return {path.stem: json.loads(path.read_text()) for path in out.glob('*.json')}

    return convert


def image(key=10, first=5, last=15, interval=5.0):
    return dict(
        spacing=[0.8, 0.8],
        slice_interval=interval,
        slice_index=key,
        slice_range=[first, last],
        pixel_center=0.0,
    )


def lesion(bbox, long_mm):
    return dict(bbox=bbox, diameters_mm=[long_mm, 0.7 * long_mm])


def test_sphere():
    # the box's long side, 16 mm, of small lesions the smaller of it and the long diameter
    bbox = [105, 55, 10, 20]
    expected = [88.0, 52.0, -45.0, 12.0]
    np.testing.assert_allclose(deeplesion_3d.sphere(image(), lesion(bbox, 12.0)), expected)
    assert deeplesion_3d.sphere(image(), lesion(bbox, 30.0))[3] == 16.0
    assert deeplesion_3d.sphere(image(), lesion(bbox, 12.0), small=16.0)[3] == 16.0
    # in a file whose boxes run from edge to edge of pixels, the first center is at 0.5
    in_edges = dict(image(), pixel_center=0.5)
    moved = deeplesion_3d.sphere(in_edges, lesion([105.5, 55.5, 10, 20], 12.0))
    np.testing.assert_allclose(moved, expected)


def merge(spheres):
    return deeplesion_3d.merge_lesions(spheres, [-1] * len(spheres))[0]


def test_annotations_of_one_lesion_are_merged():
    one = [[0, 0, 0, 10.0], [2, 0, 4, 6.0], [0, 30, 0, 8.0]]
    merged = merge(np.array(one, float))
    np.testing.assert_allclose(merged, [[1, 0, 2, 10], [0, 30, 0, 8]])
    # a small one that a large one's center is not in, but that lies in the large one
    nested = np.array([[0, 0, 0, 20.0], [8, 0, 4, 4.0]])
    np.testing.assert_allclose(merge(nested), [[4, 0, 2, 20]])
    # of one slice they are two lesions
    nested[:, 2] = 0
    np.testing.assert_allclose(merge(nested), nested)
    apart = np.array([[0, 0, 0, 10.0], [5.5, 0, 0, 10.0]])
    np.testing.assert_allclose(merge(apart), apart)
    assert merge(np.empty((0, 4))).shape == (0, 4)


def test_types_of_merged_lesions():
    near = np.array([[0, 0, 0, 10.0], [2, 0, 1, 6.0], [0, 60, 0, 8.0], [0, 62, 1, 8.0]])
    assert deeplesion_3d.merge_lesions(near, [5, -1, 4, 4])[1] == [5, 4]
    # they disagree; unknown
    assert deeplesion_3d.merge_lesions(near, [5, 4, -1, -1])[1] == [-1, -1]
    assert deeplesion_3d.merge_lesions(np.empty((0, 4)), [])[1] == []


def test_types_are_kept(convert, phantom):
    """Of the phantom as of DeepLesion: the training split has none, the others have all."""
    found = convert()
    for split in SPLITS:
        annotated = json.loads((phantom / f'{split}.json').read_text())['annotations']
        before = {annotation['lesion_type'] for annotation in annotated}
        after = {annotation['lesion_type'] for annotation in found[split]['annotations']}
        assert after == ({-1} if split == 'train' else before)
        assert (split == 'train') == (before == {-1})


def test_noisy_lesions_are_left_out(phantom, tmp_path):
    content = json.loads((phantom / 'test.json').read_text())
    before = sum(len(run.lesions) for run in deeplesion_3d.read_split(phantom / 'test.json'))
    for annotation in content['annotations']:
        annotation['noisy'] = 1
    (tmp_path / 'test.json').write_text(json.dumps(content))
    noisy = deeplesion_3d.read_split(tmp_path / 'test.json')
    assert before > 0 and sum(len(run.lesions) for run in noisy) == 0


def test_the_official_validation_split():
    """The paper's 4,887 lesions, about 11 % of which have 48 mm or more."""
    table = Path(__file__).parents[2] / '..' / 'shared' / 'data' / 'deeplesion' / 'DL_info_val.csv'
    if not table.is_file():
        pytest.skip("DeepLesion's official table is not here")
    diameters = []
    with open(table, newline='') as file:
        for row in csv.DictReader(file):
            if row['Possibly_noisy'] == '1':
                continue
            spacing = float(row['Spacing_mm_px_'].split(',')[0])
            x1, y1, x2, y2 = map(float, row['Bounding_boxes'].split(','))
            long_px = float(row['Lesion_diameters_Pixel_'].split(',')[0])
            at = dict(image(), spacing=[spacing, spacing])
            one = lesion([x1, y1, x2 - x1, y2 - y1], long_px * spacing)
            diameters.append(deeplesion_3d.sphere(at, one)[3])
    assert len(diameters) == 4887
    assert np.mean(np.array(diameters) >= 48) == pytest.approx(0.107, abs=5e-4)


def test_key_slices_whose_ranges_meet_share_a_volume():
    pairs = [
        (image(10, 5, 15), [lesion([0, 0, 20, 20], 10.0)]),
        (image(18, 13, 23), [lesion([100, 0, 20, 20], 10.0)]),
        (image(40, 35, 45), [lesion([0, 0, 20, 20], 10.0)]),
    ]
    volumes = list(deeplesion_3d.sub_volumes('000001_01_02', pairs))
    names = [volume.name for volume in volumes]
    assert names == ['000001_01_02_005-023', '000001_01_02_035-045']
    assert [len(volume.lesions) for volume in volumes] == [2, 1]
    assert volumes[0].spacing == (0.8, 0.8, 5.0)


def test_lesions_are_where_the_phantom_has_them(convert, phantom):
    truth = json.loads((phantom / 'truth' / 'lesions.json').read_text())
    found = convert()
    assert {'train', 'val', 'test', 'val_below_48mm', 'test_below_48mm'} <= found.keys()
    checked = 0
    for split in SPLITS:
        by_id = {volume['id']: volume for volume in found[split]['volumes']}
        for annotation in found[split]['annotations']:
            volume = by_id[annotation['volume_id']]
            series, slices = volume['series_uid'].rsplit('_', 1)
            first = int(slices.split('-')[0])
            known = truth[series]
            centers = [
                [*np.multiply(one['center'], known['spacing']), -(one['key_slice'] - 1)]
                * np.array([1, 1, known['slice_interval']])
                for one in known['lesions']
            ]
            offsets = np.abs(np.subtract(centers, annotation['center_mm']))
            assert offsets[:, :2].max(axis=1).min() < 0.5
            checked += 1
            grid = Grid.from_annotation(volume)
            (at,) = grid.from_world([annotation['center_mm']])
            assert (at >= 0).all() and (at < grid.size).all()
            height = -annotation['center_mm'][2] / known['slice_interval'] + 1 - first + 0.5
            assert at[0] == pytest.approx(height * known['slice_interval'], abs=1e-6)
    assert checked >= 8


def test_voxels_are_those_of_the_slices(convert, phantom, tmp_path):
    found = convert()
    volumes = {v['series_uid']: v for split in SPLITS for v in found[split]['volumes']}
    for sub_volume in deeplesion_3d.read_split(phantom / 'test.json'):
        stack = deeplesion_3d.read_slices(
            deeplesion_3d.slice_paths(sub_volume, phantom / 'Images_png')
        )
        volume = volumes[sub_volume.name]
        hu = np.load(tmp_path / 'out' / volume['file_name'])
        assert list(hu.shape) == volume['size'] and hu.dtype == np.int16
        grid = Grid.from_annotation(volume)
        voxel = np.array(grid.size) // 2
        (world,) = grid.to_world([voxel + 0.5])
        x, y = np.rint(world[:2] / sub_volume.spacing[:2]).astype(int)
        z = -world[2] / sub_volume.spacing[2] + 1 - sub_volume.place.first
        near = stack[int(np.rint(z)), y - 1 : y + 2, x - 1 : x + 2]
        assert near.min() - 60 <= hu[tuple(voxel)] <= near.max() + 60
        # the black border is clipped, with 10 px left around the body
        body = (stack.max(0) > -800).any(0).sum() * sub_volume.spacing[0]
        assert abs(hu.shape[2] - body) < 25


def test_large_lesions(convert):
    found = convert('--max-diameter', 12)
    for name, without_large in (('train', 1), ('test', 0), ('test_below_12mm', 1)):
        annotations = found[name]['annotations']
        large = [a['diameter_mm'] >= 12 for a in annotations]
        assert [a['ignore'] for a in annotations] == [
            without_large * is_large for is_large in large
        ]
        assert any(large)
    assert found['test']['volumes'] == found['test_below_12mm']['volumes']


def test_a_second_run_keeps_what_is_there(convert, tmp_path):
    first = convert()
    files = sorted((tmp_path / 'out' / 'volumes').glob('*.npy'))
    stamps = [path.stat().st_mtime_ns for path in files]
    assert convert() == first
    assert [path.stat().st_mtime_ns for path in files] == stamps
    files[0].unlink()
    assert convert() == first and files[0].is_file()


def test_missing_slices(convert, phantom, tmp_path, capsys):
    slices = sorted((phantom / 'Images_png').glob('*/*.png'))
    moved = slices[0].rename(tmp_path / 'moved.png')
    try:
        found = convert('--allow-skipped', 1)
        assert 'skipped 1 volumes' in capsys.readouterr().err
        assert str(slices[0].name) in (tmp_path / 'out' / 'skipped.txt').read_text()
        made = sum(len(found[split]['volumes']) for split in SPLITS)
        whole = sum(len(deeplesion_3d.read_split(phantom / f'{split}.json')) for split in SPLITS)
        assert made == whole - 1
        with pytest.raises(SystemExit, match='Without --strict'):
            convert('--strict')
        with pytest.raises(SystemExit, match='1 of .* volumes were skipped'):
            convert()
    finally:
        moved.rename(slices[0])


def test_unusable_input(convert, run_tool, phantom, tmp_path):
    with pytest.raises(SystemExit, match='run tools/dataset_converters/deeplesion.py first'):
        convert(annotations=tmp_path)
    (tmp_path / 'train.json').write_text('{"images": [{}], "annotations": []}')
    with pytest.raises(SystemExit, match='required field `id`'):
        convert(annotations=tmp_path)
    with pytest.raises(SystemExit, match='diameter'):
        convert('--max-diameter', 0)
    with pytest.raises(SystemExit, match='Images_png'):
        run_tool(TOOL, phantom, '--images', tmp_path / 'nowhere', '--out', tmp_path / 'out')
