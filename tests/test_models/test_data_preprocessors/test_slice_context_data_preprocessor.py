"""The distance of slices on its way to AlignShift, in mmdet's own detectors."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.hub import get_config
from mmengine.structures import InstanceData

from mmlesion.models import SliceContextDataPreprocessor
from mmlesion.utils import UserError

OPTIONS = dict(mean=[100.0], std=[50.0], bgr_to_rgb=False, pad_size_divisor=32)


def sample(**metainfo):
    truth = InstanceData(bboxes=torch.tensor([[10.0, 10, 40, 40]]), labels=torch.tensor([0]))
    meta = dict(img_shape=(64, 64), scale_factor=(1.0, 1.0), **metainfo)
    return DetDataSample(gt_instances=truth, metainfo=meta)


def batch(*distances, side=64):
    images = [torch.full((3, side, side), 200.0) for _ in distances]
    samples = [sample(slice_distance=distance) for distance in distances]
    return dict(inputs=images, data_samples=samples)


def test_the_distance_is_the_last_channel_and_not_normalized():
    data = SliceContextDataPreprocessor(**OPTIONS)(batch(2.0, 5.5, side=50))
    assert data['inputs'].shape == (2, 4, 64, 64)
    assert (data['inputs'][:, :3, :50, :50] == 2).all()
    assert (data['inputs'][0, 3] == 2.0).all() and (data['inputs'][1, 3] == 5.5).all()


@pytest.mark.parametrize('samples', [None, [sample(img_path='a.png')]])
def test_without_a_distance_says_what_to_do(samples):
    data = dict(inputs=[torch.zeros(3, 64, 64)], data_samples=samples)
    with pytest.raises(UserError, match='meta_keys of PackDetInputs'):
        SliceContextDataPreprocessor(**OPTIONS)(data)


@pytest.mark.parametrize('name', ['faster_rcnn/faster-rcnn_r50', 'retinanet/retinanet_r50'])
def test_alignshift_trains_and_tests_in_mmdets_detectors(name):
    register_all_modules()
    cfg = get_config(f'mmdet::{name}_fpn_1x_coco.py').model
    cfg.data_preprocessor = dict(OPTIONS, type='SliceContextDataPreprocessor')
    resnet = dict(type='ResNet', depth=18, base_channels=8, stem_channels=8)
    cfg.backbone = dict(type='SliceContextBackbone', backbone=resnet, conv='AlignShift')
    cfg.neck.in_channels = [8, 16, 32, 64]
    detector = MODELS.build(cfg)
    data = detector.data_preprocessor(batch(2.0, 5.0), training=True)
    total, _ = detector.parse_losses(detector(**data, mode='loss'))
    total.backward()
    assert torch.isfinite(total)
    assert detector.backbone.backbone.layer4[0].conv2.weight.grad.abs().sum() > 0
    detector.eval()
    with torch.no_grad():
        assert len(detector.test_step(batch(2.0, 5.0))) == 2
