from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData

from mmlesion.models.detectors.lesion_retinanet import calibrate, calibrated_scores
from mmlesion.models.utils import label_segments, overlap_with_segments
from mmlesion.structures import shares_in_boxes
from mmlesion.utils import UserError

ROOT = Path(__file__).parents[3] / 'configs'
FOLDER = ROOT / 'improved_retinanet'
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.rglob('improved_retinanet/*.py')
)
FULL = 'phantom/improved_retinanet/retinanet_r18_ag-fpn_anchors-dense_phantom.py'


def build(name, **options):
    register_all_modules()
    cfg = Config.fromfile(ROOT / name).model
    cfg.backbone.init_cfg = None
    cfg.update(options)
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def make_sample(size=64, ori=64):
    shape = (size, size)
    meta = dict(
        img_shape=shape,
        ori_shape=(ori, ori),
        pad_shape=shape,
        batch_input_shape=shape,
        scale_factor=(size / ori, size / ori),
    )
    sample = DetDataSample(metainfo=meta)
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[10.0, 12, 40, 34]]), labels=torch.tensor([0])
    )
    target = torch.zeros(1, size, size, dtype=torch.uint8)
    target[:, 15:30, 14:36] = 1
    sample.gt_sem_seg = PixelData(sem_seg=target)
    return sample


@pytest.mark.parametrize('name', CONFIGS)
def test_a_training_step_of_every_config(name):
    model = build(name).train()
    data = dict(inputs=[torch.rand(3, 64, 64) * 2 - 1] * 2)
    data['data_samples'] = [make_sample(), make_sample()]
    data = model.data_preprocessor(data, training=True)
    losses = model(**data, mode='loss')
    dense = 'dense' in name
    assert losses.keys() == {'loss_cls', 'loss_bbox', *(['loss_seg'] if dense else [])}
    model.parse_losses(losses)[0].backward()
    for key, p in model.named_parameters():
        # a ResNet's last blocks may be dead in one image; nothing may be left out of the graph
        assert not p.requires_grad or p.grad is not None, key
    assert not dense or model.seg_head.segmentation.weight.grad.abs().sum() > 0


def test_anchors_of_the_rows():
    original, row_two, row_three = (
        TASK_UTILS.build(
            Config.fromfile(
                FOLDER / f'retinanet_vgg19_{name}_1xb4_deeplesion.py'
            ).model.bbox_head.anchor_generator
        )
        for name in ('fpn', 'fpn_anchors', 'fpn_anchors-dense')
    )
    assert original.num_base_priors == [9] * 5 and row_two.num_base_priors == [15] * 5
    sizes = [(base[:, 2:] - base[:, :2]).prod(1).sqrt() for base in original.base_anchors]
    torch.testing.assert_close(
        sizes[0].round(decimals=4).unique(), torch.tensor([32.0, 40.3175, 50.7968])
    )
    assert sizes[4].max().item() == pytest.approx(512 * 2 ** (2 / 3), rel=1e-5)
    # the strides move, the anchors' shapes do not
    assert [s[0] for s in row_two.strides] == [8, 16, 32, 64, 128]
    assert [s[0] for s in row_three.strides] == [4, 8, 16, 32, 64]
    for a, b in zip(row_two.base_anchors, row_three.base_anchors):
        shape = a[:, 2:] - a[:, :2]
        torch.testing.assert_close(shape, b[:, 2:] - b[:, :2])
    ratios = (shape[:, 1] / shape[:, 0]).unique()
    assert ratios.min().item() == pytest.approx(1 / 3.27, rel=1e-5)
    scales = torch.sqrt(shape.prod(1)).div(512).mul(1e4).round().unique()
    assert scales.tolist() == [4250, 5400, 6800]


def test_anchors_read_as_squares():
    squared, plain = (
        Config.fromfile(FOLDER / f'retinanet_vgg19_fpn_{name}_1xb4_deeplesion.py').model
        for name in ('anchors-squared', 'anchors')
    )
    ratios = np.array(squared.bbox_head.anchor_generator.pop('ratios'))
    expected = plain.bbox_head.anchor_generator.pop('ratios')
    np.testing.assert_allclose(ratios**2, expected, rtol=1e-3)
    assert squared == plain


@pytest.mark.parametrize('name', [name for name in CONFIGS if 'dense' in name])
def test_one_weight_for_the_masks_loss(name):
    cfg = Config.fromfile(ROOT / name)
    assert cfg.model.seg_head.loss_seg.loss_weight == cfg.mask_loss_weight == 0.1


def predict(model, ori=64, rescale=True):
    torch.manual_seed(0)
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        return model.eval().predict(image, [make_sample(ori=ori)], rescale)[0]


def with_segments(model):
    """Put the segmentation's threshold in the middle of what the random weights predict."""
    logits = predict(model).pred_sem_seg.sem_seg.logit()
    model.seg_head.segmentation.bias.data -= logits.median()
    return model


@pytest.mark.parametrize('ori', [64, 96])
@pytest.mark.parametrize('rescale', [True, False])
@pytest.mark.parametrize('padding', [0, 6])
def test_calibration_on_and_off(ori, rescale, padding):
    model = with_segments(build(FULL, segment_padding=padding))
    calibrated = predict(model, ori, rescale)
    model.calibrate = False
    plain = predict(model, ori, rescale)
    probability = plain.pred_sem_seg.sem_seg
    assert probability.shape == (1, *[ori if rescale else 64] * 2)
    assert torch.equal(probability, calibrated.pred_sem_seg.sem_seg)
    assert 0.2 < (probability > 0.5).float().mean() < 0.8
    in_frame = padding if rescale else padding * 64 / ori
    numbers, segments = label_segments(probability[0], padding=in_frame)
    expected = calibrate(plain.pred_instances, segments)
    assert torch.equal(calibrated.pred_instances.scores, expected.scores)
    assert torch.equal(calibrated.pred_instances.bboxes, expected.bboxes)
    assert not torch.equal(expected.scores, plain.pred_instances.scores)
    assert (expected.scores.diff() <= 0).all()
    for sample in (plain, calibrated):
        assert torch.equal(sample.pred_sem_seg.segments[0], numbers)
        found = sample.pred_instances
        met = overlap_with_segments(found.bboxes, segments)[1]
        held = shares_in_boxes(numbers.numpy(), met.numpy(), found.bboxes.numpy())
        expected = torch.where(torch.from_numpy(held >= 0.5), met, 0)
        assert torch.equal(found.segment_ids, expected)


@pytest.mark.parametrize('share, expected', [(None, [1, 0, 0]), (0, [1, 1, 1]), (0.3, [1, 1, 0])])
def test_a_detections_own_segment(share, expected):
    """Boxes that hold all, 30 of 100 and none of the px of the segment that they meet."""
    model = build(FULL, **({} if share is None else dict(min_segment_share=share)))
    numbers = torch.zeros(40, 40, dtype=torch.int32)
    numbers[10:20, 10:20] = 1
    numbers[19, 19] = 0
    numbers[29, 29] = 1  # far away, so that its box is larger than the 99 px
    segments = torch.tensor([[10.0, 10, 30, 30]])
    bboxes = torch.tensor([[9.0, 9, 31, 31], [0, 0, 13, 30], [22, 10, 30, 20]])
    assert model._own_segments(bboxes, segments, numbers).tolist() == expected
    scores = InstanceData(bboxes=bboxes, scores=torch.full((3,), 0.5))
    assert (calibrate(scores, segments).scores > 0.5).all(), 'calibration counts any overlap'


@pytest.mark.parametrize(
    'options, strides',
    [
        (
            dict(backbone=dict(type='ResNet'), neck=dict(in_channels=[32, 64, 128, 256])),
            '4, that of the neck at 8',
        ),
        (dict(neck=dict(start_level=2)), '2, that of the neck at 8'),
    ],
)
def test_other_strides_are_refused(options, strides):
    cfg = Config.fromfile(ROOT / FULL)
    cfg.merge_from_dict(dict(model=options))
    model = MODELS.build(cfg.model)
    with pytest.raises(UserError, match=f'of the backbone is at stride {strides}: take a backbone'):
        model.loss(torch.zeros(1, 3, 64, 64), [make_sample()])


def test_detections_without_calibration_are_retinanets():
    model = build(FULL, calibrate=False).eval()
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        expected = model.bbox_head.predict(model.extract_feat(image), [make_sample()], rescale=True)
        found = model.predict(image, [make_sample()])[0].pred_instances
        *_, logits = model(image, mode='tensor')
    assert torch.equal(found.scores, expected[0].scores) and len(found) > 0
    assert logits.shape == (1, 1, 64, 64)


def test_padding_is_air_and_ignored():
    model = build(FULL)
    data = dict(inputs=[torch.zeros(3, 64, 64), torch.zeros(3, 64, 40)])
    narrow = make_sample()
    narrow.gt_sem_seg = PixelData(sem_seg=torch.zeros(1, 64, 40, dtype=torch.uint8))
    data['data_samples'] = [make_sample(), narrow]
    data = model.data_preprocessor(data, training=True)
    assert (data['inputs'][1, :, :, 40:] == -1).all()
    target = data['data_samples'][1].gt_sem_seg.sem_seg
    assert target.shape == (1, 64, 64) and (target[..., 40:] == 255).all()


SWIN = dict(
    type='SwinTransformer', embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8), window_size=4
)
REGNET = dict(type='RegNet', arch='regnetx_400mf')


def build_without_c1(backbone, channels, start_level=0):
    cfg = Config.fromfile(ROOT / FULL).model
    cfg.pop('backbone')  # not merged: the options of StemResNet are its own
    cfg.backbone = backbone
    cfg.neck.update(in_channels=channels, start_level=start_level)
    cfg.seg_head.c1_channels = None
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


@pytest.mark.parametrize(
    'backbone, channels', [(SWIN, [8, 16, 32, 64]), (REGNET, [32, 64, 160, 384])]
)
def test_a_backbone_without_c1(backbone, channels):
    model = build_without_c1(backbone, channels).train()
    data = dict(inputs=[torch.rand(3, 64, 64) * 2 - 1] * 2)
    data['data_samples'] = [make_sample(), make_sample()]
    stem = model.seg_head.stem.conv.weight.detach().clone()
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    assert losses.keys() == {'loss_cls', 'loss_bbox', 'loss_seg'}
    loss = model.parse_losses(losses)[0]
    loss.backward()
    for key, p in model.named_parameters():
        assert not p.requires_grad or p.grad is not None, key
    torch.optim.SGD(model.parameters(), lr=1e-3).step()
    assert loss.isfinite() and not torch.equal(model.seg_head.stem.conv.weight, stem)
    found = predict(model)
    assert found.pred_sem_seg.sem_seg.shape == (1, 64, 64)


def test_strides_without_c1():
    model = build_without_c1(SWIN, [8, 16, 32, 64], start_level=1)
    with pytest.raises(UserError, match='P2 at stride 4, but .* neck is at stride 8: set the'):
        model.loss(torch.zeros(1, 3, 64, 64), [make_sample()])


def plain_scores(scores, bboxes, segments):
    """The formula, box by box."""
    out = []
    for score, (x1, y1, x2, y2) in zip(scores, bboxes):
        ious = [0.0]
        for u1, v1, u2, v2 in segments:
            common = max(min(x2, u2) - max(x1, u1), 0) * max(min(y2, v2) - max(y1, v1), 0)
            union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common
            ious.append(common / union)
        out.append(score * (1 + max(ious)))
    return out


def test_scores_by_the_formula():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (40, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(3, 30, (40, 2))], axis=1)
    scores = rng.uniform(size=30)
    expected = plain_scores(scores, boxes[:30], boxes[30:])
    found = calibrated_scores(*(torch.from_numpy(a) for a in (scores, boxes[:30], boxes[30:])))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_ranking_changes_as_the_formula_says():
    instances = InstanceData(
        bboxes=torch.tensor(
            [[0.0, 0, 10, 10], [40, 40, 50, 60], [40, 40, 60, 60], [20, 0, 30, 10]]
        ),
        scores=torch.tensor([0.9, 0.7, 0.6, 0.5]),
        labels=torch.tensor([0, 1, 2, 3]),
    )
    segments = torch.tensor([[40.0, 40, 60, 60], [20, 0, 30, 5]])
    found = calibrate(instances, segments)
    # IoUs 0, 1/2, 1, 1/2: scores 0.9, 1.05, 1.2, 0.75
    assert found.labels.tolist() == [2, 1, 0, 3]
    assert found.scores.tolist() == pytest.approx([1.2, 1.05, 0.9, 0.75], rel=1e-5)
    assert found.bboxes[0].tolist() == [40, 40, 60, 60]
    assert instances.scores.tolist() == pytest.approx([0.9, 0.7, 0.6, 0.5])


@pytest.mark.parametrize('detections', [0, 3])
def test_without_segments_or_detections(detections):
    instances = InstanceData(
        bboxes=torch.rand(detections, 4), scores=torch.linspace(1, 0.5, detections)
    )
    for segments in (torch.zeros(0, 4), torch.tensor([[100.0, 100, 120, 120]])):
        assert torch.equal(calibrate(instances, segments).scores, instances.scores)
