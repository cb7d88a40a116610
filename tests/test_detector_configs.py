"""mmdet's own detectors on slices: each takes a training step, and finds boxes in a slice.

ResNet-50 has a quarter of its width here; tests/test_configs.py builds the whole.
"""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper

ROOT = Path(__file__).parents[1] / 'configs'
FOLDERS = ('detectors', 'phantom/detectors')
NAMES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in FOLDERS
    for path in (ROOT / folder).glob('*.py')
    if 'lidc2d' not in path.name  # tests/test_lidc2d_configs.py has their step
)
DETECTORS = ('atss', 'cascade-rcnn', 'deformable-detr', 'fcos', 'mask-rcnn', 'rtmdet', 'tood')
SIDE = 64


@pytest.fixture
def data(ramp_dataset):
    """Two slices of 64 x 64 px with a lesion, of which the second has no mask."""
    for masked in (True, False):
        image = ramp_dataset.add_image(size=(SIDE, SIDE))
        polygon = [22.0, 22, 38, 22, 38, 38, 22, 38]
        mask = dict(segmentation=[polygon]) if masked else {}
        ramp_dataset.add_lesion(image['id'], [20, 20, 20, 20], **mask)
    for name in ('train.json', 'train_masks.json', 'val.json'):
        ramp_dataset.write(name)
    return ramp_dataset.root


def read(name, data):
    cfg = Config.fromfile(ROOT / name)
    # from random weights: batch norm as it is would let the features grow from stage to stage
    cfg.model.backbone.update(init_cfg=None, norm_eval=False, frozen_stages=-1)
    if cfg.model.backbone.get('depth') == 50:
        cfg.model.backbone.update(base_channels=16, stem_channels=16)
        _narrow(cfg.model.get('roi_head', {}))
        cfg.model.neck.in_channels = [channels // 4 for channels in cfg.model.neck.in_channels]
    for split in ('train', 'val'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.data_root = f'{data}/'
        for step in dataset.pipeline:
            if step.type == 'Resize':
                step.scale = (SIDE, SIDE)
    return cfg


def _narrow(roi_head):
    heads = roi_head.get('bbox_head', [])
    for head in heads if isinstance(heads, list) else [heads]:
        head.fc_out_channels = 64


def batch_of(cfg, split):
    dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
    return pseudo_collate([dataset[index] for index in range(len(dataset))])


def test_each_detector_has_a_config_of_both_kinds():
    for folder in FOLDERS:
        names = ' '.join(name for name in NAMES if name.startswith(folder))
        assert all(f'{folder}/{detector}_' in names for detector in DETECTORS)
    assert len(NAMES) == 2 * len(DETECTORS)


@pytest.fixture
def documented(tmp_path):
    """The config of docs/any_detector.md; ``mmlesion::`` is in tests/test_package.py."""
    text = (ROOT.parent / 'docs/any_detector.md').read_text('utf-8')
    path = tmp_path / 'my_config.py'
    config = text.split('```python\n')[1].split('```')[0]
    path.write_text(config.replace('mmlesion::', f'{ROOT}/'))
    return path


@pytest.mark.parametrize('name', [*NAMES, 'documented'])
def test_a_training_step_and_predictions(name, data, documented):
    torch.manual_seed(0)
    MessageHub.get_current_instance().update_info('epoch', 0)  # as a runner does, for TOOD
    cfg = read(documented if name == 'documented' else name, data)
    model = MODELS.build(cfg.model).train()
    model.init_weights()
    before = copy.deepcopy(model.state_dict())
    losses = model.train_step(batch_of(cfg, 'train'), build_optim_wrapper(model, cfg.optim_wrapper))
    assert np.isfinite(losses['loss'].item()) and losses['loss'] > 0
    after = model.state_dict()
    heads = [key for key in before if 'head' in key and before[key].is_floating_point()]
    assert sum(not torch.equal(before[key], after[key]) for key in heads) > len(heads) / 3
    with torch.no_grad():
        samples = model.eval().test_step(batch_of(cfg, 'val'))
    for sample in samples:
        found = sample.pred_instances
        assert len(found.bboxes) == len(found.scores) <= 100
        assert (found.labels == 0).all() and found.bboxes.isfinite().all()
        assert ('masks' in found) == ('mask-rcnn' in name)


@pytest.mark.parametrize('name', [name for name in NAMES if 'mask-rcnn' in name])
def test_masks_of_lesions_and_lesions_without(name, data):
    masked, unmasked = batch_of(read(name, data), 'train')['data_samples']
    (area,) = masked.gt_instances.masks.areas
    assert int(area) == pytest.approx(16 * 16, rel=0.3)  # before an affine map of at most 10 %
    assert len(unmasked.gt_instances) == 0 and len(unmasked.ignored_instances) == 1
