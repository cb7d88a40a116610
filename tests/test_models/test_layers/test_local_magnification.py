import pytest
import torch
from torch import nn

from mmlesion.models import LocalMagnification


def whole(magnify, x):
    """All of the magnified crop, by both rounds in full."""
    x = magnify.refine1(magnify.upsample1(x))
    return magnify.refine2(magnify.upsample2(x))


@torch.no_grad()
def test_output_of_table_1():
    assert LocalMagnification()(torch.randn(2, 32, 3, 3, 3)).shape == (2, 32, 5, 5, 5)


@pytest.mark.parametrize('crop_size, output_size', [(3, 5), (3, 7), (4, 5), (4, 11)])
@torch.no_grad()
def test_it_is_the_middle_of_the_whole(crop_size, output_size):
    torch.manual_seed(0)
    magnify = LocalMagnification(8, crop_size, output_size).eval()
    x = torch.randn(2, 8, *[crop_size] * 3)
    start = 2 * crop_size - 1 - output_size // 2
    cut = slice(start, start + output_size)
    torch.testing.assert_close(magnify(x), whole(magnify, x)[:, :, cut, cut, cut])


@pytest.mark.parametrize(
    'crop_size, output_size, reaches', [(3, 5, True), (5, 5, False), (5, 9, True), (6, 9, False)]
)
@torch.no_grad()
def test_whether_padding_reaches_the_result(crop_size, output_size, reaches):
    """Against the same voxels in a crop that is larger by one on each side."""
    torch.manual_seed(0)
    magnify = LocalMagnification(8, crop_size, output_size).eval()
    wide = LocalMagnification(8, crop_size + 2, output_size).eval()
    wide.load_state_dict(magnify.state_dict())
    x = torch.randn(1, 8, *[crop_size + 2] * 3)
    same = torch.allclose(magnify(x[..., 1:-1, 1:-1, 1:-1]), wide(x), atol=1e-5)
    assert same != reaches


@torch.no_grad()
def test_center_offset():
    """Voxel centers of the result, in the crop's voxels, are where the crop's mean position is."""
    magnify = LocalMagnification(2).eval()
    magnified = (torch.arange(12) + 0.5) / 4  # centers of the whole magnified crop
    middle = magnified[magnify.start : magnify.start + 5].mean()
    assert middle == 3 / 2 + magnify.center_offset


def test_a_gradient_for_every_weight():
    magnify = LocalMagnification(8)
    magnify(torch.randn(3, 8, 3, 3, 3)).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in magnify.parameters())
    layers = [m for m in magnify.modules() if isinstance(m, (nn.Conv3d, nn.ConvTranspose3d))]
    sizes = [(isinstance(m, nn.ConvTranspose3d), m.kernel_size[0]) for m in layers]
    assert sizes == [(True, 2), (False, 1), (False, 3), (False, 1), (False, 3)] * 2


def test_it_is_initialized_like_the_backbone():
    torch.manual_seed(0)
    magnify = LocalMagnification()
    magnify.init_weights()
    for layer in magnify.modules():
        if isinstance(layer, (nn.Conv3d, nn.ConvTranspose3d)):
            fan_in, _ = nn.init._calculate_fan_in_and_fan_out(layer.weight)
            assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.1)


@pytest.mark.parametrize('options', [dict(output_size=4), dict(output_size=9), dict(channels=3)])
def test_bad_sizes(options):
    with pytest.raises(ValueError, match='odd output_size of at most 7'):
        LocalMagnification(**options)
