"""A user's data have a field ``organ``: the FROC by organ needs no code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmdet.registry import METRICS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

ROOT = Path(__file__).parents[2]
TOOL = 'tools/analysis_tools/eval_froc.py'
ORGANS = ('liver', 'liver', 'pancreas')


def run_tool(*args):
    command = [sys.executable, TOOL, *map(str, args)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def dump(value, path):
    path.write_text(json.dumps(value))
    return path


@pytest.fixture
def coco(tmp_path):
    """An image for each lesion; the first liver's and the pancreas' lesion are detected."""
    images = [dict(id=n, file_name=f'{n}.png', height=64, width=64) for n in (1, 2, 3)]
    annotations = [
        dict(id=n, image_id=n, bbox=[10, 10, 9, 9], category_id=1, organ=organ, volume_ml=n / 2)
        for n, organ in enumerate(ORGANS, 1)
    ]
    categories = [dict(id=1, name='lesion')]
    content = dict(images=images, annotations=annotations, categories=categories)
    results = [
        dict(image_id=1, bbox=[10, 10, 9, 9], score=0.9, category_id=1),
        dict(image_id=2, bbox=[40, 40, 9, 9], score=0.8, category_id=1),
        dict(image_id=3, bbox=[10, 10, 9, 9], score=0.7, category_id=1),
    ]
    return dump(content, tmp_path / 'ann.json'), dump(results, tmp_path / 'results.json')


def test_images_by_organ(coco, tmp_path):
    ann_file, results = coco
    out = tmp_path / 'out'
    args = ('deeplesion', '--gt', ann_file, '--pred', results, '--out', out)
    done = run_tool(*args, '--groups', 'organ', 'volume_ml:1')
    assert done.returncode == 0, done.stderr
    groups = json.loads((out / 'froc.json').read_text())['groups']
    assert {name: (one['num_lesions'], one['mean']) for name, one in groups.items()} == {
        'organ=liver': (2, 0.5),
        'organ=pancreas': (1, 1.0),
        'volume_ml<1': (1, 1.0),
        'volume_ml>=1': (2, 0.5),
    }
    assert '| organ=liver ' in done.stdout


def test_a_misspelled_field_is_one_line_with_the_fields_there_are(coco, tmp_path):
    ann_file, results = coco
    args = ('deeplesion', '--gt', ann_file, '--pred', results, '--out', tmp_path / 'out')
    done = run_tool(*args, '--groups', 'organs')
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith('error: ') and 'no lesion has the field organs' in line
    assert 'organ, volume_ml' in line and not (tmp_path / 'out').exists()


def evaluate(ann_file, samples, classes=('lesion',), **options):
    metric = METRICS.build(dict(type='FROCMetric', ann_file=str(ann_file), **options))
    metric.dataset_meta = dict(classes=classes)
    for boxes, score, meta in samples:
        pred = InstanceData(
            bboxes=torch.tensor([boxes], dtype=torch.float64),
            scores=torch.tensor([score]),
            labels=torch.zeros(1, dtype=torch.long),
        )
        sample = DetDataSample(metainfo=meta, pred_instances=pred)
        metric.process({}, [sample.to_dict()])
    return metric.evaluate(len(samples))


def test_the_metric_on_images(coco):
    ann_file, _ = coco
    samples = [([10, 10, 19, 19], 0.9, dict(img_id=1)), ([10, 10, 19, 19], 0.7, dict(img_id=3))]
    result = evaluate(ann_file, samples, groups=['organ'])
    assert result['froc/organ=liver_mean'] == 0.5 and result['froc/organ=pancreas_sens@4'] == 1


def test_the_metric_on_volumes(tmp_path):
    meta = dict(
        size=[40] * 3, spacing=[1] * 3, origin=[0] * 3, direction=[1, 0, 0, 0, 1, 0, 0, 0, 1]
    )
    volumes = [dict(id=n, series_uid=str(n), file_name='', **meta) for n in (1, 2, 3)]
    lesions = [
        dict(volume_id=n, center_mm=[20, 20, 20], diameter_mm=9, category_id=1, organ=organ)
        for n, organ in enumerate(ORGANS, 1)
    ]
    categories = [dict(id=1, name='lesion')]
    content = dict(volumes=volumes, annotations=lesions, categories=categories)
    ann_file = dump(content, tmp_path / 'volumes.json')
    samples = [
        ([20, 20, 20, 9], 0.9, dict(meta, series_uid='1')),
        ([20, 20, 20, 9], 0.9, dict(meta, series_uid='3')),
    ]
    result = evaluate(ann_file, samples, groups=['organ', 'diameter'])
    assert result['froc/organ=liver_mean'] == 0.5 and result['froc/organ=pancreas_mean'] == 1
    assert result['froc/<10 mm_mean'] == pytest.approx(2 / 3)


BOXES = {
    '000001_01_01_001-009': [[0, 0, 2, 9, 9, 5], [30, 30, 2, 39, 39, 5]],
    'b': [[5, 5, 1, 9, 9, 3]],
}


@pytest.fixture
def sub_volumes():
    """The same boxes, some with fields."""
    first, second = BOXES
    entries = [dict(box=box, organ='liver') for box in BOXES[first]]
    return {first: entries, second: BOXES[second]}


def test_sub_volumes_of_the_metric(sub_volumes, tmp_path):
    content = dict(
        images=[dict(id=1, sub_volume='b', slice_index=1)],
        categories=[dict(id=1, name='lesion')],
        annotations=[],
    )
    first = next(iter(BOXES))
    samples = [
        (BOXES[first][0], 0.9, dict(sub_volume=first)),
        (BOXES['b'][0], 0.8, dict(sub_volume='b')),
    ]
    plain = dump(dict(content, sub_volumes=BOXES), tmp_path / 'plain.json')
    fields = dump(dict(content, sub_volumes=sub_volumes), tmp_path / 'fields.json')
    result = evaluate(fields, samples, groups=['organ'])
    assert result.pop('froc/organ=liver_mean') == 0.5
    alike = {key: value for key, value in result.items() if 'organ' not in key}
    assert alike == evaluate(plain, samples)


def test_sub_volumes_of_the_tool(sub_volumes, tmp_path, load_tool):
    tool = load_tool('analysis_tools/eval_froc.py')
    truth = dump(sub_volumes, tmp_path / 'gt.json')
    first = next(iter(BOXES))
    detections = dump({first: [[*BOXES[first][1], 0.9]]}, tmp_path / 'pred.json')
    args = ['lens', '--gt', truth, '--pred', detections, '--out', tmp_path / 'out']
    tool.main([*map(str, args), '--groups', 'organ'])
    result = json.loads((tmp_path / 'out' / 'froc.json').read_text())
    assert result['groups']['organ=liver']['mean'] == 0.5 and result['num_lesions'] == 3
    assert result['groups']['organ=liver']['num_lesions'] == 2
    sub_volumes[first][1] = dict(organ='liver')
    dump(sub_volumes, truth)
    with pytest.raises(SystemExit, match=f'{first}, box 1 .* has no "box"'):
        tool.main(list(map(str, args)))


def test_ignored_lesions_of_sub_volumes(sub_volumes, tmp_path, load_tool):
    first = next(iter(BOXES))
    sub_volumes[first][1]['ignore'] = True
    truth = dump(sub_volumes, tmp_path / 'gt.json')
    detections = dump({first: [[*BOXES[first][1], 0.9]]}, tmp_path / 'pred.json')
    args = ['lens', '--gt', truth, '--pred', detections, '--out', tmp_path / 'out']
    load_tool('analysis_tools/eval_froc.py').main(list(map(str, args)))
    result = json.loads((tmp_path / 'out' / 'froc.json').read_text())
    assert result['num_lesions'] == 2 and result['curve']['fp'][-1] == 0
