import pytest
import torch

from mmlesion.models import SliceGroupFusion


def levels(num_groups=3):
    torch.manual_seed(0)
    return tuple(torch.randn(2, num_groups * c, 8 // c, 12 // c) for c in (2, 4))


@pytest.mark.parametrize('group', [0, 1, 2])
def test_identity_weights_pick_a_group(group):
    fusion = SliceGroupFusion([2, 4])
    for conv, channels in zip(fusion.fusions, (2, 4)):
        torch.nn.init.zeros_(conv.weight)
        torch.nn.init.zeros_(conv.bias)
        identity = torch.eye(channels)[..., None, None]
        conv.weight.data[:, group * channels : (group + 1) * channels] = identity
    for out, x in zip(fusion(levels()), levels()):
        assert torch.equal(out, x.chunk(3, dim=1)[group])


def test_other_numbers_of_groups():
    outs = SliceGroupFusion([2, 4], num_groups=2)(levels(2))
    assert [tuple(out.shape) for out in outs] == [(2, 2, 4, 6), (2, 4, 2, 3)]


@pytest.mark.parametrize('inputs', [levels(2), levels()[:1], levels()[::-1]])
def test_other_levels_and_channels_are_refused(inputs):
    with pytest.raises(ValueError, match=r'takes levels of \[6, 12\] channels, but got'):
        SliceGroupFusion([2, 4])(inputs)


def test_weights_begin_as_xavier():
    fusion = SliceGroupFusion([64])
    fusion.init_weights()
    (conv,) = fusion.fusions
    bound = (6 / (64 + 192)) ** 0.5
    assert conv.weight.abs().max() <= bound and conv.weight.std() > 0.5 * bound
    assert not conv.bias.any()
