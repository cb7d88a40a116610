import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmlesion.models.layers import (
    DARTS_OPERATIONS,
    OPERATIONS,
    NonLocalRelation,
    build_operation,
)
from mmlesion.utils import UserError

CHANNELS = 6


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.randn(5, CHANNELS, 7, 7)


def relu_conv_bn(x, weights, norm, dilation=1):
    """ReLU, convolutions one upon the other, BN of a batch, all written out."""
    x = x.clamp(min=0)
    for weight in weights:
        groups = len(weight) if weight.shape[1] == 1 else 1
        height, width = weight.shape[2:]
        padding = dilation * (height // 2), dilation * (width // 2)
        x = F.conv2d(x, weight, padding=padding, dilation=dilation, groups=groups)
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, unbiased=False)
    scale, shift = norm.weight[:, None, None], norm.bias[:, None, None]
    return (x - mean) / (var + norm.eps).sqrt() * scale + shift


def parts(operation):
    """The weights of convolutions and the norms of an operation, in their order."""
    weights = [m.weight for m in operation.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in operation.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return weights, norms


def test_the_nine_operations():
    assert OPERATIONS == (
        'none',
        'skip_connect',
        'avg_pool_3x3',
        'sep_conv_3x3',
        'sep_conv_5x5',
        'sep_conv_1x3_3x1',
        'atrous_conv_3x3_r3',
        'atrous_conv_3x3_r5',
        'non_local',
    )


def test_the_eight_operations_of_darts():
    assert DARTS_OPERATIONS == (
        'none',
        'skip_connect',
        'avg_pool_3x3',
        'max_pool_3x3',
        'double_sep_conv_3x3',
        'double_sep_conv_5x5',
        'dil_sep_conv_3x3',
        'dil_sep_conv_5x5',
    )


@pytest.mark.parametrize('name', dict.fromkeys(OPERATIONS + DARTS_OPERATIONS))
def test_keeps_shape_and_input(name, x):
    before = x.clone()
    for size in (7, 4, 2, 1):
        part = x[..., :size, :size]
        assert build_operation(name, CHANNELS)(part, [2, 3]).shape == part.shape
    assert torch.equal(x, before)


def test_none_and_skip(x):
    assert torch.equal(build_operation('none', CHANNELS)(x, [5]), torch.zeros_like(x))
    assert torch.equal(build_operation('skip_connect', CHANNELS)(x, [5]), x)


def test_average_pool(x):
    out = build_operation('avg_pool_3x3', CHANNELS)(x, [5])
    torch.testing.assert_close(out[..., 3, 2], x[..., 2:5, 1:4].mean((2, 3)))
    torch.testing.assert_close(out[..., 0, 6], x[..., :2, 5:].mean((2, 3)))  # no padding in it


def test_max_pool(x):
    out = build_operation('max_pool_3x3', CHANNELS)(x, [5])
    assert torch.equal(out[..., 3, 2], x[..., 2:5, 1:4].amax((2, 3)))
    assert torch.equal(out[..., 0, 6], x[..., :2, 5:].amax((2, 3)))


@pytest.mark.parametrize('size', [3, 5])
def test_separable_twice(size, x):
    operation = build_operation(f'double_sep_conv_{size}x{size}', CHANNELS)
    weights, norms = parts(operation)
    assert [weight.shape for weight in weights] == [(6, 1, size, size), (6, 6, 1, 1)] * 2
    middle = relu_conv_bn(x, weights[:2], norms[0])
    torch.testing.assert_close(operation(x, [5]), relu_conv_bn(middle, weights[2:], norms[1]))


@pytest.mark.parametrize('size', [3, 5])
def test_dilated_separable(size, x):
    operation = build_operation(f'dil_sep_conv_{size}x{size}', CHANNELS)
    (depthwise, pointwise), (norm,) = parts(operation)
    # the dilation spreads the depthwise kernel alone
    spread = torch.zeros(CHANNELS, 1, 2 * size - 1, 2 * size - 1)
    spread[..., ::2, ::2] = depthwise
    expected = relu_conv_bn(x, [spread, pointwise], norm)
    torch.testing.assert_close(operation(x, [5]), expected)


@pytest.mark.parametrize('size', [3, 5])
def test_separable(size, x):
    operation = build_operation(f'sep_conv_{size}x{size}', CHANNELS)
    weights, (norm,) = parts(operation)
    assert [weight.shape for weight in weights] == [(6, 1, size, size), (6, 6, 1, 1)]
    torch.testing.assert_close(operation(x, [5]), relu_conv_bn(x, weights, norm))


def test_asymmetric(x):
    operation = build_operation('sep_conv_1x3_3x1', CHANNELS)
    weights, norms = parts(operation)
    shapes = [(6, 1, 1, 3), (6, 6, 1, 1), (6, 1, 3, 1), (6, 6, 1, 1)]
    assert [weight.shape for weight in weights] == shapes
    middle = relu_conv_bn(x, weights[:2], norms[0])
    torch.testing.assert_close(operation(x, [5]), relu_conv_bn(middle, weights[2:], norms[1]))


@pytest.mark.parametrize('rate', [3, 5])
def test_atrous(rate, x):
    operation = build_operation(f'atrous_conv_3x3_r{rate}', CHANNELS)
    weights, (norm,) = parts(operation)
    assert [weight.shape for weight in weights] == [(6, 6, 3, 3)]
    expected = relu_conv_bn(x, weights, norm, dilation=rate)
    torch.testing.assert_close(operation(x, [5]), expected)
    # a tap of the kernel is `rate` px away
    impulse = torch.zeros(1, CHANNELS, 11, 11)
    impulse[..., 5, 5] = 1
    seen = operation.eval()(impulse, [1]) != operation(torch.zeros_like(impulse), [1])
    reached = seen.any(1)[0].nonzero()
    assert set(reached.flatten().tolist()) == {5 - rate, 5, 5 + rate}


def test_evaluation_uses_running_statistics(x):
    operation = build_operation('atrous_conv_3x3_r3', CHANNELS)
    (weight,), (norm,) = parts(operation)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    convolved = F.conv2d(x.clamp(min=0), weight, padding=3, dilation=3)
    expected = F.batch_norm(
        convolved, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
    )
    torch.testing.assert_close(operation.eval()(x, [5]), expected, rtol=1e-4, atol=1e-5)


def test_non_local():
    assert isinstance(build_operation('non_local', CHANNELS), NonLocalRelation)


def test_unknown_operation():
    with pytest.raises(UserError, match="no operation 'pool'.*none, skip_connect, avg_pool"):
        build_operation('pool', CHANNELS)
