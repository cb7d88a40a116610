import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.hub import get_config
from mmengine.structures import InstanceData

from mmlesion.datasets.transforms import LoadCTSlicesFromVolume
from mmlesion.models import GroupedSliceBackbone
from mmlesion.utils import UserError

RESNET = dict(type='ResNet', depth=18, base_channels=8, stem_channels=8)


def test_is_three_separate_calls_side_by_side():
    torch.manual_seed(0)
    grouped = GroupedSliceBackbone(RESNET).eval()
    slices = torch.rand(2, 9, 64, 96)
    outs = grouped(slices)
    separate = [grouped.backbone(group) for group in slices.split(3, dim=1)]
    assert [tuple(out.shape) for out in outs] == [
        (2, 24, 16, 24),
        (2, 48, 8, 12),
        (2, 96, 4, 6),
        (2, 192, 2, 3),
    ]
    for out, parts in zip(outs, zip(*separate)):
        torch.testing.assert_close(out, torch.cat(parts, dim=1))


def test_groups_of_other_sizes():
    grouped = GroupedSliceBackbone(dict(RESNET, in_channels=1), num_groups=5)
    assert grouped(torch.rand(1, 5, 32, 32))[0].shape[1] == 40
    with pytest.raises(ValueError, match='num_groups must be at least 1'):
        GroupedSliceBackbone(RESNET, num_groups=0)


@pytest.mark.parametrize('channels', [3, 7, 18])
def test_other_numbers_of_channels_say_what_to_do(channels):
    grouped = GroupedSliceBackbone(RESNET)
    with pytest.raises(UserError, match=f'images of 9 channels.*but got {channels}.*num_slices=9'):
        grouped(torch.rand(1, channels, 32, 32))


def test_loads_weights_into_the_shared_backbone(tmp_path):
    weights = MODELS.build(RESNET)
    torch.nn.init.constant_(weights.conv1.weight, 0.25)
    torch.save(weights.state_dict(), tmp_path / 'resnet.pth')
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'resnet.pth'))
    grouped = GroupedSliceBackbone(dict(RESNET, init_cfg=pretrained))
    grouped.init_weights()
    assert (grouped.backbone.conv1.weight == 0.25).all()


@pytest.fixture(scope='module')
def detector():
    """mmdet's stock Faster R-CNN with the two parts and small layers."""
    register_all_modules()
    cfg = get_config('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py').model
    cfg.data_preprocessor.update(mean=[0.0], std=[255.0], bgr_to_rgb=False)
    channels = [8, 16, 32, 64]
    cfg.backbone = dict(type='GroupedSliceBackbone', backbone=RESNET)
    cfg.neck.in_channels = channels
    cfg.neck = [dict(type='SliceGroupFusion', in_channels=channels), cfg.neck]
    return MODELS.build(cfg)


def batch(channels):
    sample = DetDataSample(metainfo=dict(img_shape=(64, 64), scale_factor=(1.0, 1.0)))
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[10.0, 10, 40, 40]]), labels=torch.tensor([0])
    )
    image = torch.randint(0, 256, (channels, 64, 64), dtype=torch.uint8)
    return dict(inputs=[image], data_samples=[sample])


def test_trains_in_mmdets_faster_rcnn(detector):
    torch.manual_seed(0)
    losses = detector(**detector.data_preprocessor(batch(9), training=True), mode='loss')
    total, values = detector.parse_losses(losses)
    assert torch.isfinite(total)
    total.backward()
    fusion, backbone = detector.neck[0], detector.backbone.backbone
    for parameter in (*fusion.parameters(), backbone.layer4[0].conv1.weight):
        assert parameter.grad.abs().sum() > 0


def test_three_channels_in_mmdets_faster_rcnn_say_what_to_do(detector):
    with pytest.raises(UserError, match='bgr_to_rgb=False'):
        detector(**detector.data_preprocessor(batch(3), training=True), mode='loss')


def key_slices(volume, interval):
    """Nine slices at 2 mm around each slice of a volume, as LoadCTSlices makes them."""
    load = LoadCTSlicesFromVolume(num_slices=9)
    images = []
    for index in range(len(volume)):
        sample = dict(volume=volume, slice_index=index, slice_interval=interval)
        images.append(torch.from_numpy(load(sample)['img']).permute(2, 0, 1) / 1000)
    return torch.stack(images)


FUSED = dict(
    type='TruncatedDenseNet', block_layers=(2, 2, 2), growth_rate=8, num_groups=3,
    fusion_indices=(1, 2),
)  # fmt: skip


@pytest.mark.parametrize(
    'cfg',
    [RESNET, FUSED, dict(FUSED, fusion_indices=(0, 2)), dict(FUSED, fusion_indices=())],
    ids=['resnet', 'fused', 'fused early', 'not fused'],
)
def test_shared_features_are_those_of_each_slice(cfg):
    """At 1 and 3 mm each group is in up to three key slices; at 5 mm none is in two."""
    torch.manual_seed(0)
    grouped = GroupedSliceBackbone(cfg)
    for fusion in grouped.modules():
        if isinstance(fusion, torch.nn.Conv2d) and fusion.kernel_size == (1, 1):
            torch.nn.init.normal_(fusion.weight, std=0.1)  # not the identity of the central group
    grouped.eval()
    volume = np.random.default_rng(0).normal(0, 500, (14, 64, 64)).astype(np.float32)
    for interval, most in ((1.0, 26), (3.0, 18), (5.0, 42)):
        images = key_slices(volume, interval)
        grouped.share_features(16)
        with torch.no_grad():
            batches = [grouped(batch) for batch in images.split(4)]
            computed = grouped.cache.computed
            grouped.share_features(0)
            for one, outs in zip(images.split(4), batches):
                for out, expected in zip(outs, grouped(one)):
                    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)
        assert 14 < computed <= most


def test_features_are_not_kept_in_training():
    grouped = GroupedSliceBackbone(RESNET)
    grouped.share_features(8)
    images = torch.rand(2, 9, 32, 32)
    assert grouped(images)[0].requires_grad and grouped.cache.computed == 0


def test_features_are_kept_by_option_until_the_weights_may_change():
    torch.manual_seed(0)
    grouped = GroupedSliceBackbone(RESNET, feature_cache=8)
    grouped.eval()
    images = torch.rand(1, 9, 32, 32)
    state = {name: values.clone() for name, values in grouped.state_dict().items()}
    with torch.no_grad():
        first = grouped(images)
        assert torch.equal(grouped(images)[-1], first[-1]) and grouped.cache.computed == 3
        for values in grouped.state_dict().values():
            values.mul_(2)  # as an optimizer does, in place
        grouped.train()
        grouped.eval()
        changed = grouped(images)
        assert not torch.equal(changed[-1], first[-1]) and grouped.cache.computed == 6
        grouped.load_state_dict(state)
        torch.testing.assert_close(grouped(images), first)
    assert grouped.cache.computed == 9
    # a user for whom more are kept gives back what the option says
    grouped.share_features(20)
    grouped.share_features(0)
    assert grouped.cache.size == 8


def test_a_cache_of_fewer_than_no_groups():
    with pytest.raises(UserError, match='feature_cache must be 0 or more groups, not -1'):
        GroupedSliceBackbone(RESNET, feature_cache=-1)
