from types import SimpleNamespace

import pytest
import torch
from mmcv.ops import RoIAlign
from torch import nn

from mmlesion.engine import AutocastModulesHook
from mmlesion.utils import UserError


class Detector(nn.Module):
    """A backbone of two levels and a head, as their calls follow in a detector."""

    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.head = nn.Linear(8, 1)

    def forward(self, images):
        levels = self.backbone(images)
        return levels, self.head(levels[0].mean((2, 3)))


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.seen = []

    def forward(self, images):
        features = self.first(images)
        self.seen.append(features.dtype)
        return features, self.second(features)


@pytest.fixture
def detector():
    torch.manual_seed(0)
    return Detector()


def wrap(detector, **options):
    AutocastModulesHook(modules=['backbone'], **options).before_run(SimpleNamespace(model=detector))
    return detector


@pytest.mark.parametrize('channels_last', [True, False])
def test_convolutions_run_in_bfloat16_and_the_rest_in_float32(detector, channels_last):
    images = torch.randn(2, 3, 16, 16)
    plain, score = detector(images)
    wrap(detector, channels_last=channels_last)
    low, low_score = detector(images)
    assert detector.backbone.seen == [torch.float32, torch.bfloat16]
    for level, low_level in zip(plain, low):
        assert low_level.dtype == torch.float32
        error = (level - low_level).norm() / level.norm()
        assert 1e-5 < error < 1e-2  # bfloat16 has 8 bits
    torch.testing.assert_close(score, low_score, atol=1e-2, rtol=1e-2)
    assert {parameter.dtype for parameter in detector.parameters()} == {torch.float32}


def test_features_are_channels_first_for_roi_align(detector):
    """mmcv's RoIAlign reads a tensor in another order as if it were channels first."""
    rois = torch.tensor([[0.0, 2.0, 2.0, 12.0, 10.0]])
    pool = RoIAlign(2, sampling_ratio=2)
    images = torch.randn(1, 3, 16, 16)
    expected = pool(detector.backbone(images)[0], rois)
    found = pool(wrap(detector).backbone(images)[0], rois)
    torch.testing.assert_close(found, expected, atol=3e-2, rtol=3e-2)


def test_gradients_reach_the_weights(detector):
    images = torch.randn(2, 3, 16, 16)
    detector(images)[1].sum().backward()
    expected = detector.backbone.first.weight.grad.clone()
    detector.zero_grad()
    wrap(detector)(images)[1].sum().backward()
    found = detector.backbone.first.weight.grad
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize('channels_last', [True, False])
def test_volumes(channels_last):
    model = nn.Sequential()
    model.backbone = nn.Conv3d(2, 4, 3)
    volumes = torch.randn(2, 2, 6, 8, 10)
    expected = model.backbone(volumes)
    wrap(model, channels_last=channels_last)
    found = model.backbone(volumes)
    assert found.is_contiguous()
    last = model.backbone.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert last is channels_last
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)


def test_modules_are_as_before_when_the_run_has_ended(detector):
    runner, hook = SimpleNamespace(model=detector), AutocastModulesHook(modules=['backbone'])
    for _ in range(2):  # a test after a training
        hook.before_run(runner)
        detector(torch.randn(1, 3, 8, 8))
        hook.after_run(runner)
    detector(torch.randn(1, 3, 8, 8))
    half, single = torch.bfloat16, torch.float32
    assert detector.backbone.seen == [half, half, single]


def test_a_module_that_is_missing_is_named(detector):
    hook = AutocastModulesHook(modules=['spine'])
    with pytest.raises(UserError, match="no module 'spine'"):
        hook.before_run(SimpleNamespace(model=detector))
