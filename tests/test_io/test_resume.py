import os

import pytest

from mmlesion.converters.regions import SliceOptions
from mmlesion.io.resume import convert_once


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
