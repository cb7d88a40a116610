"""Every family of models trains in two processes without a GPU."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dist import all_gather_object
from mmengine.model import BaseModel
from mmengine.registry import RUNNERS
from phantom import PatientOptions, make_deeplesion_phantom, make_luna16_phantom
from torch import distributed

import mmlesion  # noqa: F401 (registers mmlesion's components)
from mmlesion.engine import LesionRunner
from mmlesion.utils.processes import leave_process_group

ROOT = Path(__file__).parents[1]
FAMILIES = {
    'faster-rcnn': 'phantom/baselines/faster-rcnn_r18_fpn_phantom.py',
    'trpn': 'phantom/baselines/faster-rcnn_r18_fpn_trpn_phantom.py',
    'retinanet': 'phantom/baselines/retinanet_r18_fpn_phantom.py',
    'improved-retinanet': (
        'phantom/improved_retinanet/retinanet_r18_ag-fpn_anchors-dense_light-p2_phantom.py'
    ),
    'elixirnet': 'phantom/elixirnet/elixirnet_r18_fpn_phantom.py',
    'lens': 'phantom/lens/lens_small_phantom.py',
    'fpr': 'phantom/lens/fpr_small_phantom.py',
    'embedding': 'phantom/lens/lesion-embedding_r18_phantom.py',
    'aggregated-rcnn3d': (
        'phantom/aggregated_rcnn3d/aggregated-rcnn3d_dense-unet_da-lm_luna16-phantom.py'
    ),
}


@pytest.fixture(scope='module')
def data(tmp_path_factory, run_tool):
    """A folder with ``data/phantom``, masks and proposals in it, and ``data/luna16_phantom``."""
    root = tmp_path_factory.mktemp('families')
    phantom, luna16 = root / 'data' / 'phantom', root / 'data' / 'luna16_phantom'
    small = PatientOptions(size=128, slice_intervals=(5.0,))
    make_deeplesion_phantom(phantom, (2, 1, 1), options=small)
    images = ('--images', phantom / 'Images_png')
    run_tool('dataset_converters/deeplesion.py', phantom / 'DL_info.csv', *images, '--out', phantom)
    masks = phantom / 'train_masks.json'
    run_tool('dataset_converters/recist_masks.py', phantom / 'train.json', *images, '--out', masks)
    _write_proposals(phantom)
    make_luna16_phantom(root / 'raw', (2, 0))
    run_tool('dataset_converters/luna16.py', root / 'raw', '--out', luna16, '--workers', 1)
    return root


def _write_proposals(phantom):
    """Proposals for the FPR classifier: a true and a false one on the key slice of each lesion."""
    coco = json.loads((phantom / 'train.json').read_text())
    images = {image['id']: image for image in coco['images']}
    rows = {}
    for annotation in coco['annotations']:
        image = images[annotation['image_id']]
        first, last = image['slice_range']
        series = Path(image['file_name']).parent
        x, y, w, h = annotation['bbox']
        z = image['slice_index'] - first
        boxes = rows.setdefault(f'{series}_{first:03d}-{last:03d}', [])
        boxes += [[x, y, z, x + w, y + h, z, 0.4, 1], [1, 1, z, 1 + w, 1 + h, z, 0.6, 0]]
    (phantom / 'proposals_train.json').write_text(json.dumps(rows))


WRAPPERS = {
    'default': ({}, ['MMDistributedDataParallel', False]),
    'unused': (dict(find_unused_parameters=True), ['MMDistributedDataParallel', True]),
    'cfg': (
        dict(model_wrapper_cfg=dict(find_unused_parameters=True)),
        ['MMDistributedDataParallel', True],
    ),
    'separate': (
        dict(model_wrapper_cfg=dict(type='MMSeparateDistributedDataParallel')),
        ['MMSeparateDistributedDataParallel', False],
    ),
}


class OneLayer(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x):
        return self.layer(x)


def small_config(name):
    """A family's config for an epoch of two steps, or two epochs where the phases differ."""
    cfg = Config.fromfile(ROOT / 'configs' / FAMILIES[name])
    loader = cfg.train_dataloader
    loader.update(num_workers=0, batch_size=2, persistent_workers=False)
    cfg.train_cfg.max_epochs = 1
    if loader.dataset.type == 'CTSliceDataset':
        loader.update(batch_size=1)
        loader.dataset.indices = 4
    if name == 'improved-retinanet':
        loader.dataset.ann_file = 'train_masks.json'
    elif name == 'lens':  # a batch is of one data set, so that the others' parts have no gradient
        for dataset in loader.dataset.datasets:
            dataset.update(data_root='data/phantom/', indices=4)
    elif name == 'fpr':
        loader.dataset.ann_file = 'train.json'
    elif name == 'aggregated-rcnn3d':
        loader.dataset.fold = 0
        loader.dataset.pipeline[2].crop_size = (32, 32, 32)
        (schedule,) = (hook for hook in cfg.custom_hooks if hook.type == 'BranchScheduleHook')
        schedule.update(rpn_epochs=1, alternate=1)
        cfg.train_cfg.max_epochs = 2
    return cfg


@pytest.mark.parametrize('name', FAMILIES)
def test_both_processes_end_with_the_same_weights(trained, name):
    first, second = trained[name]
    assert first['steps'] == second['steps'] > 1
    assert first['weights'] == second['weights'] and np.isfinite(first['weights']).all()
    assert first['moved'] > 0.5


@pytest.mark.parametrize('name', WRAPPERS)
def test_the_config_says_how_a_model_is_wrapped(trained, name):
    assert trained['wrappers'][name] == WRAPPERS[name][1]


@pytest.fixture(scope='module')
def trained(data, launch):
    """What both processes say of each family."""
    launch(__file__, data)
    return json.loads((data / 'trained.json').read_text())


def main(data):
    """Train all families in one of two processes."""
    os.chdir(data)
    torch.set_num_threads(1)
    distributed.init_process_group('gloo')
    results = {name: all_gather_object(train(name)) for name in FAMILIES}
    results['wrappers'] = {name: wrapper(name, extra) for name, (extra, _) in WRAPPERS.items()}
    if distributed.get_rank() == 0:
        (data / 'trained.json').write_text(json.dumps(results))


def train(name):
    """Train a family a little, and say how often and to which weights."""
    cfg = small_config(name)
    cfg.update(
        work_dir=f'work/{name}',
        experiment_name=name,
        launcher='pytorch',
        randomness=dict(seed=0),
        runner_type='LesionRunner',
    )
    cfg.default_hooks.checkpoint = None
    for part in ('cfg', 'dataloader', 'evaluator'):
        cfg[f'val_{part}'] = cfg[f'test_{part}'] = None
    runner = RUNNERS.build(cfg)
    before = weights(runner.model)
    runner.train()
    after = weights(runner.model)
    moved = np.mean([a != b for a, b in zip(before, after)])
    return dict(steps=runner.iter, weights=after, moved=moved)


def wrapper(name, extra):
    """What a config wraps its model in: the type, and whether unused parameters are looked for."""
    cfg = Config(dict(work_dir='work/wrappers', **extra))
    runner = LesionRunner(
        OneLayer(), cfg.work_dir, launcher='pytorch', cfg=cfg, experiment_name=name
    )
    model = runner.model
    inner = model.module.layer if 'Separate' in type(model).__name__ else model
    return [type(model).__name__, inner.find_unused_parameters]


def weights(model):
    """A number for each parameter that is trained."""
    return [float(p.detach().double().abs().sum()) for p in model.parameters() if p.requires_grad]


if __name__ == '__main__':
    main(Path(sys.argv[1]))
    leave_process_group()
