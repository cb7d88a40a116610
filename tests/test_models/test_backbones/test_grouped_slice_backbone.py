import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.hub import get_config
from mmengine.structures import InstanceData

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
