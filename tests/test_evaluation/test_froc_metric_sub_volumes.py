import json

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmlesion.utils import UserError

# inclusive px and slices, as the manual annotation has them
TRUTH = {
    '000001_01_01_003-006': [[10, 10, 3, 29, 29, 5], [50, 50, 6, 59, 59, 6]],
    '000001_01_01_010-011': [],
    '000002_01_01_001-003': [[5, 5, 1, 14, 14, 3]],
}


@pytest.fixture
def ann_file(tmp_path):
    images = [
        dict(id=number, file_name='x.png', sub_volume=name, slice_index=index)
        for number, (name, index) in enumerate(
            (
                (name, index)
                for name in TRUTH
                for index in range(int(name[-7:-4]), int(name[-3:]) + 1)
            ),
            1,
        )
    ]
    categories = [dict(id=1, name='lesion')]
    content = dict(images=images, annotations=[], categories=categories, sub_volumes=TRUTH)
    path = tmp_path / 'manual.json'
    path.write_text(json.dumps(content))
    return path


# By image: x1, y1, x2, y2, score. Images 1 to 4 are slices 3 to 6, 5 and 6 are 10 and 11.
FOUND = {
    1: [[10, 10, 30, 30, 0.9], [80, 80, 90, 90, 0.3]],
    2: [[12, 10, 32, 30, 0.3]],
    3: [[11, 11, 30, 30, 0.5]],
    5: [[0, 0, 9, 9, 0.8]],
    7: [[5, 5, 15, 15, 0.2]],
    9: [[5, 5, 15, 15, 0.7]],
}


def samples(found, offset=(2, 3)):
    for image in range(1, 10):
        rows = torch.tensor(found.get(image, [])).reshape(-1, 5)
        shift = torch.tensor([*offset, *offset])
        pred = InstanceData(
            bboxes=rows[:, :4] - shift,
            scores=rows[:, 4],
            labels=torch.zeros(len(rows), dtype=torch.long),
        )
        meta = dict(img_id=image, border_offset=offset)
        yield DetDataSample(metainfo=meta, pred_instances=pred).to_dict()


def evaluate(ann_file, found=FOUND, order=1, **options):
    metric = METRICS.build(dict(type='FROCMetric', ann_file=str(ann_file), **options))
    metric.dataset_meta = {'classes': ('lesion',)}
    metric.process({}, list(samples(found))[::order])
    return metric.evaluate(9)


def test_stacked_boxes_are_written_and_scored(ann_file, tmp_path):
    """A box of three slices hits; of two on slices 1 and 3, with none between, each is its own."""
    result = evaluate(ann_file, outfile_prefix=str(tmp_path / 'froc'))
    written = json.loads((tmp_path / 'froc.boxes3d.json').read_text())
    assert list(written) == list(TRUTH)
    first, second = written['000001_01_01_003-006']
    x1 = (10 * 0.9 + 12 * 0.3 + 11 * 0.5) / 1.7
    assert first[0] == pytest.approx(x1, abs=1e-4) and first[6] == pytest.approx(0.9)
    assert [first[2], first[5]] == [3, 5] and [second[2], second[5]] == [3, 3]
    np.testing.assert_allclose(second, [80, 80, 3, 89, 89, 3, 0.3], atol=1e-4)
    assert [row[2] for row in written['000002_01_01_001-003']] == [3, 1]
    # By falling score: a hit, an error, a hit, an error, and the same lesion again.
    assert result['froc/sens@0.125'] == pytest.approx(1 / 3)
    assert result['froc/sens@0.5'] == result['froc/sens@8'] == pytest.approx(2 / 3)
    assert set(result) == {'froc/mean', *(f'froc/sens@{2**n:g}' for n in range(-3, 4))}
    assert json.loads((tmp_path / 'froc.json').read_text())['num_detections'] == 5


def test_order_of_the_slices_changes_nothing(ann_file):
    assert evaluate(ann_file) == evaluate(ann_file, order=-1)


def test_the_tool_scores_what_is_written_alike(ann_file, load_tool, tmp_path):
    generator = np.random.default_rng(0)
    found = {}
    for image in range(1, 10):
        corners = generator.uniform(0, 50, (40, 2))
        sizes = generator.uniform(5, 30, (40, 2))
        rows = np.column_stack([corners, corners + sizes, generator.uniform(0, 0.9, 40)])
        found[image] = [*FOUND.get(image, []), *rows.tolist()]
    result = evaluate(ann_file, found, outfile_prefix=str(tmp_path / 'froc'))
    (tmp_path / 'gt.json').write_text(json.dumps(TRUTH))
    tool = load_tool('analysis_tools/eval_froc.py')
    paths = ['--gt', 'gt.json', '--pred', 'froc.boxes3d.json', '--out', 'tool']
    paths = [name if name.startswith('--') else str(tmp_path / name) for name in paths]
    tool.main(['lens', *paths])
    again = json.loads((tmp_path / 'tool' / 'froc.json').read_text())
    own = json.loads((tmp_path / 'froc.json').read_text())
    same = ('sensitivity', 'mean', 'curve', 'num_detections', 'fp_levels')
    assert {key: again[key] for key in same} == {key: own[key] for key in same}
    assert 0 < result['froc/mean'] < 1


def test_the_published_criterion_is_an_option(ann_file):
    assert evaluate(ann_file, iou_thr=0.99)['froc/sens@8'] == pytest.approx(1 / 3)
    assert evaluate(ann_file, overlap='iou', iou_thr=0.95)['froc/sens@8'] == 0


def test_bad_files(ann_file):
    content = json.loads(ann_file.read_text())

    def broken(**changes):
        ann_file.write_text(json.dumps({**content, **changes}))
        return evaluate(ann_file)

    with pytest.raises(UserError, match='not listed: 000002'):
        broken(sub_volumes={name: TRUTH[name] for name in list(TRUTH)[:2]})
    with pytest.raises(UserError, match='image 0 .* has no "sub_volume"'):
        broken(images=[{'id': 1}])
    with pytest.raises(UserError, match='not 6 finite numbers'):
        broken(sub_volumes={**TRUTH, '000001_01_01_010-011': [[1, 2, 3]]})


def test_scored_3d_boxes_are_taken_as_they_are(ann_file, tmp_path):
    """A sample a proposal, in any order: what the file has of stacked boxes comes out again."""
    first, _, third = TRUTH
    rows = [
        (third, [5, 5, 1.0, 14, 14.25, 3], 0.9),
        (first, [10.1, 10, 3, 29, 29, 5], 0.4),
        (first, [80, 80, 3, 89, 89, 3], 0.7),
        ('000009_01_01_001-003', [0, 0, 1, 9, 9, 1], 0.95),
    ]
    options = dict(type='FROCMetric', ann_file=str(ann_file), outfile_prefix=str(tmp_path / 'fpr'))
    metric = METRICS.build(options)
    metric.dataset_meta = {'classes': ('lesion',)}
    for name, box, score in rows:
        pred = InstanceData(
            bboxes=torch.tensor([box], dtype=torch.float64),
            scores=torch.tensor([score], dtype=torch.float64),
            labels=torch.zeros(1, dtype=torch.long),
        )
        sample = DetDataSample(metainfo=dict(sub_volume=name), pred_instances=pred)
        metric.process({}, [sample.to_dict()])
    result = metric.evaluate(4)
    written = json.loads((tmp_path / 'fpr.boxes3d.json').read_text())
    assert written == {
        first: [[10.1, 10, 3, 29, 29, 5, 0.4], [80, 80, 3, 89, 89, 3, 0.7]],
        '000001_01_01_010-011': [],
        third: [[5, 5, 1, 14, 14.25, 3, 0.9]],
    }
    # of three sub-volumes: a hit, an error, a hit
    assert result['froc/sens@0.25'] == pytest.approx(1 / 3)
    assert result['froc/sens@0.5'] == pytest.approx(2 / 3)
    detail = json.loads((tmp_path / 'fpr.json').read_text())
    assert detail['unknown_items'] == 1 and detail['num_detections'] == 3


def test_boxes_between_slices_join_those_on_them(ann_file, tmp_path):
    """Boxes of two slices have an IoU of 0.4, and of 0.6 and more with that in between."""
    metric = METRICS.build(
        dict(
            type='FROCMetric',
            ann_file=str(ann_file),
            outfile_prefix=str(tmp_path / 'froc'),
            format_only=True,
        )
    )
    metric.dataset_meta = {'classes': ('lesion',)}
    # images 1 and 2 are slices 3 and 4; what is between them has the image of the lower one
    for image, position, side in ((1, 3, 20), (1, 3.5, 16), (2, 4, 12.7), (2, 4.5, 8)):
        pred = InstanceData(
            bboxes=torch.tensor([[10.0, 10, 10 + side, 10 + side]]),
            scores=torch.ones(1),
            labels=torch.zeros(1, dtype=torch.long),
        )
        meta = dict(img_id=image, border_offset=(0, 0), slice_index=position, grid_steps=2)
        metric.process({}, [DetDataSample(metainfo=meta, pred_instances=pred).to_dict()])
    metric.evaluate(4)
    written = json.loads((tmp_path / 'froc.boxes3d.json').read_text())
    rows = written['000001_01_01_003-006']
    assert [[row[2], row[5]] for row in rows] == [[3, 4], [5, 5]]
    assert rows[0][3] == pytest.approx(10 + (20 + 16 + 12.7) / 3 - 1, abs=1e-4)
