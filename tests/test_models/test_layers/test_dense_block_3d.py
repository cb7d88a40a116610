import pytest
import torch
from torch import nn

from mmlesion.models.layers import DenseBlock3D, pre_act_conv3d


def test_normalization_comes_first_then_relu():
    conv = pre_act_conv3d(1, 1, 1).eval()
    nn.init.constant_(conv.conv.weight, 2)
    conv.bn.running_mean.fill_(1)
    x = torch.tensor([-3.0, 1.0, 4.0]).reshape(3, 1, 1, 1, 1)
    expected = torch.tensor([0.0, 0.0, 6.0]) / (1 + conv.bn.eps) ** 0.5
    torch.testing.assert_close(conv(x).flatten(), expected)


def test_transposed_doubles_the_size_without_overlap():
    conv = pre_act_conv3d(1, 1, 2, transposed=True).eval()
    nn.init.ones_(conv.conv.weight)
    x = torch.rand(1, 1, 2, 3, 4)
    expected = nn.functional.interpolate(x, scale_factor=2) / (1 + conv.bn.eps) ** 0.5
    torch.testing.assert_close(conv(x), expected)


@pytest.mark.parametrize('keep_input, channels', [(True, 8 + 3 * 4), (False, 3 * 4)])
def test_what_is_concatenated(keep_input, channels):
    block = DenseBlock3D(8, growth_rate=4, num_bottlenecks=3, keep_input=keep_input).eval()
    x = torch.randn(2, 8, 3, 4, 5)
    out = block(x)
    assert out.shape == (2, channels, 3, 4, 5) and block.out_channels == channels
    assert torch.equal(out[:, :8], x) == keep_input
    first = block.bottlenecks[0](x)
    second = block.bottlenecks[1](torch.cat([x, first], 1))
    third = block.bottlenecks[2](torch.cat([x, first, second], 1))
    assert torch.equal(out[:, -12:], torch.cat([first, second, third], 1))


def test_widths_of_a_bottleneck():
    bottleneck = DenseBlock3D(32).bottlenecks[1]
    shapes = [tuple(layer.conv.weight.shape) for layer in bottleneck]
    assert shapes == [(64, 48, 1, 1, 1), (16, 64, 3, 3, 3)]
