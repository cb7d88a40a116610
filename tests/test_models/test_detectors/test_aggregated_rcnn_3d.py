from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import get_state_dict, load_checkpoint, save_checkpoint
from mmengine.structures import InstanceData

from mmlesion.models import AggregatedRCNN3D
from mmlesion.models.detectors.sliding_windows import SlidingWindows

CONFIGS = Path(__file__).parents[3] / 'configs'
FULL = CONFIGS / '_base_' / 'models' / 'aggregated_rcnn3d.py'
SMALL = CONFIGS / 'phantom' / '_base_' / 'models' / 'aggregated_rcnn3d_small.py'
SIDE = 32
LESIONS = [[10.0, 20.0, 22.0, 9.0], [24.0, 8.0, 10.0, 6.0]]  # z, y, x, diameter
NARROW = {'model.backbone.growth_rate': 4, 'model.backbone.stem_channels': 8}
RPN_LOSSES = {'loss_rpn_cls', 'loss_rpn_bbox'}


def build(roi_head='magnified_fprn', config=SMALL, **options):
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(options)
    if roi_head:
        cfg.model.roi_head = cfg[roi_head]
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def volume(lesions=LESIONS):
    """Lung with bright balls, HU, as int16 (1, SIDE, SIDE, SIDE)."""
    generator = torch.Generator().manual_seed(0)
    hu = -850 + 40 * torch.randn(SIDE, SIDE, SIDE, generator=generator)
    along = torch.arange(SIDE) + 0.5
    grid = torch.stack(torch.meshgrid(along, along, along, indexing='ij'), -1)
    for *center, diameter in lesions:
        hu[(grid - torch.tensor(center)).norm(dim=-1) < diameter / 2] = 40
    return hu.round().short()[None]


def batch(*volumes_lesions):
    samples = []
    for lesions in volumes_lesions:
        spheres = torch.tensor(lesions).reshape(-1, 4)
        labels = torch.zeros(len(spheres), dtype=torch.long)
        truth = InstanceData(bboxes=spheres, labels=labels)
        samples.append(DetDataSample(gt_instances=truth, metainfo=dict(img_shape=(SIDE,) * 3)))
    return dict(inputs=[volume(lesions) for lesions in volumes_lesions], data_samples=samples)


def losses_of(model, data):
    data = model.data_preprocessor(data, True)
    return model(**data, mode='loss')


@pytest.mark.parametrize('roi_head', ['unaligned_fprn', 'fprn', 'magnified_fprn'])
def test_a_training_step(roi_head):
    model = build(roi_head).train()
    before = {name: p.clone() for name, p in model.named_parameters()}
    optimizer = build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=0.01)))
    log = model.train_step(batch(LESIONS, []), optimizer)
    assert set(log) == {'loss', 'loss_cls'} | RPN_LOSSES and log['loss'].isfinite()
    unchanged = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    assert unchanged == []


def test_the_paper_s_config_has_its_sizes():
    model = build(config=FULL)
    assert isinstance(model, AggregatedRCNN3D)
    assert model.roi_head.bbox_head.fc[0].in_features == 768
    assert model.roi_head.bbox_roi_extractor.out_channels == 768
    assert model.roi_head.anchor_diameters == model.rpn_head.prior_generator.diameters
    loss = model.rpn_head.loss_cls
    assert (loss.alpha, loss.gamma) == (0.8, 5)


def test_the_rpn_s_anchors_are_the_fprn_s():
    diameters = [[3, 5, 7], [10, 13, 17], [22, 30, 40]]
    model = build(**{'model.rpn_head.anchor_generator.diameters': diameters})
    levels = model.roi_head.reference_levels(torch.tensor([7.5, 9.0, 19.0, 20.0]))
    assert levels.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize(
    'branches, names',
    [('joint', RPN_LOSSES | {'loss_cls'}), ('rpn', RPN_LOSSES), ('fprn', {'loss_cls'})],
)
def test_branches(branches, names):
    model = build('fprn')
    model.branches = branches
    losses = losses_of(model, batch(LESIONS))
    assert set(losses) == names
    sum(losses.values()).backward()

    def trained(module):
        return any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())

    assert trained(model.backbone)
    assert trained(model.rpn_head) == (branches != 'fprn')
    assert trained(model.roi_head) == (branches != 'rpn')


def test_unknown_branches():
    with pytest.raises(ValueError, match="not 'both'"):
        build().branches = 'both'


def test_rpn_alone():
    model = build(None)
    assert set(losses_of(model, batch(LESIONS))) == RPN_LOSSES
    model.eval()
    model.rpn_head.test_cfg.score_thr = 0.0
    (sample,) = model.test_step(batch(LESIONS))
    assert 'fprn_scores' not in sample.pred_instances and len(sample.pred_instances) > 0


@torch.no_grad()
def test_predictions():
    model = build().eval()
    model.rpn_head.test_cfg.score_thr = 0.0
    first, second = model.test_step(batch(LESIONS, []))
    for found in (first.pred_instances, second.pred_instances):
        assert 0 < len(found) <= 100
        assert found.bboxes.shape == (len(found), 4) and found.scores.diff().le(0).all()
        torch.testing.assert_close(found.scores, (found.rpn_scores + found.fprn_scores) / 2)
    model.fprn_detects = False
    alone = model.test_step(batch(LESIONS))[0].pred_instances
    expected = first.pred_instances.rpn_scores.sort(descending=True).values
    torch.testing.assert_close(alone.scores, expected)
    assert 'fprn_scores' not in alone
    model.rpn_head.test_cfg.score_thr = 1.0
    model.fprn_detects = True
    assert len(model.test_step(batch(LESIONS))[0].pred_instances) == 0


@torch.no_grad()
def test_a_checkpoint_of_the_rpn_s_phase_detects_by_the_rpn(tmp_path):
    path = str(tmp_path / 'rpn.pth')
    trained = build('fprn')
    trained.fprn_detects = False
    save_checkpoint(dict(state_dict=get_state_dict(trained)), path)
    model = build('fprn').eval()
    model.rpn_head.test_cfg.score_thr = 0.0
    assert 'fprn_scores' in model.test_step(batch(LESIONS))[0].pred_instances
    load_checkpoint(model, path)
    assert 'fprn_scores' not in model.test_step(batch(LESIONS))[0].pred_instances
    with torch.enable_grad():
        losses_of(model.train(), batch(LESIONS))  # of both branches
    assert model.fprn_detects


@torch.no_grad()
def test_tensor_mode():
    model = build('fprn').eval()
    data = model.data_preprocessor(batch(LESIONS))
    scores, deltas, fprn_scores = model(data['inputs'], mode='tensor')
    assert [s.shape[2] for s in scores] == [8, 4, 2] and len(deltas) == 3
    assert fprn_scores.ndim == 1


def test_it_learns_to_find_lesions():
    """Two lesions in one volume: after a few steps they are the first two detections.

    They are in a scan of two such volumes, too, seen at once and in windows that cut it.
    """
    model = build('fprn', **NARROW).train()
    optimizer = build_optim_wrapper(model, dict(optimizer=dict(type='AdamW', lr=4e-3)))
    losses = [model.train_step(batch(LESIONS), optimizer)['loss'].item() for _ in range(45)]
    assert sum(losses[-5:]) / 5 < losses[0] / 4
    with torch.no_grad():
        found = model.eval().test_step(batch(LESIONS))[0].pred_instances
    assert_first_are(found, LESIONS)
    scan = torch.cat([volume(), volume()], 1)
    lesions = [[z + shift, *rest] for shift in (0, SIDE) for z, *rest in LESIONS]
    assert_first_are(model.detect_scan(scan), lesions)
    model.windows = SlidingWindows((SIDE, SIDE, SIDE), overlap=16)
    starts, _ = model.windows.place(scan.shape[1:])
    assert starts[:, 0].tolist() == [0, 16, 32]
    assert_first_are(model.detect_scan(scan), lesions)


def assert_first_are(found, lesions):
    """The best detections are these lesions, each once."""
    first = found[: len(lesions)].bboxes
    torch.testing.assert_close(first[first[:, 0].argsort()], torch.tensor(lesions), atol=1, rtol=0)
