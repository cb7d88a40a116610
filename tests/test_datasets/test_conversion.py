import os

import pytest

from mmlesion.datasets.conversion import split_patients
from mmlesion.datasets.volume_slices import SliceOptions
from mmlesion.io.coco import as_coco
from mmlesion.io.resume import convert_once


def test_split_by_patients():
    names = [f'case_{i:05d}' for i in range(210)]
    splits = split_patients(names, seed=0, val_share=0.1)
    assert [len(splits[name]) for name in ('train', 'val', 'test')] == [147, 21, 42]
    assert sorted(splits['train'] + splits['val'] + splits['test']) == names
    assert splits == split_patients(names[::-1], seed=0, val_share=0.1)
    assert splits['test'] != split_patients(names, seed=1, val_share=0.1)['test']


@pytest.mark.parametrize('val_share', [0.0, 0.25, 0.8])
def test_test_patients_do_not_depend_on_the_validation(val_share):
    names = list(range(30))
    splits = split_patients(names, seed=3, val_share=val_share)
    assert splits['test'] == split_patients(names, seed=3, val_share=0.1)['test']
    assert len(splits['val']) == {0.0: 0, 0.25: 8, 0.8: 24}[val_share]


def test_few_patients_are_tested_on_first():
    assert [len(split_patients('a', 0, 0.1)[name]) for name in ('train', 'val', 'test')] == [
        0,
        0,
        1,
    ]


def test_converts_once_and_again_where_something_changed(tmp_path):
    source, record = tmp_path / 'scan.nii', tmp_path / 'records' / 'scan.json'
    source.write_text('volume')
    calls = []

    def convert():
        calls.append(len(calls))
        return [{'file_name': f'{calls[-1]}.png'}]

    def run(options):
        return convert_once(record, [source], options, convert)[0]['file_name']

    assert [run(SliceOptions()) for _ in range(3)] == ['0.png'] * 3
    assert run(SliceOptions(context_mm=12.0)) == '1.png'
    os.utime(source, ns=(1, 1))
    assert run(SliceOptions(context_mm=12.0)) == '2.png'
    record.unlink()
    assert run(SliceOptions(context_mm=12.0)) == '3.png'


def test_a_failed_conversion_leaves_no_record(tmp_path):
    source, record = tmp_path / 'scan.nii', tmp_path / 'scan.json'
    source.write_text('volume')
    with pytest.raises(ZeroDivisionError):
        convert_once(record, [source], SliceOptions(), lambda: 1 / 0)
    assert not record.exists()


def test_ids_of_coco():
    images = [
        {'file_name': 'a.png', 'annotations': [{'bbox': [0, 0, 1, 1]}, {'bbox': [1, 1, 2, 2]}]},
        {'file_name': 'b.png', 'annotations': [{'bbox': [3, 3, 1, 1]}]},
    ]
    assert as_coco(images, ('lesion',), {'description': 'x'}) == {
        'info': {'description': 'x'},
        'images': [{'id': 1, 'file_name': 'a.png'}, {'id': 2, 'file_name': 'b.png'}],
        'annotations': [
            {'id': 1, 'image_id': 1, 'bbox': [0, 0, 1, 1]},
            {'id': 2, 'image_id': 1, 'bbox': [1, 1, 2, 2]},
            {'id': 3, 'image_id': 2, 'bbox': [3, 3, 1, 1]},
        ],
        'categories': [{'id': 1, 'name': 'lesion'}],
    }
    assert 'annotations' in images[0]
