import json

import pytest

from mmlesion.converters.base import Case, SplitRun
from mmlesion.converters.regions import SliceOptions
from mmlesion.converters.slices import SliceConverter


@pytest.fixture
def convert(tmp_path):
    """Convert a scan of two slices; return the annotation file and how often it was sliced."""
    source, out = tmp_path / 'scan.nii', tmp_path / 'out'
    source.write_text('volume')
    sliced = []

    def slice_case(case, folder, options):
        sliced.append(case.name)
        folder.mkdir(parents=True, exist_ok=True)
        names = [f'{case.name}/00{number}.png' for number in (1, 2)]
        for name in names:
            (folder.parent / name).write_text('slice')
        return [{'file_name': name, 'patient_id': 1, 'annotations': []} for name in names]

    def run():
        converter = SliceConverter('Scans', slice_case)
        converter.convert([Case('a', (source,))], SliceOptions(), SplitRun(out, val_share=0))
        return json.loads((out / 'train.json').read_text()), len(sliced)

    return run


def test_a_scan_is_sliced_once(convert):
    first, _ = convert()
    assert [image['file_name'] for image in first['images']] == ['a/001.png', 'a/002.png']
    assert convert() == (first, 1)


@pytest.mark.parametrize('images', [None, {}, 5, ['a/001.png'], [{'file_name': 'a/001.png'}]])
def test_a_record_of_another_shape_is_made_again(convert, tmp_path, images):
    first, _ = convert()
    record = tmp_path / 'out' / 'cases' / 'a.json'
    record.write_text(json.dumps({**json.loads(record.read_text()), 'images': images}))
    assert convert() == (first, 2)
    assert convert() == (first, 2)


def test_a_lost_slice_is_made_again(convert, tmp_path):
    first, _ = convert()
    (tmp_path / 'out' / 'Images_png' / 'a' / '002.png').unlink()
    assert convert() == (first, 2)
