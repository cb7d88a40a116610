import pytest
import torch
from torch import nn

from mmlesion.utils.networks import autocast_forward, channels_last, store_channels_last


def test_axes_in_memory():
    """The channels are neighbors in memory: axis 1 has a stride of one element."""
    image = channels_last(torch.arange(24.0).reshape(1, 2, 3, 4))
    assert image.stride() == (24, 1, 8, 2)
    volume = channels_last(torch.arange(48.0).reshape(1, 2, 2, 3, 4))
    assert volume.stride() == (48, 1, 24, 8, 2)
    torch.testing.assert_close(volume.flatten(), torch.arange(48.0))


def test_other_tensors_stay():
    vectors = torch.ones(2, 3)
    assert channels_last(vectors) is vectors


def test_networks_of_both_kinds_compute_the_same():
    torch.manual_seed(0)
    network = nn.ModuleDict(dict(slices=nn.Conv2d(2, 3, 3), volumes=nn.Conv3d(2, 3, 3)))
    image, volume = torch.randn(1, 2, 8, 8), torch.randn(1, 2, 8, 8, 8)
    expected = network['slices'](image), network['volumes'](volume)
    store_channels_last(network)
    assert network['slices'].weight.stride()[1] == 1
    assert network['volumes'].weight.stride()[1] == 1
    assert all(parameter.requires_grad for parameter in network.parameters())
    torch.testing.assert_close(network['slices'](image), expected[0])
    torch.testing.assert_close(network['volumes'](volume), expected[1])


@pytest.mark.parametrize('restore, dtype', [(True, torch.float32), (False, torch.bfloat16)])
def test_half_precision_within_a_module_alone(restore, dtype):
    layer, image = nn.Conv2d(2, 3, 1), torch.randn(1, 2, 4, 4)
    handles = autocast_forward(layer, torch.bfloat16, restore)
    assert layer(image).dtype == dtype and not torch.is_autocast_enabled('cpu')
    with pytest.raises(RuntimeError):
        layer(image[:, :1])
    assert not torch.is_autocast_enabled('cpu')
    for handle in handles:
        handle.remove()
    assert layer(image).dtype == torch.float32
