import os

import numpy as np
import pytest

from mmlesion.converters.regions import SliceOptions
from mmlesion.io.resume import ARRAYS, Record, Store, convert_once
from mmlesion.utils import OutputError, UserError


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


DAMAGED = [b'', b'{"made_of": ', b'[]', b'{}', b'null', b'{"images": []}', b'\xff\xfe']


@pytest.mark.parametrize('content', DAMAGED)
def test_a_damaged_record_is_made_again(tmp_path, content):
    source, path = tmp_path / 'scan.nii', tmp_path / 'scan.json'
    source.write_text('volume')
    convert_once(path, [source], SliceOptions(), lambda: 'first')
    whole = path.read_bytes()
    assert convert_once(path, [source], SliceOptions(), lambda: 'second') == 'first'
    path.write_bytes(content)
    assert convert_once(path, [source], SliceOptions(), lambda: 'first') == 'first'
    assert path.read_bytes() == whole


def test_a_record_of_other_work_is_made_again_or_refused(tmp_path):
    record = Record(tmp_path / 'record.json', {'window': (1, 2)})
    assert record.resume_from('refused') is None
    record.save(score=0.5)
    again = Record(record.path, {'window': [1, 2]})
    assert again.resume_from('refused')['score'] == 0.5
    other = Record(record.path, {'window': (1, 3)})
    assert other.resume_from() is None
    with pytest.raises(UserError, match='^refused$'):
        other.resume_from('refused')


class Arrays(Store):
    form = ARRAYS


PARTS = [(Store, [1, {'a': 2.5}]), (Arrays, {'a': np.arange(3), 'b': np.zeros((0, 2))})]


@pytest.mark.parametrize('kind, part', PARTS)
def test_a_store_gives_what_was_finished(tmp_path, kind, part):
    store = kind(tmp_path / 'parts', 'work')
    assert store.is_empty() and not store.is_finished('one/two')
    store.save('one/two', part)
    again = kind(tmp_path / 'parts', 'work')
    assert again.is_finished('one/two') and not again.is_empty()
    for found in (again.load('one/two'), *again.parts(), kind.open(store.folder).load('one/two')):
        np.testing.assert_equal(found, part)
    again.remove()
    assert not store.folder.exists()


@pytest.mark.parametrize('kind, part', PARTS)
@pytest.mark.parametrize('damage', ['empty', 'cut off', 'other'])
def test_a_damaged_part_is_not_finished(tmp_path, kind, part, damage):
    store = kind(tmp_path, 'work')
    store.save('part', part)
    whole = store.path('part').read_bytes()
    damaged = {'empty': b'', 'cut off': whole[: len(whole) // 2], 'other': b'no such file'}
    store.path('part').write_bytes(damaged[damage])
    assert not store.is_finished('part') and list(store.parts()) == []
    with pytest.raises(UserError, match='part.*; delete|part.*: delete it, and run'):
        store.load('part')


def test_an_archive_whose_middle_is_damaged_is_told_of(tmp_path):
    store = Arrays(tmp_path, 'work')
    store.save('part', {'a': np.random.default_rng(0).random(1000)})
    content = bytearray(store.path('part').read_bytes())
    content[500:600] = bytes(100)
    store.path('part').write_bytes(content)
    with pytest.raises(UserError, match='is not a file of arrays .*: delete it, and run the same'):
        store.load('part')


def test_what_was_being_written_when_a_process_was_killed_is_no_part(tmp_path):
    store = Store(tmp_path, 'work')
    (tmp_path / '.abc.json').write_text('[1]')
    assert store.is_empty() and list(store.parts()) == []


def test_a_store_of_other_work_is_refused(tmp_path):
    Store(tmp_path, 'work').save('part', 1)
    with pytest.raises(UserError, match='holds results of other work: delete it'):
        Store(tmp_path, 'other work')
    assert Store(tmp_path, 'work').load('part') == 1


@pytest.mark.parametrize('content', [None, *DAMAGED])
def test_parts_without_a_whole_record_are_refused(tmp_path, content):
    store = Store(tmp_path, 'work')
    record = store.record.path
    if content is not None:
        record.write_bytes(content)
        assert Store(tmp_path, 'work').record.content(), 'without parts nothing can be mixed up'
    store.save('part', 1)
    record.unlink() if content is None else record.write_bytes(content)
    with pytest.raises(UserError, match='run.json is missing or damaged, .* delete .* start again'):
        Store(tmp_path, 'work')
    with pytest.raises(UserError, match='holds no results: there is no whole run.json in it'):
        Store.open(tmp_path)


def test_a_store_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match='cannot be written'):
        Store(tmp_path / 'file', 'work')
