import pytest
import torch
from mmdet.models.dense_heads import RetinaHead
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmlesion.models import LightP2RetinaHead

SETTINGS = dict(
    num_classes=1,
    in_channels=8,
    feat_channels=8,
    stacked_convs=2,
    anchor_generator=dict(
        type='AnchorGenerator',
        base_sizes=[16, 32, 64],
        scales=[0.5, 1.0],
        ratios=[0.5, 1, 2],
        strides=[4, 8, 16],
    ),
    loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
    loss_bbox=dict(type='L1Loss', loss_weight=1.0),
    train_cfg=ConfigDict(
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0,
            ignore_iof_thr=-1,
        ),
        sampler=dict(type='PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
    ),
    test_cfg=ConfigDict(
        nms_pre=100,
        min_bbox_size=0,
        score_thr=0.0,
        nms=dict(type='nms', iou_threshold=0.5),
        max_per_img=20,
    ),
)
META = dict(img_shape=(64, 64), pad_shape=(64, 64))


def make_features():
    torch.manual_seed(0)
    return tuple(torch.randn(1, 8, 64 // s, 64 // s) for s in (4, 8, 16))


def make_heads(**options):
    torch.manual_seed(0)
    light, plain = LightP2RetinaHead(**SETTINGS, **options), RetinaHead(**SETTINGS)
    light.init_weights()
    plain.load_state_dict(
        {k: v for k, v in light.state_dict().items() if not k.startswith('fine_head.')}
    )
    return light, plain


def test_only_the_finest_level_has_the_narrow_head():
    light, plain = make_heads(fine_feat_channels=4, fine_stacked_convs=1)
    features = make_features()
    scores, deltas = light(features)
    plain_scores, plain_deltas = plain(features)
    assert all(map(torch.equal, scores[1:] + deltas[1:], plain_scores[1:] + plain_deltas[1:]))
    fine = light.fine_head
    conv = fine.cls_convs[0].conv
    tower = torch.nn.functional.conv2d(features[0], conv.weight, conv.bias, padding=1).relu()
    torch.testing.assert_close(scores[0], fine.retina_cls(tower))
    assert len(fine.cls_convs) == 1 and conv.out_channels == 4
    assert deltas[0].shape == (1, 24, 16, 16)


def test_as_wide_and_with_the_same_weights_it_is_a_retina_head():
    light, plain = make_heads(fine_feat_channels=8, fine_stacked_convs=2)
    light.fine_head.load_state_dict(plain.state_dict())
    features, sample = make_features(), DetDataSample(metainfo=META)
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[8.0, 8, 20, 20]]), labels=torch.tensor([0])
    )
    assert light.loss(features, [sample]) == plain.loss(features, [sample])
    found, expected = (head.predict(features, [sample])[0] for head in (light, plain))
    assert torch.equal(found.bboxes, expected.bboxes) and len(found) > 5
    assert torch.equal(found.scores, expected.scores)


def test_starts_from_rare_lesions_on_all_levels():
    light, _ = make_heads()
    for scores in light(make_features())[0]:
        assert scores.sigmoid().mean().item() == pytest.approx(0.01, rel=0.1)


def test_both_parts_learn():
    light, _ = make_heads()
    sample = DetDataSample(metainfo=META)
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[8.0, 8, 16, 16], [10, 10, 60, 60]]), labels=torch.tensor([0, 0])
    )
    losses = light.loss(make_features(), [sample])
    sum(sum(values) for values in losses.values()).backward()
    assert all(p.grad is not None and p.grad.any() for p in light.parameters())


def test_refuses_unknown_options():
    with pytest.raises(TypeError):
        LightP2RetinaHead(**SETTINGS, fine_channels=3)
