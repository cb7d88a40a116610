"""DeepLesion's types as classes: converter, deeplesion_types.py, sensitivity of each type."""

import json
from pathlib import Path

import pytest
import torch
from mmdet.registry import DATASETS, METRICS
from mmengine.config import Config
from phantom import PatientOptions, make_deeplesion_phantom

from mmlesion.converters import deeplesion
from mmlesion.io.schema import LESION_TYPES

ROOT = Path(__file__).parents[2]
BASE = ROOT / 'configs' / '_base_'
PHANTOM = ROOT / 'configs/phantom/elixirnet/faster-rcnn_r18_fpn_types_phantom.py'


@pytest.fixture(scope='module')
def cfg(tmp_path_factory):
    """The config on a phantom, converted as its comment says."""
    root = tmp_path_factory.mktemp('phantom') / 'phantom'
    make_deeplesion_phantom(root, (1, 4, 2), options=PatientOptions(size=128))
    out, images = root / 'types', root / 'Images_png'
    deeplesion.convert(root / 'DL_info.csv', out, images=images, multi_type=True)
    cfg = Config.fromfile(PHANTOM)
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = str(root)
    for split in ('val', 'test'):
        name = Path(cfg[f'{split}_evaluator'].ann_file).name
        cfg[f'{split}_evaluator'].ann_file = str(root / 'types' / name)
    return cfg


def test_labels_are_types(cfg):
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert dataset.metainfo['classes'] == LESION_TYPES
    content = json.loads(Path(dataset.ann_file).read_text())
    assert len(dataset) == len(content['images']) > 5
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        labels = [instance['bbox_label'] for instance in info['instances']]
        types = [
            a['lesion_type'] for a in content['annotations'] if a['image_id'] == info['img_id']
        ]
        assert labels == [number - 1 for number in types]


def test_trains_on_typed_slices_that_are_not_tested_on(cfg):
    patients = [
        {dataset.get_data_info(index)['patient_id'] for index in range(len(dataset))}
        for dataset in (
            DATASETS.build(cfg[f'{split}_dataloader'].dataset) for split in ('train', 'test')
        )
    ]
    assert all(patients) and not patients[0] & patients[1]


def test_sensitivity_of_each_type_at_3_false_positives_per_image(cfg):
    """Every other lesion of a type is found, from the first, and nothing else."""
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta = dataset.metainfo
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    total = dict.fromkeys(LESION_TYPES, 0)
    found = dict(total)
    for info in infos:
        boxes, labels = [], []
        for instance in info['instances']:
            name = LESION_TYPES[instance['bbox_label']]
            total[name] += 1
            if total[name] % 2:
                found[name] += 1
                boxes.append(instance['bbox'])
                labels.append(instance['bbox_label'])
        prediction = dict(
            bboxes=torch.tensor(boxes).reshape(-1, 4),
            scores=torch.ones(len(boxes)),
            labels=torch.tensor(labels, dtype=torch.long),
        )
        metric.process({}, [dict(img_id=info['img_id'], pred_instances=prediction)])
    result = metric.evaluate(len(infos))
    for name, count in total.items():
        expected = found[name] / count if count else float('nan')
        assert result[f'froc/{name}_sens@3'] == pytest.approx(expected, nan_ok=True)
    assert sum(count > 0 for count in total.values()) > 2


def test_the_deeplesion_config_is_the_same_but_for_place_and_pipeline(cfg):
    deeplesion = Config.fromfile(BASE / 'datasets' / 'deeplesion_types.py')
    phantom = Config.fromfile(PHANTOM)
    for split in ('train', 'val', 'test'):
        one, other = (c[f'{split}_dataloader'].dataset for c in (deeplesion, phantom))
        assert one.ann_file == other.ann_file and one.metainfo == other.metainfo
    assert deeplesion.test_evaluator.classwise and phantom.test_evaluator.classwise


def test_second_stage_has_a_constant_rate():
    schedule = Config.fromfile(BASE / 'schedules' / 'schedule_types.py')
    assert schedule.train_cfg.max_epochs == 6 and schedule.param_scheduler == []
    assert schedule.optim_wrapper.optimizer.lr == 0.002
