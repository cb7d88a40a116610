import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmlesion.structures import Grid
from mmlesion.utils import UserError

TILTED = (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, -1)
GRIDS = {
    uid: Grid((40, 50, 60), (1.0, 1.0, 1.0), origin, TILTED)
    for uid, origin in (('1.2', (-5.0, 3.5, 100.0)), ('1.3', (0, 0, 0)), ('1.4', (9, 8, 7)))
}
COLUMNS = ('seriesuid', 'coordX', 'coordY', 'coordZ', 'diameter_mm')


def finding(volume, voxel, diameter, ignore=False, category=1):
    """A finding at z, y, x of a volume."""
    (center,) = list(GRIDS.values())[volume - 1].to_world([voxel])
    return dict(
        volume_id=volume,
        center_mm=center.tolist(),
        diameter_mm=diameter,
        ignore=ignore,
        category_id=category,
    )


FINDINGS = [
    finding(1, (10, 20, 30), 8.0),
    finding(1, (30, 40, 50), 6.0),
    finding(1, (5, 5, 5), 10.0, ignore=True),
    finding(2, (20, 20, 20), 12.0),
]
# z, y, x, diameter in voxels, and score
FOUND = {
    '1.2': [[11, 21, 31, 7, 0.9], [5, 6, 5, 5, 0.8], [20, 20, 20, 9, 0.7], [30, 43.1, 50, 6, 0.6]],
    '1.3': [[20, 20, 24, 20, 0.4], [20, 19, 24, 20, 0.3]],
    '1.4': [[9, 9, 9, 9, 0.2]],
}


@pytest.fixture
def ann_file(tmp_path):
    volumes = [
        dict(
            id=number,
            file_name=f'{uid}.npy',
            series_uid=uid,
            fold=int(uid == '1.4'),
            **{key: getattr(grid, key) for key in ('size', 'spacing', 'origin', 'direction')},
        )
        for number, (uid, grid) in enumerate(GRIDS.items(), 1)
    ]
    path = tmp_path / 'volumes.json'
    categories = [dict(id=1, name='nodule'), dict(id=2, name='node')]
    content = dict(volumes=volumes, annotations=FINDINGS, categories=categories)
    path.write_text(json.dumps(content))
    return path


def sample(uid, rows, labels=None):
    rows = torch.tensor(rows, dtype=torch.float64).reshape(-1, 5)
    labels = torch.zeros(len(rows), dtype=torch.long) if labels is None else torch.tensor(labels)
    pred = InstanceData(bboxes=rows[:, :4], scores=rows[:, 4], labels=labels)
    grid = GRIDS[uid]
    meta = dict(size=grid.size, spacing=grid.spacing, origin=grid.origin, direction=grid.direction)
    return DetDataSample(metainfo=dict(meta, series_uid=uid), pred_instances=pred).to_dict()


def evaluate(ann_file, found=FOUND, classes=('nodule',), **options):
    metric = METRICS.build(dict(type='FROCMetric', ann_file=str(ann_file), **options))
    metric.dataset_meta = {'classes': classes}
    for uid, rows in found.items():
        metric.process({}, [sample(uid, rows)])
    return metric.evaluate(len(found))


def test_centers_in_spheres(ann_file, tmp_path):
    """The second lesion's mark lies 0.1 mm outside of it; the excluded finding is none.

    By falling score: a hit, nothing, two errors, a hit, nothing, an error.
    """
    prefix = str(tmp_path / 'run' / 'froc')
    result = evaluate(ann_file, outfile_prefix=prefix, groups=['diameter'])
    assert result['froc/sens@0.125'] == pytest.approx(1 / 3)
    assert result['froc/sens@0.5'] == pytest.approx(1 / 3)
    assert result['froc/sens@1'] == result['froc/sens@8'] == pytest.approx(2 / 3)
    assert result['froc/<10 mm_sens@8'] == 0.5 and result['froc/10-30 mm_sens@8'] == 1
    assert np.isnan(result['froc/TNP']), 'sensitivity is never 0.95'
    written = json.loads((tmp_path / 'run' / 'froc.json').read_text())
    assert written['num_lesions'] == 3 and written['TNP'] is None
    assert written['TNP_sensitivity'] == 0.95
    spheres = json.loads((tmp_path / 'run' / 'froc.bbox.json').read_text())
    center = GRIDS['1.2'].to_world([[11, 21, 31]])[0]
    assert spheres[0] == dict(
        series_uid='1.2',
        center_mm=pytest.approx(center.tolist()),
        diameter_mm=7,
        score=0.9,
        category_id=1,
    )
    assert (tmp_path / 'run' / 'froc.png').is_file()


def test_lesion_types(ann_file):
    """The lesion that is found is a lung's (5), the one that is not the liver's (4)."""
    with pytest.raises(UserError, match='lesion_type'):
        evaluate(ann_file, groups=['lesion_type'])
    content = json.loads(ann_file.read_text())
    for annotation, lesion_type in zip(content['annotations'], (5, 4, -1, -1)):
        annotation['lesion_type'] = lesion_type
    ann_file.write_text(json.dumps(content))
    result = evaluate(ann_file, groups=['lesion_type'])
    assert result['froc/lung_sens@8'] == 1 and result['froc/liver_sens@8'] == 0


def test_negative_patients(ann_file):
    found = {**FOUND, '1.2': [*FOUND['1.2'], [30, 41, 50, 6, 0.3]]}
    assert evaluate(ann_file, found)['froc/TNP'] == 1, 'at 0.3, above the negative scan'
    found['1.4'] = [[9, 9, 9, 9, 0.31]]
    assert evaluate(ann_file, found)['froc/TNP'] == 0


def test_the_submission_has_the_same_froc_by_the_lists(ann_file, load_tool, tmp_path):
    tool = load_tool('analysis_tools/eval_froc.py')
    prefix = str(tmp_path / 'run')
    generator = np.random.default_rng(0)
    found = {}
    for uid, rows in FOUND.items():  # more marks than count, and equal scores
        noise = generator.uniform(0, 40, (120, 5))
        noise[:, 4] = np.round(generator.uniform(0, 0.6, 120), 2)
        found[uid] = [*rows, *noise.tolist()]
    result = evaluate(ann_file, found, outfile_prefix=prefix)
    for name, ignored in (('annotations', False), ('excluded', True)):
        with open(tmp_path / f'{name}.csv', 'w', newline='') as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for one in FINDINGS:
                if one['ignore'] == ignored:
                    uid = list(GRIDS)[one['volume_id'] - 1]
                    diameter = -1 if ignored else one['diameter_mm']
                    writer.writerow((uid, *one['center_mm'], diameter))
    (tmp_path / 'series.csv').write_text('\n'.join(GRIDS) + '\n')
    lists = ['--gt', 'annotations.csv', '--excluded', 'excluded.csv', '--series', 'series.csv']
    paths = [name if name.startswith('--') else str(tmp_path / name) for name in lists]
    tool.main(['luna16', *paths, '--pred', f'{prefix}.csv', '--out', str(tmp_path / 'tool')])
    again = json.loads((tmp_path / 'tool' / 'froc.json').read_text())
    own = json.loads((tmp_path / 'run.json').read_text())
    same = ('sensitivity', 'mean', 'curve', 'num_detections', 'TNP', 'TNP_threshold')
    assert {key: again[key] for key in same} == {key: own[key] for key in same}
    assert again['mean'] == result['froc/mean'] > 0 and again['num_detections'] <= 300
    assert Path(f'{prefix}.csv').read_text().startswith('seriesuid,coordX,coordY,coordZ,probab')


def test_folds(ann_file):
    result = evaluate(ann_file, {'1.2': FOUND['1.2'], '1.3': []}, fold=0)
    assert result['froc/sens@8'] == pytest.approx(1 / 3)
    assert np.isnan(evaluate(ann_file, {'1.4': FOUND['1.4']}, fold=1)['froc/mean'])
    with pytest.raises(UserError, match='no volume of fold 7'):
        evaluate(ann_file, fold=7)


def test_labels_go_by_the_classes(ann_file):
    """VolumeDataset's labels, unlike CocoDataset's."""
    content = json.loads(ann_file.read_text())
    content['annotations'] = [finding(1, (10, 20, 30), 8.0, category=2)]
    ann_file.write_text(json.dumps(content))
    found = {'1.2': [[11, 21, 31, 7, 0.9]], '1.3': [], '1.4': []}
    assert evaluate(ann_file, found, ('node', 'nodule'))['froc/mean'] == 1
    assert evaluate(ann_file, found, ('nodule', 'node'))['froc/mean'] == 0


def test_limit_of_marks(ann_file):
    assert evaluate(ann_file, max_per_item=1)['froc/sens@8'] == pytest.approx(2 / 3)
    tied = {'1.2': [[11, 21, 31, 7, 0.9], [0, 0, 0, 3, 0.9]], '1.3': [], '1.4': []}
    assert evaluate(ann_file, tied, max_per_item=1)['froc/sens@8'] == 0


def test_bad_input(ann_file):
    with pytest.raises(UserError, match="overlap='iou' is for boxes"):
        evaluate(ann_file, overlap='iou')
    content = json.loads(ann_file.read_text())

    def broken(**changes):
        ann_file.write_text(json.dumps({**content, **changes}))
        return evaluate(ann_file)

    with pytest.raises(UserError, match='"annotations": Expected `array`'):
        broken(annotations=None)
    with pytest.raises(UserError, match='not listed: 9'):
        broken(annotations=[{**FINDINGS[0], 'volume_id': 9}])
    with pytest.raises(UserError, match='annotation 0 .* has no "diameter_mm"'):
        broken(annotations=[{'volume_id': 1, 'center_mm': [0, 0, 0]}])
    with pytest.raises(UserError, match='same series_uid'):
        broken(volumes=[{**content['volumes'][0], 'id': i} for i in (1, 2)])
    images = dict(images=[], annotations=[], categories=[])
    ann_file.write_text(json.dumps(images))
    with pytest.raises(UserError, match='fold=0: .* has images'):
        evaluate(ann_file, fold=0)
