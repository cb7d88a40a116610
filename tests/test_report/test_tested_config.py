import json
from pathlib import Path

import pytest

from mmlesion.report.tested_config import read_tested_config
from mmlesion.utils import UserError


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'test.json'
    path.write_text(json.dumps(dict(images=[], annotations=[], categories=[])))
    dataset = dict(type='CTSliceDataset', data_root='data/', data_prefix=dict(img='Images_png'))
    metric = dict(type='mmlesion.FROCMetric', ann_file=str(path), iou_thr=0.3, inclusive=False)
    return dict(test_dataloader=dict(dataset=dataset), test_evaluator=metric)


def test_metric_is_told_where_to_write(config):
    tested = read_tested_config(config, 'fpn', Path('out/page.html'))
    assert tested.images == 'data/Images_png' and tested.name == 'fpn'
    assert tested.options == {'test_evaluator.outfile_prefix': 'out/page'}
    criterion = tested.protocol.criterion
    assert (criterion.threshold, criterion.inclusive) == (0.3, False)
    config['test_evaluator'] = [dict(type='CocoMetric'), config['test_evaluator']]
    tested = read_tested_config(config, 'fpn', Path('out/page.html'))
    assert tested.options == {'test_evaluator.1.outfile_prefix': 'out/page'}


def test_place_that_the_config_names_is_kept(config):
    config['test_evaluator']['outfile_prefix'] = 'froc'
    tested = read_tested_config(config, 'fpn', Path('out/page.html'))
    assert tested.outfile_prefix == 'froc' and tested.options == {}


def test_other_metrics_and_volumes_are_refused(config, tmp_path):
    (tmp_path / 'test.json').write_text(json.dumps(dict(volumes=[])))
    with pytest.raises(UserError, match='--report shows slices'):
        read_tested_config(config, 'fpn', Path('page.html'))
    config['test_evaluator'] = dict(type='CocoMetric')
    with pytest.raises(UserError, match='the config has none to test with'):
        read_tested_config(config, 'fpn', Path('page.html'))


def test_unknown_groups_are_refused_before_the_test(config, tmp_path):
    box = dict(id=1, image_id=1, category_id=1, iscrowd=0, bbox=[1, 1, 5, 5], organ='liver')
    truth = dict(images=[dict(id=1)], annotations=[box], categories=[dict(id=1, name='lesion')])
    (tmp_path / 'test.json').write_text(json.dumps(truth))
    tested = read_tested_config(config, 'fpn', Path('page.html'), ['organ'])
    assert tested.groups == ['organ']
    with pytest.raises(UserError, match='no lesion has the field color'):
        read_tested_config(config, 'fpn', Path('page.html'), ['color'])
