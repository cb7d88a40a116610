import csv
import importlib.util
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / 'shared' / 'data'
spec = importlib.util.spec_from_file_location(
    'eval_froc', ROOT / 'tools' / 'analysis_tools' / 'eval_froc.py'
)
eval_froc = importlib.util.module_from_spec(spec)
spec.loader.exec_module(eval_froc)

needs_shared = pytest.mark.skipif(not SHARED.exists(), reason=f'no real data in {SHARED}')


def dump(value, path):
    path.write_text(json.dumps(value))
    return str(path)


def write_csv(rows, path):
    with open(path, 'w', newline='') as file:
        csv.writer(file).writerows(rows)
    return str(path)


def run(tmp_path, *args):
    eval_froc.main([*map(str, args), '--out', str(tmp_path / 'out')])
    assert (tmp_path / 'out' / 'froc.png').read_bytes()[:4] == b'\x89PNG'
    return json.loads((tmp_path / 'out' / 'froc.json').read_text())


def refused(tmp_path, *args):
    """The message of a run that must end with an error and leave nothing behind."""
    with pytest.raises(SystemExit) as end:
        eval_froc.main([*map(str, args), '--out', str(tmp_path / 'out')])
    assert not (tmp_path / 'out').exists()
    assert str(end.value.code).startswith('error: ')
    return str(end.value.code)


@pytest.fixture
def coco(tmp_path):
    """Three images, one without a lesion; two lesions and an ignored one."""
    boxes = [(7, [0, 0, 9, 9], 0), (9, [50, 50, 19, 19], 0), (9, [0, 0, 9, 9], 1)]
    truth = {
        'images': [{'id': number} for number in (7, 8, 9)],
        'annotations': [
            {
                'id': number,
                'image_id': image,
                'bbox': box,
                'iscrowd': crowd,
                'category_id': 1,
                'lesion_type': 4 + number,
                'diameters_mm': [5.0 + 10 * number, 4.0],
            }
            for number, (image, box, crowd) in enumerate(boxes)
        ],
        'categories': [{'id': 1, 'name': 'lesion'}],
    }
    return dump(truth, tmp_path / 'gt.json')


RESULTS = [
    {'image_id': 9, 'bbox': [50, 50, 19, 19], 'score': 0.9, 'category_id': 1},
    {'image_id': 7, 'bbox': [30, 30, 9, 9], 'score': 0.8, 'category_id': 1},
    {'image_id': 9, 'bbox': [0, 0, 9, 9], 'score': 0.7, 'category_id': 1},
    {'image_id': 7, 'bbox': [0, 0, 9, 4], 'score': 0.6, 'category_id': 1},
]


def test_deeplesion(tmp_path, coco, capsys):
    pred = dump(RESULTS, tmp_path / 'pred.json')
    args = ('deeplesion', '--gt', coco, '--pred', pred)
    result = run(tmp_path, *args, '--groups', 'lesion_type', 'diameter', '--bootstrap', 20)
    # Inclusive, the last box covers 10 x 5 of 10 x 10 px: just enough.
    assert result['sensitivity'] == [1] * 7 and result['mean'] == 1
    assert result['score_thresholds'] == [0.6] * 7
    assert result['fp_levels'] == [0.5, 1, 2, 3, 4, 8, 16]
    assert (result['num_lesions'], result['num_items'], result['num_detections']) == (2, 3, 4)
    assert (result['items_with_lesions'], result['items_without_lesions']) == (2, 1)
    assert (result['items_without_predictions'], result['unknown_items']) == (1, 0)
    assert result['curve']['fp'] == pytest.approx([0, 0, 1 / 3, 1 / 3])
    assert result['curve']['sensitivity'] == [0, 0.5, 0.5, 1]
    assert result['seconds'] > 0
    assert set(result['groups']) == {'liver', 'lung', 'kidney', '<10 mm', '10-30 mm', '>30 mm'}
    assert result['groups']['kidney']['num_lesions'] == 0
    assert result['groups']['kidney']['mean'] is None
    assert result['confidence_interval']['num_samples'] <= 20
    captured = capsys.readouterr()
    assert '1 of 3 items have no predictions' in captured.err
    assert 'score threshold' in captured.out


def test_deeplesion_threshold_and_overlap(tmp_path, coco):
    pred = dump(RESULTS, tmp_path / 'pred.json')
    args = ('deeplesion', '--gt', coco, '--pred', pred, '--threshold', 0.51)
    strict = run(tmp_path, *args)
    assert strict['sensitivity'] == [0.5] * 7 and strict['curve']['fp'][-1] == 2 / 3
    assert run(tmp_path, *args, '--overlap', 'iobb')['sensitivity'] == [1] * 7


def test_unknown_images_are_left_out_aloud(tmp_path, coco, capsys):
    stray = [{'image_id': '7', 'bbox': [0, 0, 9, 9], 'score': 1.0}] * 3
    stray.append({**stray[0], 'image_id': RESULTS[0]['image_id'], 'bbox': [0, 0, 1, 1]})
    result = run(tmp_path, 'deeplesion', '--gt', coco, '--pred', dump(stray, tmp_path / 'p.json'))
    assert result['num_detections'] == 1 and result['mean'] == 0
    assert result['unknown_items'] == 1 and result['detections_in_unknown_items'] == 3
    error = capsys.readouterr().err
    assert '2 of 3 items have no predictions' in error
    assert '1 items with predictions are not in the ground truth (7: text here' in error


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda r: r[2].update(score=float('nan')), '"score" 2 (the first is 0) is nan'),
        (lambda r: r[1].update(score=None), 'result 1 (the first is 0), score: Expected `float`'),
        (lambda r: r[1].update(score=[0.5]), '1 (the first is 0), score: '),
        (lambda r: r[3].pop('bbox'), '3 (the first is 0): Object missing required field `bbox`'),
        (lambda r: r[3].update(bbox=[1, 2, 3]), '3 (the first is 0), bbox: Expected `array` of'),
        (lambda r: r.append(5), 'result 4 (the first is 0): Expected `object`, got `int`'),
        (lambda r: r[0].update(image_id=[1]), 'image_id'),
    ],
)
def test_bad_results(tmp_path, coco, change, message):
    results = json.loads(json.dumps(RESULTS))
    change(results)
    pred = dump(results, tmp_path / 'pred.json')
    error = refused(tmp_path, 'deeplesion', '--gt', coco, '--pred', pred)
    assert message in error and 'pred.json' in error


def test_bad_files(tmp_path, coco):
    args = ('deeplesion', '--gt', coco, '--pred')
    assert 'No such file' in refused(tmp_path, *args, tmp_path / 'none.json')
    assert 'must be a list' in refused(tmp_path, *args, dump({}, tmp_path / 'pred.json'))
    (tmp_path / 'pred.json').write_text('[{"image_id": 1,')
    assert 'not valid JSON' in refused(tmp_path, *args, tmp_path / 'pred.json')
    (tmp_path / 'pred.json').write_bytes(b'\xff\xfe\x00')
    assert 'not valid JSON' in refused(tmp_path, *args, tmp_path / 'pred.json')
    pred = dump(RESULTS, tmp_path / 'pred.json')
    empty = dump({'images': [], 'annotations': []}, tmp_path / 'empty.json')
    assert 'no lesions' in refused(tmp_path, 'deeplesion', '--gt', empty, '--pred', pred)
    assert '"images"' in refused(tmp_path, 'deeplesion', '--gt', pred, '--pred', pred)
    stray = {'images': [{'id': 1}], 'annotations': [{'image_id': 2, 'bbox': [0, 0, 1, 1]}]}
    stray = dump(stray, tmp_path / 'stray.json')
    assert 'not listed: 2' in refused(tmp_path, 'deeplesion', '--gt', stray, '--pred', pred)
    assert '--bootstrap' in refused(tmp_path, *args, pred, '--bootstrap', -1)


def test_text_is_no_number(tmp_path, coco):
    texts = [dict(row, image_id=str(row['image_id'])) for row in RESULTS]
    pred = dump(texts, tmp_path / 'text.json')
    message = refused(tmp_path, 'deeplesion', '--gt', coco, '--pred', pred)
    assert '(9, 7: text here, numbers there)' in message


@pytest.mark.parametrize(
    'box, message',
    [
        ([0, 0, 9, 9], '1 lesions are listed twice, and count twice'),
        ([0, 0, 0, 9], '1 of 4 boxes of .* are less than 1 px wide or high: they count'),
        ([-20, 0, 9, 9], '1 of 4 boxes of .* are outside of their image: they count'),
    ],
)
def test_annotations_that_cannot_be_meant(tmp_path, coco, capsys, box, message):
    content = json.loads(Path(coco).read_text())
    content['annotations'].append(dict(content['annotations'][0], id=99, bbox=box))
    pred = dump(RESULTS, tmp_path / 'pred.json')
    spoilt = dump(content, tmp_path / 'spoilt.json')
    result = run(tmp_path, 'deeplesion', '--gt', spoilt, '--pred', pred)
    assert result['num_lesions'] == 3
    assert re.search(message, capsys.readouterr().err)


def test_out_that_is_a_file(tmp_path, coco):
    pred = dump(RESULTS, tmp_path / 'pred.json')
    with pytest.raises(SystemExit, match='name another folder as --out'):
        eval_froc.main(['deeplesion', '--gt', coco, '--pred', pred, '--out', pred])


LENS = {'a': [[0, 0, 0, 9, 9, 4], [50, 50, 2, 59, 59, 6]], 'b': [], 'c': [[5, 5, 1, 14, 14, 2]]}


def test_lens_json_and_pickle(tmp_path, capsys):
    pred = {
        'a': [[0, 0, 0, 9, 9, 9, 0.9], [0, 0, 0, 9, 9, 15, 0.8], [50, 50, 0, 59, 59, 15, 0.7]],
        'b': [],
        'c': [[5, 5, 1, 14, 14, 2, 0.6]],
    }
    pred = dump(pred, tmp_path / 'pred.json')
    # Share of the detected box: 5 / 10, 5 / 16, 5 / 16 and 1.
    args = ('lens', '--gt', dump(LENS, tmp_path / 'gt.json'), '--pred', pred)
    result = run(tmp_path, *args)
    assert result['sensitivity'] == [1] * 7
    assert result['fp_levels'] == [0.125, 0.25, 0.5, 1, 2, 4, 8]
    assert (result['num_items'], result['items_without_lesions']) == (3, 1)
    strict = run(tmp_path, *args, '--threshold', 0.4)
    # (0, 1) (1/3, 1) (2/3, 1) (2/3, 2) of 3 lesions.
    assert strict['sensitivity'] == pytest.approx([1 / 3] * 3 + [2 / 3] * 4)
    arrays = {'val': {}, 'test': {k: np.array(v, float).reshape(-1, 6) for k, v in LENS.items()}}
    (tmp_path / 'gt.pkl').write_bytes(pickle.dumps(arrays))
    args = ('lens', '--gt', tmp_path / 'gt.pkl', '--pred', pred)
    assert run(tmp_path, *args, '--split', 'test')['curve'] == result['curve']
    with pytest.raises(SystemExit, match='val, test: choose with --split'):
        eval_froc.main([*map(str, args), '--out', str(tmp_path)])


def test_bad_lens_files(tmp_path):
    gt = dump(LENS, tmp_path / 'gt.json')
    bad = dump({'a': [[0, 0, 0, 9, 9, 9, 0.9], [0, 0, 0, 9, 9, 0.8]]}, tmp_path / 'pred.json')
    assert 'a, box 1 (the first is 0)' in refused(tmp_path, 'lens', '--gt', gt, '--pred', bad)
    nan = dump({'a': [[0, 0, 0, 9, 9, 9, float('nan')]]}, tmp_path / 'pred.json')
    assert 'a, box 0' in refused(tmp_path, 'lens', '--gt', gt, '--pred', nan)
    for wrong in (5, {'a': 5}, {'a': {}}, {'a': None}, []):
        pred = dump(wrong, tmp_path / 'pred.json')
        assert 'pred.json' in refused(tmp_path, 'lens', '--gt', gt, '--pred', pred)
    pred = dump({}, tmp_path / 'pred.json')
    args = ('--gt', gt, '--pred', pred, '--split', 'val')
    assert 'leave --split away' in refused(tmp_path, 'lens', *args)
    (tmp_path / 'evil.pkl').write_bytes(b'cos\nsystem\n(S"touch owned"\ntR.')
    evil = ('--gt', tmp_path / 'evil.pkl', '--pred', pred)
    assert 'system' in refused(tmp_path, 'lens', *evil)


@pytest.fixture
def luna16(tmp_path):
    head = ['seriesuid', 'coordX', 'coordY', 'coordZ', 'diameter_mm']
    annotations = [head, ['s1', 0, 0, 0, 10], ['s2', 50, 0, 0, 8], ['other', 0, 0, 0, 9]]
    excluded = [head, ['s2', -50, 0, 0, -1]]
    return (
        'luna16',
        *('--gt', write_csv(annotations, tmp_path / 'annotations.csv')),
        *('--excluded', write_csv(excluded, tmp_path / 'excluded.csv')),
        *('--series', write_csv([['s1'], ['s2'], ['s3'], ['s4']], tmp_path / 'series.csv')),
    )


SUBMISSION = [
    ['probability', 'seriesuid', 'coordX', 'coordY', 'coordZ'],
    [0.9, 's1', 5, 0, 0],  # right on the sphere: outside
    [0.8, 's1', 4.9, 0, 0],
    [0.7, 's2', -50, 4.9, 0],  # inside the excluded finding's 10 mm
    [0.6, 's2', -50, 5.1, 0],
    [0.5, 's2', 50, 0, 3],
    [0.4, 's9', 0, 0, 0],
]


def test_luna16(tmp_path, luna16, capsys):
    pred = write_csv(SUBMISSION, tmp_path / 'submission.csv')
    result = run(tmp_path, *luna16, '--pred', pred, '--groups', 'diameter')
    # (0, 0) (1/4, 0) (1/4, 1) (1/2, 1) (1/2, 2) of 2 nodules in 4 scans.
    assert result['sensitivity'] == [0, 0.5, 1, 1, 1, 1, 1]
    assert result['score_thresholds'] == [None, 0.7, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert (result['num_lesions'], result['num_items'], result['num_detections']) == (2, 4, 5)
    assert result['groups']['10-30 mm']['num_lesions'] == 1
    error = capsys.readouterr().err
    assert '2 of 4 items have no predictions' in error and '(s9)' in error


def test_blanks_behind_a_series(tmp_path, luna16):
    plain = write_csv(SUBMISSION, tmp_path / 'plain.csv')
    padded = [[f'{cell} ' if str(cell)[0] == 's' else cell for cell in row] for row in SUBMISSION]
    blanks = write_csv(padded, tmp_path / 'blanks.csv')
    first, second = (run(tmp_path, *luna16, '--pred', pred) for pred in (plain, blanks))
    assert first['curve'] == second['curve'] and second['unknown_items'] == 1


def test_true_negative_patients_at_another_sensitivity(tmp_path, luna16, capsys):
    marks = [SUBMISSION[0], [0.5, 's1', 0, 0, 0], [0.4, 's3', 0, 0, 0], [0.3, 's2', 50, 0, 0]]
    args = *luna16, '--pred', write_csv(marks, tmp_path / 'submission.csv')
    assert 'at most 1' in refused(tmp_path, *args, '--tnp-sensitivity', 95)
    assert run(tmp_path, *args)['TNP'] == 0.5, 'both nodules at 0.3, below the mark in s3'
    half = run(tmp_path, *args, '--tnp-sensitivity', 0.5)
    assert (half['TNP'], half['TNP_threshold'], half['TNP_sensitivity']) == (1, 0.5, 0.5)
    assert 'score at sensitivity 0.5: 1.0000' in capsys.readouterr().out


def test_folds_are_pooled(tmp_path, luna16, capsys):
    """Each file has its header; their order of columns may differ."""
    whole = run(tmp_path, *luna16, '--pred', write_csv(SUBMISSION, tmp_path / 'submission.csv'))
    first = write_csv([SUBMISSION[0], *SUBMISSION[1:3]], tmp_path / 'fold0.csv')
    turned = [row[1:] + row[:1] for row in SUBMISSION[:1] + SUBMISSION[3:]]
    files = [first, write_csv(turned, tmp_path / 'fold1.csv')]
    empty = write_csv(SUBMISSION[:1], tmp_path / 'fold2.csv')
    pooled = run(tmp_path, *luna16, '--pred', *files, empty)
    assert whole.pop('seconds') and pooled.pop('seconds')
    assert pooled == whole
    captured = capsys.readouterr()
    assert '4 items: 5 detections' in captured.out
    assert '(s9)' in captured.err


def test_a_scan_of_two_folds_is_named(tmp_path, luna16):
    first = write_csv(SUBMISSION[:3], tmp_path / 'fold0.csv')
    second = write_csv([SUBMISSION[0], *SUBMISSION[2:]], tmp_path / 'fold1.csv')
    error = refused(tmp_path, *luna16, '--pred', first, second)
    assert f's1 has marks in {first} and in {second}' in error
    bad = write_csv(SUBMISSION[1:], tmp_path / 'fold2.csv')
    assert f'{bad} has no column' in refused(tmp_path, *luna16, '--pred', first, bad)


def test_scans_that_are_missing_are_said(tmp_path, luna16, capsys):
    run(tmp_path, *luna16, '--pred', write_csv(SUBMISSION, tmp_path / 'submission.csv'))
    error = capsys.readouterr().err
    assert '1 of the 3 nodules of' in error and 'scans (other) are not in the list' in error
    assert '4 scans are evaluated, LUNA16 has 888' in error


@pytest.mark.parametrize(
    ('rows', 'message'),
    [
        (SUBMISSION[1:], 'no column seriesuid, coordX, coordY, coordZ, probability'),
        ([], 'no column'),
        ([*SUBMISSION[:3], [0.9, 's1', 1, 2]], 'row 4 has 4 columns, its header 5'),
        ([*SUBMISSION[:3], ['nan', 's1', 1, 2, 3]], 'row 4 (the first is 2)'),
        ([*SUBMISSION[:3], ['', 's1', 1, 2, 3]], 'row 4 (the first is 2)'),
    ],
)
def test_bad_submission(tmp_path, luna16, rows, message):
    pred = write_csv(rows, tmp_path / 'submission.csv')
    error = refused(tmp_path, *luna16, '--pred', pred)
    assert message in error and 'submission.csv' in error


def test_more_bad_luna16_files(tmp_path, luna16):
    (tmp_path / 'picture.csv').write_bytes(b'\x89PNG\x00\xff')
    assert 'not a readable CSV' in refused(tmp_path, *luna16, '--pred', tmp_path / 'picture.csv')
    pred = write_csv(SUBMISSION, tmp_path / 'submission.csv')
    write_csv([['s1'], ['s1']], tmp_path / 'series.csv')
    assert 'listed twice' in refused(tmp_path, *luna16, '--pred', pred)


@needs_shared
def test_perfect_lens_predictions_and_both_forms_agree(tmp_path):
    folder = SHARED / 'deeplesion'
    boxes = json.loads((folder / 'manual_val_3d.json').read_text())
    perfect = {name: [[*box, 0.5] for box in rows] for name, rows in boxes.items()}
    pred = dump(perfect, tmp_path / 'pred.json')
    result = run(tmp_path, 'lens', '--gt', folder / 'manual_val_3d.json', '--pred', pred)
    assert result['sensitivity'] == [1] * 7
    assert (result['num_items'], result['num_lesions']) == (200, 1292)
    generator = np.random.default_rng(0)
    noisy = {
        name: np.column_stack(
            [
                np.array(rows * 3) + np.round(generator.normal(0, 8, (3 * len(rows), 6))),
                generator.random(3 * len(rows)),
            ]
        ).tolist()
        for name, rows in boxes.items()
    }
    pickled = folder / 'manual_val_3d_first20.pkl'
    with_pickle = run(tmp_path, 'lens', '--gt', pickled, '--pred', dump(noisy, tmp_path / 'n.json'))
    assert with_pickle['num_items'] == 20 and 0 < with_pickle['mean'] < 1
    assert with_pickle['unknown_items'] == 180
    first = dump(dict(list(boxes.items())[:20]), tmp_path / 'first.json')
    with_json = run(tmp_path, 'lens', '--gt', first, '--pred', tmp_path / 'n.json')
    for key in ('sensitivity', 'score_thresholds', 'curve', 'num_lesions'):
        assert with_json[key] == with_pickle[key]


@needs_shared
def test_perfect_deeplesion_predictions(tmp_path):
    truth = SHARED / 'deeplesion' / 'deeplesion_val_coco.json'
    results = [
        {'image_id': ann['image_id'], 'bbox': ann['bbox'], 'score': 1 / (1 + ann['id'])}
        for ann in json.loads(truth.read_text())['annotations']
    ]
    pred = dump(results, tmp_path / 'pred.json')
    result = run(tmp_path, 'deeplesion', '--gt', truth, '--pred', pred)
    assert result['sensitivity'] == [1] * 7 and result['items_without_predictions'] == 0
    assert (result['num_items'], result['num_lesions']) == (4793, 4889)


@needs_shared
def test_perfect_luna16_predictions(tmp_path, capsys):
    folder = SHARED / 'luna16'
    rows = list(csv.reader(open(folder / 'annotations.csv')))
    rows = [[*row[:4], 'probability' if number == 0 else 0.5] for number, row in enumerate(rows)]
    result = run(
        tmp_path,
        *('luna16', '--gt', folder / 'annotations.csv'),
        *('--excluded', folder / 'annotations_excluded.csv'),
        *('--series', folder / 'seriesuids.csv'),
        *('--pred', write_csv(rows, tmp_path / 'submission.csv')),
    )
    assert result['sensitivity'] == [1] * 7
    assert (result['num_items'], result['num_lesions']) == (888, 1186)
    captured = capsys.readouterr()
    assert '888 items' in captured.out and 'LUNA16 has' not in captured.err
