"""The operators on slices, against the 2D convolution and against plain loops."""

import pytest
import torch
from mmcv.cnn import build_conv_layer
from torch import nn
from torch.nn import functional as F

import mmlesion  # noqa: F401 (registers mmlesion's components)
from mmlesion.utils import UserError

OPERATORS = ('A3DConv', 'AlignShiftConv', 'TSMConv', 'I3DConv', 'ACSConv')
NUM_SLICES = 5


def build(name, conv, num_slices=NUM_SLICES, **options):
    """An operator with the options and weights of a 2D convolution."""
    layer = build_conv_layer(
        dict(type=name, num_slices=num_slices, **options), conv.in_channels, conv.out_channels,
        conv.kernel_size, stride=conv.stride, padding=conv.padding, dilation=conv.dilation,
        groups=conv.groups, bias=conv.bias is not None,
    )  # fmt: skip
    layer.load_state_dict(conv.state_dict(), strict=False)
    if name == 'AlignShiftConv':
        layer.slice_distance = torch.tensor([2.0, 5.0])
    return layer


@pytest.fixture(
    params=[
        dict(),
        dict(stride=2),
        dict(padding=2, dilation=2, bias=False),
        dict(groups=2),
        dict(padding=0),
    ],
    ids=str,
)
def conv(request):
    torch.manual_seed(0)
    return nn.Conv2d(16, 12, 3, **{'padding': 1, **request.param})


@pytest.fixture
def slices():
    torch.manual_seed(1)
    return torch.rand(2 * NUM_SLICES, 16, 9, 11)


@pytest.mark.parametrize('name', OPERATORS[1:4])
def test_equal_slices_give_the_2d_convolution(name, conv):
    image = torch.rand(2, 16, 9, 11)
    out = build(name, conv)(image.repeat_interleave(NUM_SLICES, 0))
    torch.testing.assert_close(out, conv(image).repeat_interleave(NUM_SLICES, 0))


def test_a3d_begins_as_the_2d_convolution_of_each_slice(conv, slices):
    torch.testing.assert_close(build('A3DConv', conv)(slices), conv(slices))
    noisy = build('A3DConv', conv, noise=0.1)
    assert 0.05 < (noisy.mixing - build('A3DConv', conv).mixing).abs().max() <= 0.1
    assert not torch.allclose(noisy(slices), conv(slices), atol=1e-3)


def test_a3d_by_loops(conv, slices):
    layer = build('A3DConv', conv, noise=1.0)
    mixed = torch.zeros_like(slices)
    for sample in range(2):
        for out in range(NUM_SLICES):
            for source in range(NUM_SLICES):
                mixed[sample * NUM_SLICES + out] += (
                    layer.mixing[source, out, :, None, None] * slices[sample * NUM_SLICES + source]
                )
    torch.testing.assert_close(layer(slices), conv(mixed), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('zero_padding', [False, True])
def test_tsm_by_loops(zero_padding, conv, slices):
    """16 channels: 0 and 1 from the next slice, 2 and 3 from the one before."""
    x = slices.unflatten(0, (2, NUM_SLICES))
    shifted = x.clone()
    for index in range(NUM_SLICES):
        for channels, other in ((slice(0, 2), index + 1), (slice(2, 4), index - 1)):
            if 0 <= other < NUM_SLICES:
                shifted[:, index, channels] = x[:, other, channels]
            elif zero_padding:
                shifted[:, index, channels] = 0
    out = build('TSMConv', conv, zero_padding=zero_padding)(slices)
    torch.testing.assert_close(out, conv(shifted.flatten(0, 1)))


def test_alignshift_is_tsm_on_thin_slices_and_a_part_of_it_on_thick_ones(conv, slices):
    layer, tsm = build('AlignShiftConv', conv), build('TSMConv', conv)
    layer.slice_distance = torch.tensor([1.0, 2.0])
    torch.testing.assert_close(layer(slices), tsm(slices))
    layer.slice_distance = torch.tensor([5.0, 2.0])
    thick, thin = layer(slices).chunk(2)
    plain = conv(slices).chunk(2)[0]
    shifted = tsm(slices).chunk(2)
    torch.testing.assert_close(thick, plain + 0.4 * (shifted[0] - plain))  # r / t = 2 / 5
    torch.testing.assert_close(thin, shifted[1])


def test_alignshift_without_the_distance_says_what_to_do(conv, slices):
    layer = build('AlignShiftConv', conv)
    layer.slice_distance = None
    with pytest.raises(UserError, match='SliceContextDataPreprocessor'):
        layer(slices)


def test_i3d_away_from_the_ends(conv, slices):
    """A third of the filter on each of three slices."""
    out = build('I3DConv', conv)(slices).unflatten(0, (2, NUM_SLICES))
    x = slices.unflatten(0, (2, NUM_SLICES))
    mean = (x[:, 1:4] + x[:, :3] + x[:, 2:]) / 3
    expected = conv(mean.flatten(0, 1)).unflatten(0, (2, 3))
    torch.testing.assert_close(out[:, 1:4], expected)
    zeros = build('I3DConv', conv, zero_padding=True)(slices).unflatten(0, (2, NUM_SLICES))
    torch.testing.assert_close(zeros[:, 1:4], expected)
    assert not torch.allclose(zeros[:, 0], out[:, 0])


def test_acs_is_three_2d_convolutions_of_three_planes(slices):
    conv = nn.Conv2d(16, 14, 3, padding=1)
    out = build('ACSConv', conv)(slices).unflatten(0, (2, NUM_SLICES))
    volume = slices.unflatten(0, (2, NUM_SLICES))  # (n, z, c, y, x)
    by_view = dict(zip('zyx', (slice(0, 6), slice(6, 10), slice(10, 14))))
    axes = dict(
        z='nzcyx', y='nyczx', x='nxczy'
    )  # planes of a view: slices, channels, rows, columns
    for view, channels in by_view.items():
        planes = torch.einsum(f'nzcyx->{axes[view]}', volume)
        weight, bias = conv.weight[channels], conv.bias[channels]
        flat = F.conv2d(planes.flatten(0, 1), weight, bias, padding=1)
        seen = torch.einsum(f'{axes[view]}->nzcyx', flat.unflatten(0, planes.shape[:2]))
        torch.testing.assert_close(out[:, :, channels], seen)


@pytest.mark.parametrize('name', OPERATORS)
def test_sizes_gradients_and_a_single_slice(name, conv, slices):
    layer = build(name, conv)
    out = layer(slices)
    assert out.shape == conv(slices).shape
    out.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in layer.parameters())
    if name != 'ACSConv':
        single = build(name, conv, num_slices=1)
        single.slice_distance = torch.full((len(slices),), 3.0)
        torch.testing.assert_close(single(slices), conv(slices))


@pytest.mark.parametrize('name', OPERATORS)
def test_pointwise(name, slices):
    conv = nn.Conv2d(16, 8, 1)
    image = slices[:1].repeat(NUM_SLICES, 1, 1, 1)
    layer = build(name, conv)
    layer.slice_distance = torch.tensor([4.0])
    torch.testing.assert_close(layer(image), conv(image))


@pytest.mark.parametrize('name', ['A3DConv', 'I3DConv'])
def test_a_batch_without_whole_samples(name, conv, slices):
    with pytest.raises(UserError, match='9 slices holds no whole samples of 5'):
        build(name, conv)(slices[:9])


@pytest.mark.parametrize(
    'name, options, message',
    [
        ('A3DConv', dict(num_slices=0), 'num_slices must be at least 1'),
        ('TSMConv', dict(n_fold=1), 'n_fold must be at least 2'),
        ('AlignShiftConv', dict(ref_thickness=0.0), 'ref_thickness must be positive'),
        ('I3DConv', dict(depth=2), 'depth must be odd'),
    ],
)
def test_wrong_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        build(name, nn.Conv2d(8, 8, 3), **options)


def test_acs_filters():
    with pytest.raises(ValueError, match='square filters of odd size'):
        build('ACSConv', nn.Conv2d(8, 8, (3, 1)))
    with pytest.raises(ValueError, match='3 output channels in a group'):
        build('ACSConv', nn.Conv2d(8, 8, 3, groups=8))
