import pytest
import torch
from torch.nn import functional as F

from mmlesion.models import SliceFusionFPN


def levels(num_groups=3):
    torch.manual_seed(0)
    return tuple(torch.randn(2, num_groups * c, s, s) for c, s in ((2, 12), (3, 6), (5, 3)))


def neck(num_groups=3):
    torch.manual_seed(1)
    neck = SliceFusionFPN([2, 3, 5], 4, num_groups)
    for parameter in neck.parameters():
        torch.nn.init.normal_(parameter)
    return neck


def plain(neck, inputs):
    """A top-down path for each group, then the fusion of their maps."""
    groups = []
    for features in zip(*(level.chunk(neck.num_groups, 1) for level in inputs)):
        x = None
        for lateral, level in reversed(list(zip(neck.laterals, features))):
            x = lateral(level) + (0 if x is None else F.interpolate(x, scale_factor=2))
        groups.append(x)
    return neck.fusion(torch.cat(groups, 1))


@pytest.mark.parametrize('num_groups', [1, 2, 3])
def test_equals_a_path_for_each_group_and_their_fusion(num_groups):
    net, inputs = neck(num_groups), levels(num_groups)
    (out,) = net(inputs)
    assert out.shape == (2, 4, 12, 12)
    torch.testing.assert_close(out, plain(net, inputs), rtol=1e-4, atol=1e-4)


def test_gradients_equal_those_of_the_plain_form():
    net, inputs = neck().double(), [level.double() for level in levels()]
    fast = torch.autograd.grad(net(inputs)[0].square().sum(), list(net.parameters()))
    slow = torch.autograd.grad(plain(net, inputs).square().sum(), list(net.parameters()))
    for a, b in zip(fast, slow):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('inputs', [levels(2), levels()[:2], levels()[::-1]])
def test_other_levels_and_channels_are_refused(inputs):
    with pytest.raises(ValueError, match=r'takes levels of \[6, 9, 15\] channels'):
        neck()(inputs)
