from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn

from mmlesion.apis import LesionInferencer
from mmlesion.apis.inferencer import load_detector
from mmlesion.apis.speed import Speed
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils.configs import load_config

REPO = Path(__file__).parents[2]
NINE = REPO / 'configs/phantom/elixirnet/faster-rcnn_r18_fpn_9slices_phantom.py'
VOLUMES = REPO / 'configs/phantom/aggregated_rcnn3d/rpn3d_dense-unet_luna16-phantom.py'
SMALL = {
    'test_dataloader.dataset.pipeline.2.scale': (64, 64),
    'model.test_cfg.rcnn.max_per_img': 4,
    'model.test_cfg.rpn.max_per_img': 50,
}
SPEEDS = [Speed(channels_last=True), Speed(fuse_conv_bn=True), Speed(merge_fusion=False)]


def make_volume(interval, num_slices=8):
    array = np.random.default_rng(0).normal(0, 300, (num_slices, 64, 64))
    image = sitk.GetImageFromArray(array.clip(-1024, 2000).astype(np.int16))
    image.SetSpacing((1, 1, interval))
    return CTVolume(image)


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'detector.pth'
    model = load_detector(load_config(NINE, SMALL), None, 'cpu')
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # as trained: not the identity
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    torch.save(model.state_dict(), path)
    return path


def detect(weights, interval=2.0, **options):
    options = dict(dict(device='cpu', show_progress=False, cfg_options=SMALL), **options)
    inferencer = LesionInferencer(NINE, weights, **options)
    return inferencer, inferencer.detect_slices(make_volume(interval), 4, 0.0)


@pytest.mark.parametrize('interval', [1.0, 2.0, 5.0])
def test_chains_give_the_same_detections(weights, interval):
    _, alone = detect(weights, interval, feature_cache=0)
    _, chained = detect(weights, interval)
    np.testing.assert_array_equal(chained.slices, alone.slices)
    np.testing.assert_allclose(chained.boxes, alone.boxes, atol=1e-3)
    np.testing.assert_allclose(chained.scores, alone.scores, atol=1e-4)


def test_little_is_kept_whatever_the_interval(weights, monkeypatch):
    """At 1 mm a group comes back six slices later: in their own order 16 groups were too few."""
    from mmlesion.models.backbones import shared_features_backbone as module

    counts = []

    class Counted(module.FeatureCache):
        def __call__(self, images):
            out = super().__call__(images)
            counts.append(self.computed)
            return out

    monkeypatch.setattr(module, 'FeatureCache', Counted)
    inferencer = LesionInferencer(
        NINE, weights, cfg_options=SMALL, show_progress=False, device='cpu', feature_cache=3
    )
    inferencer.detect_slices(make_volume(1.0, 18), 4, 0.0)
    # groups of 18 key slices at most, and those beyond the ends of the volume
    assert counts[-1] < 18 + 2 * 9 < 3 * 18


@pytest.mark.parametrize('speed', SPEEDS)
def test_rounding_alone_differs(weights, speed):
    _, plain = detect(weights)
    inferencer, found = detect(weights, speed=speed)
    np.testing.assert_array_equal(found.slices, plain.slices)
    np.testing.assert_allclose(found.scores, plain.scores, atol=1e-4)
    names = [type(module).__name__ for module in inferencer.model.backbone.modules()]
    assert ('BatchNorm2d' in names) is not speed.fuse_conv_bn
    neck = inferencer.model.neck
    pyramid = neck if speed.merge_fusion else neck[1]
    weight = pyramid.fpn_convs[0].conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) is speed.channels_last


@pytest.mark.parametrize('speed', [Speed(channels_last=True), Speed(True, True)])
def test_volumes(speed):
    model = load_detector(load_config(VOLUMES), None, 'cpu')
    window = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        plain = model.extract_feat(window)
        speed.prepare(model)
        with speed.applied(model):
            found = model.extract_feat(window)
    weight = model.backbone.pre_block[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)
    rounding = 0.05 if speed.amp else 1e-5
    for level, expected in zip(found, plain):
        assert level.dtype == torch.float32 and level.is_contiguous()
        assert (level - expected).norm() < rounding * expected.norm()


def test_features_in_half_precision_heads_in_single(weights):
    inferencer = LesionInferencer(
        NINE, weights, speed=Speed(amp=True), cfg_options=SMALL, show_progress=False, device='cpu'
    )
    image = torch.randn(1, 9, 64, 64)
    model = inferencer.model
    types = []
    hook = model.backbone.register_forward_hook(lambda _, inputs, outs: types.append(outs[0].dtype))
    with torch.no_grad():
        exact = model.extract_feat(image)
        with inferencer.speed.applied(model):
            half = model.extract_feat(image)
    hook.remove()
    assert types == [torch.float32, torch.bfloat16]
    assert half[0].dtype == torch.float32
    assert 0 < (half[0] - exact[0]).abs().max() < 0.1 * exact[0].abs().max()
    with torch.no_grad():
        torch.testing.assert_close(model.extract_feat(image)[0], exact[0], rtol=0, atol=0)
