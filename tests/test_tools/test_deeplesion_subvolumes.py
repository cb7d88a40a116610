import json

import numpy as np
import pytest
from mmdet.registry import DATASETS


@pytest.fixture
def data(ramp_dataset):
    """A series of slices 3 to 9, and one of 2 to 6 and 8 to 11, the former with a lesion."""
    image = ramp_dataset.add_image(key=6, first=3, last=9)
    ramp_dataset.add_lesion(image['id'], [4, 5, 6, 7], lesion_type=3)
    ramp_dataset.add_image(key=4, first=2, last=11, missing=(7,))
    ramp_dataset.write('test.json')
    return ramp_dataset


@pytest.fixture
def run(data, run_tool):
    def run(*flags):
        out = data.root / 'slices.json'
        arguments = [data.root / 'test.json', '--images', data.images_dir, '--out', out, *flags]
        run_tool('dataset_converters/deeplesion_subvolumes.py', *arguments)
        return json.loads(out.read_text())

    return run


RUNS = ['000001_01_02_003-009', '000002_01_02_002-006', '000002_01_02_008-011']


def test_every_slice_of_all_runs(run, data):
    coco = run()
    assert coco['sub_volumes'] == {name: [] for name in RUNS}
    assert len(coco['images']) == 7 + 5 + 4
    assert [image['id'] for image in coco['images']] == list(range(1, 17))
    first, key, last = coco['images'][0], coco['images'][3], coco['images'][-1]
    assert first['file_name'] == '000001_01_02/003.png' and first['slice_range'] == [3, 9]
    assert key['slice_index'] == 6 and last['slice_index'] == 11
    assert [image['sub_volume'] for image in (first, key, last)] == [RUNS[0], RUNS[0], RUNS[2]]
    assert last['slice_range'] == [8, 11] and last['spacing'] == [0.8, 0.8]
    (annotation,) = coco['annotations']
    assert annotation['image_id'] == key['id'] and annotation['lesion_type'] == 3
    dataset = DATASETS.build(
        dict(
            type='CTSliceDataset',
            data_root=str(data.root),
            ann_file='slices.json',
            data_prefix=dict(img='Images_png/'),
            test_mode=True,
            pipeline=[dict(type='LoadCTSlices', num_slices=9)],
        )
    )
    assert len(dataset) == 16 and dataset[15]['img'].shape == (24, 32, 9)


def test_manual_annotation(run, data, capsys):
    manual = {'000002_01_02_003-005': [[1, 2, 3, 4, 5, 4]], RUNS[0]: [], '000009_01_02_001-004': []}
    manual['000002_01_02_005-008'] = [[1, 1, 5, 2, 2, 6]]
    path = data.root / 'gt.json'
    path.write_text(json.dumps({'val': manual, 'test': {RUNS[0]: []}}))
    coco = run('--gt', path, '--split', 'val', '--allow-skipped', 2)
    assert coco['sub_volumes'] == {'000002_01_02_003-005': [[1, 2, 3, 4, 5, 4]], RUNS[0]: []}
    assert [image['slice_index'] for image in coco['images']] == [3, 4, 5, *range(3, 10)]
    assert coco['images'][0]['slice_range'] == [3, 5]
    printed = capsys.readouterr().err
    assert '000009_01_02_001-004: no image of series 000009_01_02 is annotated' in printed
    assert '000002_01_02_005-008: there is no slice 7' in printed
    with pytest.raises(SystemExit, match='no slice 7|no image of series'):
        run('--gt', path, '--split', 'val', '--strict')
    with pytest.raises(SystemExit, match='2 of 4 sub-volumes were skipped'):
        run('--gt', path, '--split', 'val', '--allow-skipped', 1)
    with pytest.raises(SystemExit, match='--split is of the manual annotation'):
        run('--split', 'val')


def test_fields_of_the_manual_annotation_are_kept(run, data):
    lesions = [dict(box=[1, 2, 3, 4, 5, 4], organ='liver', stage=2), [7, 8, 4, 9, 9, 5]]
    path = data.root / 'gt.json'
    path.write_text(json.dumps({'000002_01_02_003-005': lesions}))
    assert run('--gt', path)['sub_volumes'] == {'000002_01_02_003-005': lesions}


def test_boxes_of_a_phantoms_masks(run, data):
    (data.root / 'truth').mkdir()
    labels = np.zeros((7, 24, 32), np.uint8)
    labels[2:4, 8:12, 10:20] = 3
    truth = dict(labels=labels, slices=np.arange(3, 10))
    np.savez(data.root / 'truth' / '000001_01_02.npz', **truth)
    with pytest.raises(SystemExit, match='000002_01_02.npz is not the truth'):
        run('--truth', data.root / 'truth')
    empty = dict(labels=labels * 0, slices=np.array([2, 3, 4, 5, 6, 8, 9]))
    np.savez(data.root / 'truth' / '000002_01_02.npz', **empty)
    coco = run('--truth', data.root / 'truth')
    assert coco['sub_volumes'][RUNS[0]] == [[5, 3, 5, 24, 16, 6]]
    manual = json.loads((data.root / 'slices.boxes3d.json').read_text())
    assert manual == coco['sub_volumes']
