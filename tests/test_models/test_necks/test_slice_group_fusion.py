from functools import partial

import pytest
import torch
from mmdet.registry import MODELS

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


def pyramid(kind='FPN', **options):
    torch.manual_seed(1)
    settings = dict(in_channels=[2, 4], out_channels=3, num_outs=3)
    fusion = dict(type='SliceGroupFusion', in_channels=[2, 4])
    neck = MODELS.build([fusion, dict(type=kind, **{**settings, **options})])
    for parameter in neck.parameters():
        torch.nn.init.normal_(parameter)  # biases, too
    return neck.eval()


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(kind='AttentionGateFPN'),
        dict(kind='PAFPN'),
        dict(norm_cfg=dict(type='GN', num_groups=1), act_cfg=dict(type='ReLU')),
        dict(add_extra_convs='on_output'),
        dict(start_level=1, num_outs=2),
    ],
)
@torch.no_grad()
def test_merged_into_the_pyramid(options):
    fusion, fpn = neck = pyramid(**options)
    expected = neck(levels())
    assert fusion.merge_into(fpn) and fpn.lateral_convs[-1].conv.in_channels == 12
    for out, plain in zip(fpn(levels()), expected):
        torch.testing.assert_close(out, plain, rtol=1e-4, atol=1e-4)


def wide_laterals():
    """A pyramid with a convolution of 3x3 among its laterals."""
    neck = pyramid()
    neck[1].lateral_convs[1].conv = torch.nn.Conv2d(4, 3, 3, padding=1)
    return neck


# extra levels of the first would have taken the fused features
@pytest.mark.parametrize('make', [partial(pyramid, add_extra_convs='on_input'), wide_laterals])
def test_other_pyramids_are_not_merged(make):
    fusion, fpn = make()
    before = [lateral.conv for lateral in fpn.lateral_convs]
    assert not fusion.merge_into(fpn)
    assert [lateral.conv for lateral in fpn.lateral_convs] == before
    assert not fusion.merge_into(torch.nn.Identity())
