"""The configs of the embedding build and take a training step; it is no detector."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import DATA_SAMPLERS, DATASETS, METRICS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope

CONFIGS = sorted((Path(__file__).parents[1] / 'configs').rglob('lesion-embedding*.py'))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_training_step(path, ramp_dataset):
    np.random.seed(0)  # of pairs and crops
    for series in range(2):
        image = ramp_dataset.add_image(size=(64, 64))
        ramp_dataset.add_lesion(image['id'], [10, 10 + series, 20, 20])
    cfg = Config.fromfile(path)
    init_default_scope('mmdet')
    cfg.model.backbone.init_cfg = None
    root = dict(data_root='', ann_file=str(ramp_dataset.write()))
    prefix = dict(data_prefix=dict(img=str(ramp_dataset.images_dir)))
    train = [dict(part, **root, **prefix) for part in cfg.train_dataloader.dataset.datasets]
    dataset = DATASETS.build(dict(cfg.train_dataloader.dataset, datasets=train[:1]))
    sampler = DATA_SAMPLERS.build(cfg.train_dataloader.sampler, default_args=dict(dataset=dataset))
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = model.fc.weight.clone()
    losses = model.train_step(pseudo_collate([dataset[i] for i in sampler]), optim_wrapper)
    assert losses['loss'] > 0 and (model.fc.weight != before).any()
    for scheduler in cfg.param_scheduler:
        assert PARAM_SCHEDULERS.get(scheduler.type) is not None
    test = DATASETS.build(dict(cfg.test_dataloader.dataset, **root, **prefix))
    evaluator = METRICS.build(cfg.test_evaluator)
    evaluator.dataset_meta = test.metainfo
    model.eval()
    batch = pseudo_collate([test[i] for i in range(len(test))])
    with torch.no_grad():
        embedded = model.test_step(batch)
    evaluator.process(batch, [sample.to_dict() for sample in embedded])
    assert set(evaluator.evaluate(len(test))) >= {'retrieval/top1', 'retrieval/recall'}
