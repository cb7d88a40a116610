import json
import math
from typing import Any

import numpy as np
import pytest

from mmlesion.io import json_files
from mmlesion.io.coco import read_coco_results
from mmlesion.io.json_files import read_json_list, write_json
from mmlesion.utils import UserError


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(json_files, '_BLOCK', 100)
    monkeypatch.setattr(json_files, '_TAIL', 60)
    monkeypatch.setattr(json_files, '_PART', 3)


def read_all(path):
    parts = list(read_json_list(path, Any, 'result'))
    return parts, [record for part in parts for record in part]


@pytest.mark.parametrize('indent', [None, 2])
def test_a_list_is_read_in_parts(tmp_path, small_blocks, indent):
    records = [{'image_id': f'größer {n}', 'bbox': [n, n, 1.5, 2]} for n in range(50)]
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(records, indent=indent, ensure_ascii=False), encoding='utf-8')
    parts, found = read_all(path)
    assert found == records and len(parts) > 10


def test_a_bad_guess_at_where_a_record_ends_does_no_harm(tmp_path, small_blocks):
    """In a string, or between the records of a record."""
    records = [{'name': '}, {' * 9, 'parts': [{'a': 1}, {'b': n}] * 5} for n in range(20)]
    records = [{'n': n} for n in range(40)] + records
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(records), encoding='utf-8')
    parts, found = read_all(path)
    assert found == records and len(parts) > 2


@pytest.mark.parametrize('text', ['[]', ' [ ] ', '[1, 2]', '\ufeff[{"a": 1}]', '[{"a": 1}]\n'])
def test_short_lists(tmp_path, text):
    path = tmp_path / 'a.json'
    path.write_text(text, encoding='utf-8')
    assert read_all(path)[1] == json.loads(text.strip('\ufeff'))


@pytest.mark.parametrize(
    'text, message',
    [
        ('{"a": 1}', 'a.json must be a list of results'),
        ('', 'a.json is not valid JSON'),
        ('[{"a": 1}, {"a": 2}' * 30, 'a.json is not valid JSON'),
        ('[' + '{"a": 1}, ' * 60 + '{"a": 2}', 'a.json is not valid JSON'),
        ('[' + '{"a": 1}, ' * 60 + '{"a": 2}]]', 'a.json is not valid JSON'),
    ],
)
def test_what_is_no_list(tmp_path, small_blocks, text, message):
    path = tmp_path / 'a.json'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(UserError, match=message):
        read_all(path)
    with pytest.raises(UserError, match='No such file'):
        read_all(tmp_path / 'none.json')


def test_a_bad_result_is_named_by_its_number_in_the_file(tmp_path, small_blocks):
    records = [{'image_id': 1, 'bbox': [0, 0, 1, 1], 'score': 0.5} for _ in range(50)]
    records[41]['bbox'] = [1, 2]
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(records))
    with pytest.raises(
        UserError, match=r'result 41 \(the first is 0\), bbox: Expected `array` of length 4'
    ):
        read_coco_results(path, [1])
    del records[41]['bbox']
    path.write_text(json.dumps(records))
    with pytest.raises(
        UserError, match=r'result 41 \(the first is 0\): .* missing required field `bbox`'
    ):
        read_coco_results(path, [1])


def records_of(count, generator):
    """COCO results, every tenth of an image that is not listed."""
    made = []
    for number in range(count):
        box = generator.uniform(-1e3, 1e3, 4).round(int(generator.integers(0, 16))).tolist()
        score = float(generator.random() ** 20)  # most with an exponent
        image_id = int(generator.integers(100)) + 1000 * (number % 10 == 0)
        made.append({'image_id': image_id, 'bbox': box, 'score': score, 'category_id': 1})
    return made


@pytest.mark.parametrize('ids', [range(100), [*range(99), 'text']])
def test_results_are_those_of_json(tmp_path, ids):
    listed = records_of(300, np.random.default_rng(1))
    path = tmp_path / 'results.json'
    path.write_text(json.dumps(listed))
    found = read_coco_results(path, list(ids))
    known = [one for one in listed if one['image_id'] < len(ids) - ('text' in ids)]
    assert found.detections.case.tolist() == [one['image_id'] for one in known]
    assert found.detections.score.tolist() == [one['score'] for one in known]
    boxes = [[x, y, x + w, y + h] for x, y, w, h in (one['bbox'] for one in known)]
    assert found.detections.geometry.tolist() == boxes
    unknown = dict.fromkeys(one['image_id'] for one in listed if one not in known)
    assert found.unknown_cases == list(unknown)


def test_results_of_several_parts(tmp_path, small_blocks):
    records = [{'image_id': n % 7, 'bbox': [n, 0, 1, 2], 'score': n / 50} for n in range(50)]
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(records))
    found = read_coco_results(path, [3, 2, 1, 0])
    assert found.detections.geometry[:, 0].tolist() == [n for n in range(50) if n % 7 < 4]
    assert found.detections.case.tolist() == [3 - n % 7 for n in range(50) if n % 7 < 4]
    assert sorted(found.unknown_cases) == [4, 5, 6]


@pytest.mark.parametrize(
    'value',
    [{}, [], {'a': list(range(10)), 'b': {'c': [1.5] * 7}}, list(range(8)), 'text', {'a': (1, 2)}],
)
def test_what_is_written_in_parts_is_the_same(tmp_path, small_blocks, value):
    path = tmp_path / 'a.json'
    write_json(value, path)
    assert json.loads(path.read_text()) == json.loads(json.dumps(value))


@pytest.mark.parametrize('count', [0, 1, 5, 8])
def test_a_sequence_is_written_as_a_list(tmp_path, small_blocks, count):
    path = tmp_path / 'a.json'
    write_json({'a': range(count), 'b': 1}, path)
    assert json.loads(path.read_text()) == {'a': list(range(count)), 'b': 1}


def test_nan_becomes_null(tmp_path, small_blocks):
    path = tmp_path / 'a.json'
    write_json({'a': [1.0] * 5 + [math.nan], 'b': [{'c': -math.inf}]}, path)
    assert json.loads(path.read_text()) == {'a': [1.0] * 5 + [None], 'b': [{'c': None}]}
