from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from mmlesion.models import DenseUNet3D

# Table I of the paper, for a crop of 128 voxels: voxels on a side, and channels where it has them.
TABLE_1 = {
    'pre_block': (64, 32),
    'encode.0': (64, 64),
    'encode_transition.0': (32, 32),
    'encode.1': (32, 64),
    'encode_transition.1': (16, 32),
    'encode.2': (16, 64),
    'encode_transition.2': (8, 32),
    'upsample.1': (16, 32),
    'decode.1': (16, 64),
    'decode_transition.1': (16, 32),
    'upsample.0': (32, 32),
    'decode.0': (32, 64),
    'decode_transition.0': (32, 32),
}


@torch.no_grad()
def test_shapes_of_table_1():
    with torch.device('meta'):
        net = DenseUNet3D().eval()
    shapes = {}

    def note(name, module, args, out):
        shapes[name] = tuple(out.shape)

    for name in TABLE_1:
        net.get_submodule(name).register_forward_hook(partial(note, name))
    levels = net(torch.empty(1, 1, 128, 128, 128, device='meta'))
    expected = {name: (1, channels, *[side] * 3) for name, (side, channels) in TABLE_1.items()}
    assert list(shapes.items()) == list(expected.items())  # in this order
    assert [tuple(level.shape) for level in levels] == [(1, 32, *[n] * 3) for n in (32, 16, 8)]


def test_layers_of_table_1():
    net = DenseUNet3D()

    def convolutions(module):
        kinds = nn.Conv3d, nn.ConvTranspose3d, nn.MaxPool3d, nn.AvgPool3d
        layers = [layer for layer in module.modules() if isinstance(layer, kinds)]
        return [(type(layer).__name__, np.unique(layer.kernel_size).item()) for layer in layers]

    block = [('Conv3d', 1), ('Conv3d', 3)] * 2
    assert convolutions(net.pre_block) == [('Conv3d', 3), ('Conv3d', 3), ('MaxPool3d', 2)]
    assert all(convolutions(module) == block for module in [*net.encode, *net.decode])
    for module in net.encode_transition:
        assert convolutions(module) == [('Conv3d', 1), ('AvgPool3d', 2)]
    for module in net.upsample:
        assert convolutions(module) == [('ConvTranspose3d', 2), ('Conv3d', 1)]
    for module in net.decode_transition:
        assert convolutions(module) == [('Conv3d', 1)]
    for module in [*net.encode, *net.decode]:
        assert [bottleneck[1].out_channels for bottleneck in module.bottlenecks] == [16, 16]


def test_levels_see_the_encoder_and_the_coarser_level():
    torch.manual_seed(0)
    net = DenseUNet3D(growth_rate=4, stem_channels=8, out_channels=8).eval()
    x = torch.randn(1, 1, 32, 32, 32)
    seen = {}
    hook = net.encode[1].register_forward_hook(lambda module, args, out: out.zero_())
    seen['skip'] = net(x)
    hook.remove()
    plain = net(x)
    assert not torch.allclose(seen['skip'][0], plain[0])
    # weights of the deconvolution at zero: the level no longer depends on the coarser one
    for stage in net.upsample:
        nn.init.zeros_(stage.deconv.conv.weight)
    hook = net.encode_transition[2].register_forward_hook(lambda module, args, out: out + 1)
    without = net(x)
    hook.remove()
    again = net(x)
    assert torch.equal(without[0], again[0]) and not torch.equal(without[2], again[2])


def test_other_channels_and_options():
    net = DenseUNet3D(2, growth_rate=4, num_bottlenecks=3, stem_channels=6, out_channels=10)
    levels = net(torch.randn(2, 2, 16, 32, 48))
    assert [tuple(x.shape) for x in levels] == [
        (2, 10, 4, 8, 12),
        (2, 10, 2, 4, 6),
        (2, 10, 1, 2, 3),
    ]


def test_sides_that_are_no_multiples_are_refused():
    with pytest.raises(ValueError, match=r'multiples of 16 voxels, not \(16, 24, 32\)'):
        DenseUNet3D()(torch.zeros(1, 1, 16, 24, 32))


def test_a_gradient_for_every_weight():
    net = DenseUNet3D(growth_rate=4, stem_channels=8, out_channels=8)
    net.init_weights()
    sum(level.square().mean() for level in net(torch.randn(2, 1, 32, 32, 32))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
