import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from pycocotools import mask as mask_utils

from mmlesion.evaluation import FROCMetric
from mmlesion.evaluation.metrics import froc_metric
from mmlesion.froc import froc, match
from mmlesion.io.cases import read_cases
from mmlesion.utils import UserError

CLASSES = ('liver', 'lung')


def annotation(number, image, box, category, **more):
    return {'id': number, 'image_id': image, 'bbox': box, 'category_id': category, **more}


@pytest.fixture
def ann_file(tmp_path):
    """Three images, one without lesions; two livers' lesions and one lung's."""
    truth = {
        'images': [
            {'id': i, 'file_name': f'{i}.png', 'height': 64, 'width': 64} for i in (3, 5, 4)
        ],
        'categories': [{'id': 10, 'name': 'lung'}, {'id': 20, 'name': 'liver'}],
        'annotations': [
            annotation(1, 3, [0, 0, 9, 9], 20, diameters_mm=[6, 5], lesion_type=4),
            annotation(2, 3, [30, 30, 9, 9], 10, diameters_mm=[40, 5], lesion_type=5),
            annotation(3, 4, [30, 30, 9, 9], 20, diameters_mm=[20, 5], lesion_type=4),
        ],
    }
    path = tmp_path / 'ann.json'
    path.write_text(json.dumps(truth))
    return str(path)


def sample(img_id, rows=(), **meta):
    """A detector's output; rows are x1, y1, x2, y2, score, label."""
    rows = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    pred = InstanceData(bboxes=rows[:, :4], scores=rows[:, 4], labels=rows[:, 5].long())
    out = DetDataSample(metainfo={'img_id': img_id, **meta}, pred_instances=pred)
    return out.to_dict()


# Labels go by the order of categories in the file, as mmdet's CocoDataset has them: lung, liver.
SAMPLES = [
    sample(3, [[0, 0, 9, 9, 0.9, 1], [30, 30, 39, 39, 0.8, 1], [30, 30, 39, 39, 0.6, 0]]),
    sample(4, [[25, 20, 34, 29, 0.5, 1]], border_offset=(5, 10)),
    sample(5),
]


def build(ann_file, **options):
    metric = METRICS.build(dict(type='FROCMetric', ann_file=ann_file, **options))
    metric.dataset_meta = {'classes': CLASSES}
    return metric


def evaluate(metric, samples=SAMPLES):
    for one in samples:
        metric.process({}, [one])
    return metric.evaluate(len(samples))


def test_built_from_a_config(ann_file):
    metric = build(ann_file, fp_levels=(0.25, 0.5, 1))
    assert isinstance(metric, FROCMetric)
    result = evaluate(metric)
    # (0, 1) (1/3, 1) (1/3, 3): the lung's lesion is missed by the box that says liver.
    assert result['froc/sens@0.25'] == pytest.approx(1 / 3)
    assert result['froc/sens@0.5'] == result['froc/sens@1'] == 1
    assert result['froc/mean'] == pytest.approx(7 / 9)
    # Lung is found without error: 1. Liver by precision 1 up to recall 1/2, then 2/3.
    assert result['froc/mAP'] == pytest.approx((1 + (51 + 50 * 2 / 3) / 101) / 2)
    assert metric.results == []


def test_class_agnostic(ann_file):
    result = evaluate(build(ann_file, fp_levels=(0.25, 1), class_agnostic=True))
    assert result['froc/sens@0.25'] == result['froc/mean'] == 1


def test_classwise_and_groups(ann_file):
    options = dict(classwise=True, groups=('lesion_type', 'diameter'), bootstrap=5)
    result = evaluate(build(ann_file, fp_levels=(0.25, 1), **options))
    assert result['froc/lung_sens@0.25'] == result['froc/lung_mean'] == 1
    assert result['froc/liver_sens@0.25'] == 0.5 and result['froc/liver_sens@1'] == 1
    assert result['froc/<10 mm_sens@0.25'] == 1 and result['froc/10-30 mm_sens@0.25'] == 0
    assert result['froc/>30 mm_sens@1'] == 1


def test_written_files_and_warnings(ann_file, tmp_path):
    prefix = str(tmp_path / 'run' / 'froc')
    result = evaluate(build(ann_file, outfile_prefix=prefix))
    written = json.loads((tmp_path / 'run' / 'froc.json').read_text())
    assert written['sensitivity'] == [result[f'froc/sens@{n}'] for n in (0.5, 1, 2, 3, 4, 8, 16)]
    assert written['mAP'] == result['froc/mAP'] and written['items_without_predictions'] == 1
    assert (tmp_path / 'run' / 'froc.png').read_bytes()[:4] == b'\x89PNG'
    cases = read_cases(f'{prefix}.json')
    once = cases.sensitivity(np.ones(1 + cases.patient.max()))
    assert once.tolist() == written['sensitivity'] and cases.names == [3, 5, 4]
    boxes = json.loads((tmp_path / 'run' / 'froc.bbox.json').read_text())
    moved = {'image_id': 4, 'bbox': [30, 30, 9, 9], 'score': 0.5, 'category_id': 20}
    assert moved in boxes and len(boxes) == 4


def segmented(img_id, rows, numbers, ids, **meta):
    out = sample(img_id, rows, **meta)
    out['pred_instances']['segment_ids'] = torch.tensor(ids)
    out['pred_sem_seg'] = PixelData(segments=torch.from_numpy(numbers)[None]).to_dict()
    return out


def test_segments_are_written(ann_file, tmp_path):
    truth = json.loads(open(ann_file).read())
    truth['images'][0]['spacing'] = [0.5, 0.5]
    open(ann_file, 'w').write(json.dumps(truth))
    numbers = np.zeros((64, 64), np.int32)
    numbers[4, 2:8] = 1
    numbers[31:36, 31:33] = 2
    clipped = np.zeros((20, 30), np.int32)
    clipped[7, 9] = 1
    rows = [[0, 0, 9, 9, 0.9, 1], [30, 30, 39, 39, 0.8, 1], [50, 50, 55, 55, 0.7, 1]]
    samples = [
        segmented(4, [[5, 0, 14, 9, 0.5, 1]], clipped, [1], border_offset=(20, 30)),
        segmented(3, [*rows, [1, 1, 9, 9, 0.2, 0]], numbers, [1, 2, 0, 1]),
        segmented(5, np.zeros((0, 6)), numbers * 0, np.zeros(0, int)),
    ]
    prefix = str(tmp_path / 'run')
    evaluate(build(ann_file, outfile_prefix=prefix), samples)
    boxes, found = (json.loads((tmp_path / f'run.{k}.json').read_text()) for k in ('bbox', 'segm'))
    assert [one['score'] for one in found] == pytest.approx([0.9, 0.8, 0.2, 0.5])
    fields = ('image_id', 'bbox', 'score', 'category_id')
    assert all({key: one[key] for key in fields} in boxes for one in found)
    masks = [mask_utils.decode(one['segmentation']) for one in found]
    for mask, number in zip(masks, (1, 2, 1)):
        np.testing.assert_array_equal(mask, numbers == number)
    np.testing.assert_array_equal(np.argwhere(masks[3]), [[37, 29]])
    assert found[0]['diameters_mm'] == [3, 0.5] and found[2] == {
        **found[0],
        'score': found[2]['score'],
        'bbox': [1, 1, 8, 8],
        'category_id': 10,
    }
    assert sorted(found[0]['recist'][:4:2]) == [1.5, 7.5] and found[0]['recist'][1] == 4
    assert 'diameters_mm' not in found[3], 'its image has no spacing'
    assert len(found[3]['recist']) == 8


def test_detections_are_matched_once(ann_file, tmp_path, monkeypatch):
    calls = []

    def counted(*args):
        calls.append(args)
        return match(*args)

    monkeypatch.setattr(froc, 'match', counted)
    evaluate(build(ann_file, groups=['diameter'], outfile_prefix=str(tmp_path / 'run')))
    assert len(calls) == 1 and (tmp_path / 'run.cases.json').is_file()


def test_no_file_of_segments_without_masks(ann_file, tmp_path):
    evaluate(build(ann_file, outfile_prefix=str(tmp_path / 'run')))
    assert not (tmp_path / 'run.segm.json').exists()


def test_format_only(ann_file, tmp_path):
    prefix = str(tmp_path / 'test')
    assert evaluate(build(ann_file, format_only=True, outfile_prefix=prefix)) == {}
    assert len(json.loads((tmp_path / 'test.bbox.json').read_text())) == 4
    assert not (tmp_path / 'test.json').exists()
    with pytest.raises(UserError, match='outfile_prefix'):
        build(ann_file, format_only=True)


def test_nothing_detected(ann_file):
    result = evaluate(build(ann_file), [sample(i) for i in (3, 4, 5)])
    assert result['froc/mean'] == result['froc/mAP'] == 0
    result = evaluate(build(ann_file, classwise=True), [sample(i) for i in (3, 4, 5)])
    assert result['froc/liver_mean'] == 0


def test_no_lesions_at_all(ann_file, tmp_path):
    truth = json.loads(open(ann_file).read())
    truth['annotations'] = []
    (tmp_path / 'none.json').write_text(json.dumps(truth))
    result = evaluate(build(str(tmp_path / 'none.json'), outfile_prefix=str(tmp_path / 'n')))
    assert np.isnan(result['froc/mean']) and np.isnan(result['froc/mAP'])
    assert json.loads((tmp_path / 'n.json').read_text())['mean'] is None


def test_two_parts_give_the_result_of_one(ann_file, monkeypatch):
    """Two processes' results, interleaved, padded to equal length and trimmed as mmengine does."""
    whole = evaluate(build(ann_file, classwise=True))
    first, second = build(ann_file, classwise=True), build(ann_file, classwise=True)
    for metric, part in ((first, [SAMPLES[0], SAMPLES[2]]), (second, [SAMPLES[1], SAMPLES[0]])):
        metric.process({}, part)

    def collect(results, size, device, tmpdir=None):
        parts = zip(results, second.results)
        return [one for pair in parts for one in pair][:size]

    monkeypatch.setattr('mmengine.evaluator.metric.collect_results', collect)
    assert first.evaluate(3) == whole


def test_ties_go_by_the_annotation_file_not_by_arrival(ann_file):
    tied = [
        sample(3, [[0, 0, 9, 9, 0.5, 1], [50, 50, 60, 60, 0.5, 1]]),
        sample(4, [[0, 0, 9, 9, 0.5, 1], [30, 30, 39, 39, 0.5, 1]]),
        sample(5, [[50, 50, 60, 60, 0.5, 0]]),
    ]
    options = dict(fp_levels=(0.1, 0.3, 0.5, 0.7, 0.9))
    forward = evaluate(build(ann_file, **options), tied)
    assert evaluate(build(ann_file, **options), tied[::-1]) == forward


def test_bad_input(ann_file, tmp_path):
    with pytest.raises(UserError, match='No such file'):
        build(str(tmp_path / 'missing.json'))
    with pytest.raises(UserError, match='no lesion has the field'):
        (tmp_path / 'bare.json').write_text('{"images": [], "annotations": []}')
        build(str(tmp_path / 'bare.json'), groups=('diameter',))
    metric = build(ann_file)
    metric.dataset_meta = {'classes': ('nodule',)}
    with pytest.raises(UserError, match='none of the classes nodule'):
        evaluate(metric)
    with pytest.raises(TypeError, match='iou_threshold'):
        build(ann_file, iou_threshold=0.5)
    with pytest.raises(ValueError, match='giou'):
        build(ann_file, overlap='giou')


def test_labels_beyond_the_classes(ann_file):
    with pytest.raises(UserError, match='the model predicts class 2 .*evaluated for 2 classes'):
        evaluate(build(ann_file), [sample(3, [[0, 0, 9, 9, 0.9, 2]])])


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(iou_thr=2), 'iou_thr, is 2: give 0 to 1'),
        (dict(fp_levels=(-1, 2)), 'fp_levels, is -1'),
        (dict(max_per_item=-1), 'max_per_item, is -1'),
        (dict(bootstrap=10**12), 'bootstrap is 1000000000000'),
        (dict(seed=-1), 'seed is -1'),
    ],
)
def test_options_out_of_range(ann_file, options, message):
    with pytest.raises(UserError, match=message):
        build(ann_file, **options)


def test_agrees_with_the_command_line(ann_file, tmp_path):
    from mmlesion.froc import deeplesion_protocol, evaluate_froc
    from mmlesion.io.coco import coco_ground_truth, read_coco_results
    from mmlesion.io.json_files import read_json

    prefix = str(tmp_path / 'froc')
    result = evaluate(build(ann_file, class_agnostic=True, outfile_prefix=prefix))
    truth = coco_ground_truth(read_json(ann_file), ann_file)
    found = read_coco_results(f'{prefix}.bbox.json', truth.cases).detections
    again = evaluate_froc(found, truth.lesions, len(truth.cases), deeplesion_protocol())
    assert again['mean'] == result['froc/mean']


def test_a_file_without_lesions_is_named(ann_file, monkeypatch):
    said = []
    monkeypatch.setattr(froc_metric, 'print_log', lambda text, *args: said.append(text))
    evaluate(build(ann_file))
    assert not any('NaN' in text for text in said)
    content = json.loads(Path(ann_file).read_text())
    Path(ann_file).write_text(json.dumps(dict(content, annotations=[])))
    assert np.isnan(evaluate(build(ann_file))['froc/mAP'])
    assert any(f'{ann_file} has no lesion of lung, liver' in text for text in said)
