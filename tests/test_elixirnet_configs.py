"""The rows of configs/elixirnet differ in what their names say, and in nothing else."""

import copy
import functools
import re
from pathlib import Path

import pytest
import torch
from harness.detectors import random_image
from mmdet.models.losses import FocalLoss
from mmdet.models.task_modules import PseudoSampler
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmengine.structures import InstanceData

import mmlesion  # noqa: F401 (registers mmlesion's components)

ROOT = Path(__file__).parents[1] / 'configs'
FOLDER = ROOT / 'elixirnet'
PHANTOM = ROOT / 'phantom' / 'elixirnet'
BASELINES = {
    'r50_fpn': 'faster-rcnn_r50_fpn_4xb2-1x_deeplesion',
    'r18_fpn': 'faster-rcnn_r18_fpn_phantom',
    'lidc2d': 'faster-rcnn_r18_fpn_lidc2d',
}
# variables that are not read by a Runner
PARTS = (
    'trpn',
    'focal_rpn',
    'all_anchors',
    'alb',
    'rtm',
    'two_fc',
    'alb_head',
    'rtm_head',
    'alb_rtm_head',
    'load',
)
ROWS = [
    pytest.param(name.format(backbone), backbone, parts, id=name.format(backbone))
    for backbone, name_end in (('r50_fpn', '4xb2-1x_deeplesion'), ('r18_fpn', 'phantom'))
    for name, parts in (
        (f'faster-rcnn_{{}}_alb_{name_end}', 'alb'),
        (f'faster-rcnn_{{}}_rtm_{name_end}', 'rtm'),
        (f'faster-rcnn_{{}}_trpn-alb_{name_end}', 'trpn alb'),
        (f'faster-rcnn_{{}}_trpn-rtm_{name_end}', 'trpn rtm'),
        (f'faster-rcnn_{{}}_alb-rtm_{name_end}', 'alb rtm'),
        (f'elixirnet_{{}}_{name_end}', 'trpn alb rtm'),
        (f'faster-rcnn_{{}}_9slices_{name_end}', '9slices'),
        (f'faster-rcnn_{{}}_alb_9slices_{name_end}', 'alb 9slices'),
        (f'faster-rcnn_{{}}_trpn-alb_9slices_{name_end}', 'trpn alb 9slices'),
        (f'elixirnet_{{}}_9slices_{name_end}', 'trpn alb rtm 9slices'),
    )
]
ROWS += [
    pytest.param(name, 'lidc2d', parts, id=name)
    for name, parts in (
        ('faster-rcnn_r18_fpn_alb_lidc2d', 'alb'),
        ('faster-rcnn_r18_fpn_rtm_lidc2d', 'rtm'),
        ('faster-rcnn_r18_fpn_trpn-alb_lidc2d', 'trpn alb'),
        ('faster-rcnn_r18_fpn_trpn-rtm_lidc2d', 'trpn rtm'),
        ('faster-rcnn_r18_fpn_alb-rtm_lidc2d', 'alb rtm'),
        ('elixirnet_r18_fpn_lidc2d', 'trpn alb rtm'),
    )
]


@functools.cache
def _read(path):
    return Config.fromfile(path)


def read(name, folder='elixirnet'):
    """A config, which the test may change; each file is read once."""
    room = ROOT / 'phantom' if name.endswith('_phantom') else ROOT
    return copy.deepcopy(_read(room / folder / f'{name}.py'))


def parts_of(cfg):
    """The parts that a config has, by what it would build."""
    head = cfg.model.roi_head.bbox_head
    found = {
        'trpn': cfg.model.rpn_head.type == 'TruncatedRPNHead',
        'alb': head.get('encoder', {}).get('type') == 'ALBEncoder',
        'rtm': head.get('relation_transfer') is not None,
        '9slices': cfg.model.backbone.type == 'GroupedSliceBackbone',
    }
    return {part for part, is_there in found.items() if is_there}


def without_parts(cfg):
    """A config as a dict, the parts of the ablation brought back to the baseline's."""
    model = cfg.model
    if model.rpn_head.type == 'TruncatedRPNHead':
        model.rpn_head.type = 'RPNHead'
    if model.roi_head.type == 'RelationRoIHead':
        model.roi_head.type = 'StandardRoIHead'
        model.roi_head.bbox_head.type = 'Shared2FCBBoxHead'
        model.roi_head.bbox_head.pop('encoder')
        model.roi_head.bbox_head.pop('relation_transfer', None)
    if model.backbone.type == 'GroupedSliceBackbone':
        model.backbone = model.backbone.backbone
        model.neck = model.neck[1]
    for pipeline in (
        cfg.train_pipeline,
        cfg.test_pipeline,
        cfg.tta_pipeline,
        *(cfg[f'{split}_dataloader'].dataset.pipeline for split in ('train', 'val', 'test')),
    ):
        pipeline[0].pop('num_slices')
        pipeline[0].pop('backend_args', None)
    return {key: value for key, value in cfg.to_dict().items() if key not in PARTS}


@pytest.mark.parametrize('name, backbone, parts', ROWS)
def test_a_row_is_the_baseline_with_its_parts(name, backbone, parts):
    cfg = read(name)
    assert parts_of(cfg) == set(parts.split())
    loaders = [cfg[f'{split}_dataloader'].dataset.pipeline[0] for split in ('train', 'test', 'val')]
    assert {loader.num_slices for loader in loaders} == {9 if '9slices' in parts else 3}
    baseline = read(BASELINES[backbone], 'baselines')
    assert without_parts(cfg) == without_parts(baseline)


FOCAL = {
    'faster-rcnn_r50_fpn_focal-rpn_4xb2-1x_deeplesion': 'r50_fpn',
    'faster-rcnn_r18_fpn_focal-rpn_lidc2d': 'lidc2d',
}


@pytest.mark.parametrize('name, backbone', FOCAL.items())
def test_the_focal_row_is_the_baseline_with_another_loss(name, backbone):
    cfg, baseline = read(name), read(BASELINES[backbone], 'baselines')
    head = MODELS.build(copy.deepcopy(cfg.model)).rpn_head
    head.init_weights()
    assert type(head.loss_cls) is FocalLoss and isinstance(head.sampler, PseudoSampler)
    torch.testing.assert_close(
        head.rpn_cls.bias.sigmoid(), torch.full_like(head.rpn_cls.bias, 0.01)
    )
    assert cfg.model.rpn_head.pop('loss_cls').use_sigmoid
    cfg.model.rpn_head.pop('init_cfg')
    baseline.model.rpn_head.pop('loss_cls')
    for model in (cfg.model, baseline.model):
        model.train_cfg.rpn.pop('sampler')
    assert cfg.model == baseline.model
    assert cfg.train_dataloader == baseline.train_dataloader


@pytest.mark.parametrize('data', ['deeplesion', 'kits19'])
def test_deformable_rows_differ_in_the_backbone_alone(data):
    plain = 'baselines' if data == 'deeplesion' else 'elixirnet'
    for detector, folder in (('faster-rcnn', plain), ('elixirnet', 'elixirnet')):
        deformable = read(f'{detector}_r50-mdconv-c3-c5_fpn_4xb2-1x_{data}')
        deformable.pop('deformable')
        assert deformable.model.backbone.pop('dcn').type == 'DCNv2'
        assert deformable.model.backbone.pop('stage_with_dcn') == (False, True, True, True)
        expected = read(f'{detector}_r50_fpn_4xb2-1x_{data}', folder)
        assert deformable.to_dict() == expected.to_dict()


def test_every_phantom_row_has_the_baselines_truncated_rpn():
    expected = read('faster-rcnn_r18_fpn_trpn_phantom', 'baselines')
    for path in PHANTOM.glob('elixirnet_r18_fpn*_phantom.py'):
        assert read(path.stem).model.rpn_head == expected.model.rpn_head


def test_parts_of_the_full_network_are_the_papers():
    head = read('elixirnet_r50_fpn_4xb2-1x_deeplesion').model.roi_head.bbox_head
    assert head.encoder == dict(type='ALBEncoder', channels=32, num_reductions=2)
    assert head.relation_transfer == dict(type='RelationTransferModule', out_channels=128)
    bbox_head = MODELS.build(head)
    assert bbox_head.encoder.out_channels == 512
    assert bbox_head.fc_cls.in_features == 512 + 128


# the paper's Table 1, millions
@pytest.mark.parametrize(
    'backbone, most', [('r50_fpn', 28.4), ('r50_c4', 19.9), ('r50-mdconv-c3-c5_fpn', 29.3)]
)
def test_parameters(backbone, most):
    model = MODELS.build(read(f'elixirnet_{backbone}_4xb2-1x_deeplesion').model)
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert most - 0.5 < millions <= most


def test_c4_runs_the_blocks_on_c4():
    model = read('elixirnet_r50_c4_4xb2-1x_deeplesion').model
    assert model.roi_head.shared_head is None and 'neck' not in model
    plain = read('faster-rcnn_r50_c4_4xb2-1x_deeplesion').model
    assert plain.roi_head.bbox_head.in_channels == 2048
    assert model.rpn_head.anchor_generator == plain.rpn_head.anchor_generator
    generator = model.rpn_head.anchor_generator
    sizes = [scale * generator.strides[0] for scale in generator.scales]
    assert sizes == [8 * scale for scale in (2, 3, 4, 6, 12)]  # px


def one_step(model, channels, classes=1):
    """Losses of a detector on a random image with one lesion, differentiated."""
    image, meta = random_image(64, channels=channels)
    sample = DetDataSample(metainfo=meta)
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[20.0, 20, 52, 52]]), labels=torch.tensor([classes - 1])
    )
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    losses, _ = model.parse_losses(model.train().loss(image, [sample]))
    losses.backward()
    return losses


@pytest.mark.parametrize(
    'name, channels',
    [
        ('elixirnet_r18_fpn_phantom', 3),
        ('faster-rcnn_r18_fpn_focal-rpn_lidc2d', 3),
        ('elixirnet_r18_fpn_9slices_phantom', 9),
        ('faster-rcnn_r18_fpn_trpn-rtm_phantom', 3),
        ('elixirnet_r50_c4_4xb2-1x_deeplesion', 3),
        ('elixirnet_r50-mdconv-c3-c5_fpn_4xb2-1x_deeplesion', 3),
    ],
)
def test_training_step_and_prediction(name, channels):
    torch.manual_seed(0)
    cfg = read(name).model
    cfg.train_cfg.rpn_proposal.max_per_img = cfg.test_cfg.rpn.max_per_img = 50
    model = MODELS.build(cfg)
    assert one_step(model, channels).isfinite()
    # the stem is frozen where ImageNet's weights are loaded
    trained = [p for p in model.parameters() if p.requires_grad]
    assert trained and all(p.grad is None or p.grad.isfinite().all() for p in trained)
    assert sum(p.grad is not None for p in trained) > 0.9 * len(trained)
    image, meta = random_image(64, channels=channels)
    (sample,) = model.eval().predict(image, [DetDataSample(metainfo=meta)])
    assert sample.pred_instances.bboxes.shape[1] == 4


@pytest.mark.parametrize(
    'name',
    [path.stem for folder in (FOLDER, PHANTOM) for path in sorted(folder.glob('*types*.py'))]
    or ['missing'],
)
def test_second_stage(name):
    cfg = read(name)
    assert cfg.model.roi_head.bbox_head.num_classes == 8
    frozen = next(hook for hook in cfg.custom_hooks if hook.type == 'FreezeModulesHook')
    assert frozen.modules == ['backbone', 'neck', 'rpn_head']
    assert 'EpochSeedHook' in [hook.type for hook in cfg.custom_hooks]
    # what it starts from has the same parts and lasts as many epochs as the file's name says
    first, epoch = re.fullmatch(r'work_dirs/(.+)/epoch_(\d+)\.pth', cfg.load_from).groups()
    (path,) = ROOT.rglob(f'{first}.py')
    first = read(path.stem, path.parent.name)
    assert first.train_cfg.max_epochs == int(epoch)
    first.model.roi_head.bbox_head.num_classes = 8
    assert first.model == cfg.model


@pytest.mark.parametrize('name', ['elixirnet_r18_fpn_phantom', 'faster-rcnn_r18_fpn_rtm_phantom'])
def test_a_head_of_one_class_leaves_the_rest_to_one_of_eight(name, tmp_path):
    cfg = read(name).model
    first = MODELS.build(cfg)
    torch.save(dict(state_dict=first.state_dict(), meta={}), tmp_path / 'epoch_6.pth')
    cfg.roi_head.bbox_head.num_classes = 8
    second = MODELS.build(cfg)
    before = {key: value.clone() for key, value in second.state_dict().items()}
    load_checkpoint(second, str(tmp_path / 'epoch_6.pth'), map_location='cpu')
    new = ('fc_cls', 'fc_reg')
    for key, value in second.state_dict().items():
        expected = before[key] if any(part in key for part in new) else first.state_dict()[key]
        torch.testing.assert_close(value, expected, rtol=0, atol=0)
    # all types together are the lesion of the binary classifier
    assert second.roi_head.bbox_head.fc_binary.out_features == 2
    assert one_step(second, 3, classes=8).isfinite()


def test_found_genotypes_come_by_base(tmp_path):
    genotype = [(0, 'non_local', 0, 'sep_conv_3x3')] * 4
    (tmp_path / 'genotypes.py').write_text(
        f'genotypes = dict(alb={genotype}, reduction={genotype})'
    )
    config = tmp_path / 'found.py'
    base = str(PHANTOM / 'elixirnet_r18_fpn_phantom.py')
    config.write_text(
        f"_base_ = [{base!r}, 'genotypes.py']\n"
        'model = dict(roi_head=dict(bbox_head=dict(encoder=dict(genotypes=_base_.genotypes))))\n'
    )
    model = MODELS.build(Config.fromfile(config).model)
    assert len(model.roi_head.bbox_head.encoder.alb.operations) == 4
    assert one_step(model, 3).isfinite()
