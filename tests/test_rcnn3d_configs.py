"""The rows of 3D Aggregated Faster R-CNN's tables: what each changes, and its rates an epoch."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from mmengine.structures import InstanceData

CONFIGS = Path(__file__).parents[1] / 'configs'
TABLE_2 = {  # multi-scale, OHEM, anchors, ABS
    'rpn3d_dense-unet_single-scale_ohem_4xb2-50e': (False, True, 1, False),
    'rpn3d_dense-unet_single-scale_4xb2-50e': (False, False, 1, False),
    'rpn3d_dense-unet_ohem_4xb2-50e': (True, True, 1, False),
    'rpn3d_dense-unet_4xb2-50e': (True, False, 1, False),
    'rpn3d_dense-unet_anchor2_4xb2-50e': (True, False, 2, False),
    'rpn3d_dense-unet_abs_4xb2-80e': (True, False, 1, True),
}
ALTERNATING = 'aggregated-rcnn3d_dense-unet_da-lm-alternating'
TABLE_3 = {  # crop, ABS, Diameter Alignment, Local Magnification, jointly
    'aggregated-rcnn3d_dense-unet_da_crop96_4xb2-50e': (96, False, True, False, True),
    'aggregated-rcnn3d_dense-unet_da-lm_crop96_4xb2-50e': (96, False, True, True, True),
    f'{ALTERNATING}_crop96_4xb2-50e': (96, False, True, True, False),
    'aggregated-rcnn3d_dense-unet_da_4xb2-50e': (128, False, True, False, True),
    'aggregated-rcnn3d_dense-unet_da-lm_4xb2-50e': (128, False, True, True, True),
    'aggregated-rcnn3d_dense-unet_abs_4xb2-80e': (128, True, False, False, True),
    'aggregated-rcnn3d_dense-unet_da_abs_4xb2-80e': (128, True, True, False, True),
    'aggregated-rcnn3d_dense-unet_da-lm_abs_4xb2-80e': (128, True, True, True, True),
}
FULL, TENTH, HUNDREDTH = 1e-2, 1e-3, 1e-4
RPN_ALONE = [FULL] * 25 + [TENTH] * 15 + [HUNDREDTH] * 10
TWO_PHASES = [
    *([FULL] * 10 + [TENTH] * 6 + [HUNDREDTH] * 4),
    *([FULL] * 15 + [TENTH] * 9 + [HUNDREDTH] * 6),
]
ABS_ROUND = [FULL] * 15 + [TENTH] * 9 + [HUNDREDTH] * 6


def read(name, data='luna16'):
    init_default_scope('mmdet')
    room = CONFIGS / 'phantom' if data.endswith('-phantom') else CONFIGS
    return Config.fromfile(room / 'aggregated_rcnn3d' / f'{name}_{data}.py')


def hooks_of(cfg):
    return {hook.type: hook for hook in cfg.custom_hooks}


def rates(cfg, epoch_length):
    """The rate at the end of each epoch, as mmengine's ParamSchedulerHook steps the schedulers."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=cfg.optim_wrapper.optimizer.lr)
    schedulers = []
    for options in cfg.param_scheduler:
        options = dict(options)
        kind = PARAM_SCHEDULERS.get(options.pop('type'))
        if options.pop('convert_to_iter_based', False):
            kind, options['epoch_length'] = kind.build_iter_from_epoch, epoch_length
        schedulers.append(kind(optimizer=optimizer, **options))
    found = []
    for _ in range(cfg.train_cfg.max_epochs):
        for _ in range(epoch_length):
            optimizer.step()
            found.append(optimizer.param_groups[0]['lr'])
            step(schedulers, by_epoch=False)
        step(schedulers, by_epoch=True)
    return found[epoch_length - 1 :: epoch_length]


def step(schedulers, by_epoch):
    for scheduler in schedulers:
        if scheduler.by_epoch == by_epoch:
            scheduler.step()


@pytest.mark.parametrize('name', TABLE_2)
def test_table_2(name):
    multi_scale, ohem, anchors, boosted = TABLE_2[name]
    cfg = read(name)
    generator = cfg.model.rpn_head.anchor_generator
    assert 'roi_head' not in cfg.model
    assert cfg.model.backbone.get('out_indices', (0, 1, 2)) == ((0, 1, 2) if multi_scale else (0,))
    assert generator.strides == ([4, 8, 16] if multi_scale else [4])
    chosen = [4, 6, 8, 12, 16, 24] if anchors == 1 else [5, 10, 15, 20, 25, 35]
    assert sum(generator.diameters, []) == chosen
    loss = 'HardNegativeLoss' if ohem else 'FocusShiftLoss'
    assert cfg.model.rpn_head.loss_cls.type == loss
    assert ('HardCropHook' in hooks_of(cfg)) == boosted
    expected = RPN_ALONE + (ABS_ROUND if boosted else [])
    assert rates(cfg, 500) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize('name', TABLE_3)
def test_table_3(name):
    side, boosted, aligned, magnified, jointly = TABLE_3[name]
    cfg = read(name)
    extractor = cfg.model.roi_head.bbox_roi_extractor
    assert extractor.get('diameter_alignment', True) == aligned
    assert ('magnification' in extractor) == magnified
    hooks = hooks_of(cfg)
    assert hooks['BranchScheduleHook'].rpn_epochs == 20
    assert hooks['BranchScheduleHook'].get('alternate') == (None if jointly else 1)
    pipeline = cfg.train_dataloader.dataset.pipeline
    (crop,) = [step for step in pipeline if step.type == 'RandomLesionCrop']
    assert tuple(crop.crop_size) == tuple(cfg.model.test_cfg.window.size) == (side,) * 3
    assert ('HardCropHook' in hooks) == boosted
    expected = TWO_PHASES + (ABS_ROUND if boosted else [])
    assert rates(cfg, 500) == pytest.approx(expected, rel=0.01)


def test_the_rates_of_the_phantom():
    """Half a wave of a cosine a phase: the first has 3 epochs after the warm-up's, the second 8."""
    found = rates(read('aggregated-rcnn3d_dense-unet_da', 'luna16-phantom'), 30)
    assert found[0] == pytest.approx(4e-3, rel=0.05)
    assert found[3] < 3e-4 and found[11] < 3e-5
    assert found[4] > 3.8e-3 and found[7] == pytest.approx(2e-3, rel=0.05)
    found = rates(read('aggregated-rcnn3d_dense-unet_da', 'deeplesion-3d-phantom'), 101)
    assert found[4] < 3e-5 and found[5] > 3.9e-3 and found[17] < 1.1e-5


@pytest.mark.parametrize('name', ['abs', 'da_abs', 'da-lm_abs'])
def test_the_boosting_round_begins_where_its_schedule_does(name):
    cfg = read(f'aggregated-rcnn3d_dense-unet_{name}_4xb2-80e')
    assert hooks_of(cfg)['HardCropHook'].epochs == (50,) and cfg.train_cfg.max_epochs == 80


@pytest.mark.parametrize('name', [name for name, row in TABLE_2.items() if 'abs' not in name])
def test_rpn_rows_take_a_training_step(name):
    cfg = read(name).model
    cfg.backbone.update(growth_rate=4, stem_channels=8, out_channels=8)
    cfg.rpn_head.update(in_channels=8, growth_rate=4)
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    truth = InstanceData(bboxes=torch.tensor([[10.0, 20, 22, 9]]), labels=torch.zeros(1).long())
    sample = DetDataSample(gt_instances=truth, metainfo=dict(img_shape=(32,) * 3))
    data = dict(inputs=[torch.full((1, 32, 32, 32), -850).short()], data_samples=[sample])
    # few anchors count in OHEM, so that the head of a level may have no gradient
    before = {name: weight.clone() for name, weight in model.backbone.named_parameters()}
    optimizer = build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=0.01)))
    log = model.train().train_step(data, optimizer)
    assert log['loss'].isfinite()
    after = dict(model.backbone.named_parameters())
    assert not [name for name, weight in before.items() if weight.equal(after[name])]


@pytest.mark.parametrize('name', ['rpn3d_dense-unet', 'aggregated-rcnn3d_dense-unet_da-lm'])
def test_deeplesion_is_tested_in_windows_as_deep_as_the_crops(name):
    cfg = read(f'{name}_4xb2-50e', 'deeplesion-3d')
    (crop,) = [s for s in cfg.train_dataloader.dataset.pipeline if s.type == 'RandomLesionCrop']
    assert tuple(cfg.model.test_cfg.window.size) == tuple(crop.crop_size) == (64, 128, 128)
    assert MODELS.build(cfg.model).windows.size == (64, 128, 128)


def test_near_misses_are_negatives():
    model = read('aggregated-rcnn3d_dense-unet_da_near-negatives_4xb2-50e').model
    head = MODELS.build(model).roi_head
    spheres = [[20.0, 20, 20, 10], [20, 20, 22, 8], [20, 20, 26, 10], [90, 90, 90, 10]]
    proposals = InstanceData(priors=torch.tensor(spheres))
    truth = InstanceData(bboxes=proposals.priors[:1], labels=torch.zeros(1).long())
    assert head.bbox_assigner.assign(proposals, truth).gt_inds.tolist() == [1, 0, 0, 0]
    # by the paper's thresholds the second and the third are ignored
    model.train_cfg.rcnn.assigner.neg_iou_thr = 0.02
    head = MODELS.build(model).roi_head
    assert head.bbox_assigner.assign(proposals, truth).gt_inds.tolist() == [1, -1, -1, 0]


def test_phantom_scans_are_tested_in_windows():
    for name in ('rpn3d_dense-unet', 'aggregated-rcnn3d_dense-unet_da'):
        window = read(name, 'luna16-phantom').model.test_cfg.window
        assert tuple(window.size) == (64, 64, 64) and window.overlap == 32
