"""Every config builds: model, data sets with their pipelines, evaluators, hooks and schedule."""

import inspect
from pathlib import Path

import pytest
import torch
from mmdet.registry import DATASETS, HOOKS, METRICS, MODELS, VISUALIZERS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from torch.nn import Conv2d, Conv3d

from mmlesion.visualization import LesionLocalVisualizer

ROOT = Path(__file__).parents[1] / 'configs'
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob('*.py')
    if '_base_' not in path.relative_to(ROOT).parts and 'lesion-embedding' not in path.name
)

# mmdet's that take no ignored boxes, as configs/detectors/README.md says
KNOW_NO_IGNORED = ('DynamicSoftLabelAssigner', 'HungarianAssigner', 'TaskAlignedAssigner')


@pytest.fixture
def cfg(request):
    cfg = Config.fromfile(ROOT / request.param)
    init_default_scope('mmdet')
    return cfg


def single_datasets(cfg):
    """The datasets of a loader: the one, or those that it joins."""
    inner = cfg.get('datasets')
    return [one for part in inner for one in single_datasets(part)] if inner else [cfg]


def num_windows(cfg):
    """Windows that each slice is seen in."""
    steps = single_datasets(cfg.train_dataloader.dataset)[0].pipeline
    return next((len(step.windows) for step in steps if step.type == 'WindowHU'), 1)


def accepts(registry, cfg):
    """Raise TypeError where a component, which may need files to be built, lacks an option."""
    options = dict(cfg)
    inspect.signature(registry.get(options.pop('type'))).bind(**options)


def assigners(cfg):
    """All assigners in a part of a config."""
    if isinstance(cfg, list):
        return sum((assigners(part) for part in cfg), [])
    if not isinstance(cfg, dict):
        return []
    found = [cfg['assigner']] if 'assigner' in cfg else []
    return sum((assigners(part) for part in cfg.values()), found)


@pytest.mark.parametrize('cfg', CONFIGS, indirect=True)
def test_model_and_schedule(cfg):
    # ignored findings are neither a target nor background, where mmdet's assigner can do so
    for assigner in assigners(cfg.model.get('train_cfg') or {}):
        if assigner.type not in KNOW_NO_IGNORED:
            assert assigner.type in ('UncertainIoUAssigner', 'ATSSAssigner')
            assert assigner.ignore_iof_thr == 0.5
    cfg.model.backbone.init_cfg = None
    with torch.device('meta'):  # no random weights are drawn
        model = MODELS.build(cfg.model)
    build_optim_wrapper(model, cfg.optim_wrapper)
    schedulers = cfg.param_scheduler
    if isinstance(schedulers, dict):  # of several optimizers
        schedulers = sum(schedulers.values(), [])
    for scheduler in schedulers:
        assert PARAM_SCHEDULERS.get(scheduler.type) is not None
    loader = single_datasets(cfg.train_dataloader.dataset)[0].pipeline[0]
    first_conv = next(m for m in model.backbone.modules() if isinstance(m, (Conv2d, Conv3d)))
    groups = getattr(model.backbone, 'num_groups', 1)
    # a volume has one channel, however many slices it has
    flat = isinstance(first_conv, Conv2d)
    channels = loader.get('num_slices', 1) * num_windows(cfg) if flat else 1
    # slices that exchange features go through the backbone one by one
    taken = getattr(model.backbone, 'num_slices', groups * first_conv.in_channels)
    assert taken == channels


@pytest.mark.parametrize('cfg', CONFIGS, indirect=True)
def test_data(cfg):
    for split in ('train', 'val', 'test'):
        for single in single_datasets(cfg[f'{split}_dataloader'].dataset):
            dataset = DATASETS.build(dict(single, lazy_init=True))
            loader = dataset.pipeline.transforms[0]
            trained = single_datasets(cfg.train_dataloader.dataset)[0].pipeline[0]
            assert getattr(loader, 'num_slices', 1) == trained.get('num_slices', 1)
    accepts(METRICS, cfg.val_evaluator)
    accepts(METRICS, cfg.test_evaluator)
    # cross-validation has no third part, nor have LIDC's windows and cubes
    names = '/lidc', '/nodule_cubes', '/lung_nodules'
    two_parts = any(name in cfg.val_evaluator.ann_file for name in names)
    if cfg.val_evaluator.get('fold') is None and not two_parts:
        assert cfg.val_evaluator.ann_file != cfg.test_evaluator.ann_file


@pytest.mark.parametrize('cfg', CONFIGS, indirect=True)
def test_tta_differs_from_testing_in_the_flip_alone(cfg):
    tested = cfg.test_dataloader.dataset
    if tested.type != 'CTSliceDataset':
        pytest.skip('mmdet has no TTA for volumes')
    *steps, flips = cfg.tta_pipeline
    flip, (pack,) = flips.transforms
    assert [*steps, pack] == tested.pipeline
    assert [step.type for step in flip] == ['RandomFlip', 'RandomFlip']
    DATASETS.build(dict(tested, pipeline=cfg.tta_pipeline, lazy_init=True))


@pytest.mark.parametrize('cfg', CONFIGS, indirect=True)
def test_visualizer_and_hooks(cfg, tmp_path):
    visualizer = VISUALIZERS.build(dict(cfg.visualizer, save_dir=str(tmp_path)))
    assert isinstance(visualizer, LesionLocalVisualizer)
    for hook in [*cfg.default_hooks.values(), *cfg.get('custom_hooks', [])]:
        assert isinstance(HOOKS.build(hook), Hook)


def test_truncated_rpn_configs_differ_in_the_head_alone():
    for name in (
        'baselines/faster-rcnn_r50_fpn{}_4xb2-1x_deeplesion.py',
        'phantom/baselines/faster-rcnn_r18_fpn{}_phantom.py',
        'baselines/faster-rcnn_r18_fpn{}_lidc2d.py',
    ):
        plain = Config.fromfile(ROOT / name.format(''))
        truncated = Config.fromfile(ROOT / name.format('_trpn'))
        head = truncated.model.rpn_head
        assert head.type == 'TruncatedRPNHead'
        head.type = 'RPNHead'
        assert truncated.to_dict() == plain.to_dict()
