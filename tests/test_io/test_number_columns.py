import json

import numpy as np
import pytest

from mmlesion.io.coco import read_coco_results
from mmlesion.io.number_columns import parse_number_columns, round_columns
from mmlesion.utils import UserError


def records(count, generator):
    """Return COCO results, every tenth of an image that is not listed."""
    made = []
    for number in range(count):
        box = generator.uniform(-1e3, 1e3, 4).round(int(generator.integers(0, 16))).tolist()
        score = float(generator.random() ** 20)  # most with an exponent
        image_id = int(generator.integers(100)) + 1000 * (number % 10 == 0)
        made.append({'image_id': image_id, 'bbox': box, 'score': score, 'category_id': 1})
    return made


@pytest.mark.parametrize('exponents', [True, False])
@pytest.mark.parametrize('options', [{}, {'indent': 1}, {'separators': (',', ':')}])
def test_numbers_are_those_of_json(options, exponents):
    listed = records(50, np.random.default_rng(0))
    for record in listed:
        record['score'] = record['score'] if exponents else round(record['score'], 3)
    if not exponents:
        listed = [{**one, 'bbox': [round(x, 3) for x in one['bbox']]} for one in listed]
        listed = [one for one in listed if 'e' not in json.dumps([*one.values()])]
    columns = parse_number_columns(json.dumps(listed, **options).encode())
    assert columns is not None
    for key, column in columns.items():
        assert column.tolist() == [one[key] for one in listed]


ONE = b'{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}'
OTHERS = {
    'another key': b'{"image_ID": 1, "bbox": [1, 2, 3, 4], "score": 0.5}',
    'another order': b'{"bbox": [1, 2, 3, 4], "image_id": 1, "score": 0.5}',
    'space in a key': b'{"image _id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}',
    'a number in a key': b'{"image1_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}',
    'three': b'{"image_id": 1, "bbox": [1, 2, 3], "score": 0.5}',
    'three, and four': b'{"image_id": 1, "bbox": [1, 2, 3], "score": 0.5, "x": 5}',
    'an empty place': b'{"image_id": 1, "bbox": [1, , 3, 4], "score": 0.5}',
    'nothing': b'{"image_id": 1, "bbox": [1, 2, 3, 4], "score": }',
    'a sign alone': b'{"image_id": 1, "bbox": [1, -, 3, 4], "score": 0.5}',
    'a point alone': b'{"image_id": 1, "bbox": [1, ., 3, 4], "score": 0.5}',
    'space in a number': b'{"image_id": 1, "bbox": [1, - 2, 3, 4], "score": 0.5}',
    'two in one place': b'{"image_id": 1, "bbox": [1 1, 2, 3, 4], "score": 0.5}',
    'two signs': b'{"image_id": 1, "bbox": [--1, 2, 3, 4], "score": 0.5}',
    'a difference': b'{"image_id": 1, "bbox": [1-1, 2, 3, 4], "score": 0.5}',
    'two points': b'{"image_id": 1, "bbox": [1.1.1, 2, 3, 4], "score": 0.5}',
    'an exponent alone': b'{"image_id": 1, "bbox": [1, 2, 3, 4], "score": e}',
    'half an exponent': b'{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1e}',
    'NaN': b'{"image_id": 1, "bbox": [1, 2, 3, 4], "score": NaN}',
    'too large': b'{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1e999}',
    'no longer exact': b'{"image_id": 9007199254740993, "bbox": [1, 2, 3, 4], "score": 0.5}',
    'text': b'{"image_id": "1", "bbox": [1, 2, 3, 4], "score": 0.5}',
    'null': b'{"image_id": 1, "bbox": null, "score": 0.5}',
    'true': b'{"image_id": true, "bbox": [1, 2, 3, 4], "score": 0.5}',
    'nested': b'{"image_id": 1, "bbox": [1, 2, 3, 4], "score": {"a": 0.5}}',
    'a list': b'[1, 2]',
    'a mark': b'{"image_id": 1, "bbox": [1, 2, 3, 4], "scor\x01": 0.5}',
}


@pytest.mark.parametrize('place', [0, 1])
@pytest.mark.parametrize('other', OTHERS)
def test_other_forms_are_left_to_json(other, place):
    pair = [ONE, OTHERS[other]]
    columns = parse_number_columns(b'[' + b', '.join([pair[place], pair[1 - place], ONE]) + b']')
    assert columns is None


@pytest.mark.parametrize(
    'text', [b'', b'[]', b'{}', b'[{}]', b'[{"a": 1}', b'{"a": 1}]', b'[{"a": 1}{"a": 2}]', b'1']
)
def test_what_is_no_list_of_records_is_left_to_json(text):
    assert parse_number_columns(text) is None


@pytest.mark.parametrize('ids', [range(100), [*range(99), 'text']])
def test_results_are_the_same_whichever_parser_reads_them(tmp_path, ids):
    listed = records(300, np.random.default_rng(1))
    path = tmp_path / 'results.json'
    path.write_text(json.dumps(listed))
    found = read_coco_results(path, list(ids))
    known = [one for one in listed if one['image_id'] < len(ids) - ('text' in ids)]
    assert found.detections.case.tolist() == [one['image_id'] for one in known]
    assert found.detections.score.tolist() == [one['score'] for one in known]
    boxes = [[x, y, x + w, y + h] for x, y, w, h in (one['bbox'] for one in known)]
    assert found.detections.geometry.tolist() == boxes
    unknown = dict.fromkeys(one['image_id'] for one in listed if one not in known)
    assert list(map(str, found.unknown_cases)) == list(map(str, unknown))


def test_a_bad_record_is_still_named(tmp_path):
    listed = records(3, np.random.default_rng(0))
    listed[2]['bbox'] = [1, 2, 3]
    (tmp_path / 'results.json').write_text(json.dumps(listed))
    with pytest.raises(UserError, match='result, "bbox" 2'):
        read_coco_results(tmp_path / 'results.json', [1])


def test_numbers_are_rounded_as_python_rounds():
    generator = np.random.default_rng(0)
    # decimals, products of decimals, halves of the last decimal, and very large numbers
    decimals = generator.uniform(-500, 500, 3000).round(3)
    halves = generator.integers(-(10**9), 10**9, 3000) / 10**6 + 5e-7
    values = np.concatenate([decimals, decimals[::-1] * decimals, halves, [1e9 + 1 / 3, 1e300, 0]])
    expected = [round(value, 6) for value in values.tolist()]
    assert round_columns(values).tolist() == expected
    assert np.round(values, 6).tolist() != expected  # which is why
    table = values[:9000].reshape(-1, 3)
    assert round_columns(table).tolist() == np.reshape(expected[:9000], (-1, 3)).tolist()
