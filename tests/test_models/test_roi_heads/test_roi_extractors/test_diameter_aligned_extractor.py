import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import nn

from mmlesion.models import DiameterAlignedExtractor

STRIDES = (4, 8, 16)
# volume, center, diameter, level
ROIS = torch.tensor([[0, 30.0, 33, 36, 6, 0], [1, 31, 32, 33, 12, 1], [0, 34, 30, 31, 20, 2]])


def ramps(num=2, side=64):
    """Pyramid whose three channels are z, y and x of the voxel's center, in voxels of its level."""
    levels = []
    for stride in STRIDES:
        along = torch.arange(side // stride) + 0.5
        grid = torch.stack(torch.meshgrid(along, along, along, indexing='ij'))
        levels.append(grid.expand(num, -1, -1, -1, -1))
    return levels


def noise(num=2, channels=4, side=64):
    torch.manual_seed(0)
    return [torch.randn(num, channels, *[side // stride] * 3) for stride in STRIDES]


def expected_ramp(rois, aligned):
    """Centers of the eight bins in voxels of each level: (n, 3 levels, 3 axes, 2, 2, 2)."""
    outs = []
    for roi in rois.tolist():
        for stride in STRIDES:
            own = STRIDES[int(roi[5])]
            side = roi[4] / (own if aligned else stride)
            along = [[c / stride - side / 4, c / stride + side / 4] for c in roi[1:4]]
            outs.append(torch.stack(torch.meshgrid(*map(torch.tensor, along), indexing='ij')))
    return torch.stack(outs).reshape(len(rois), 3, 3, 2, 2, 2)


@pytest.mark.parametrize('aligned', [True, False])
def test_places_and_sides_on_every_level(aligned):
    extractor = DiameterAlignedExtractor(out_channels=3, diameter_alignment=aligned)
    assert extractor.out_channels == 3 * 3 * 8 and extractor.num_inputs == 3
    out = extractor(ramps(), ROIS)
    torch.testing.assert_close(out, expected_ramp(ROIS, aligned).flatten(1))


def test_figure_3():
    """A diameter of 17.23 mm from the level of stride 16 is 1.08 voxels on each level."""
    extractor = DiameterAlignedExtractor(out_channels=3)
    roi = torch.tensor([[0, 60.56, 52.46, 57.56, 17.23, 2]])
    out = extractor(ramps(side=128), roi).reshape(3, 3, 2, 2, 2)
    widths = 2 * (out[:, 0, 1, 0, 0] - out[:, 0, 0, 0, 0])
    torch.testing.assert_close(widths, torch.full((3,), 1.0769), atol=1e-3, rtol=0)


class Trilinear(nn.Module):
    """A magnification that is exact on ramps, in the place of the learned one."""

    crop_size, output_size, center_offset = 3, 5, -0.125

    def forward(self, x):
        return F.interpolate(x, scale_factor=4, mode='trilinear')[..., 3:8, 3:8, 3:8]


def test_magnified_crops_are_where_the_regions_are():
    extractor = DiameterAlignedExtractor(
        out_channels=3, magnification=dict(type='LocalMagnification', channels=4)
    )
    extractor.magnify = Trilinear()
    rois = ROIS.clone()
    rois[:, 4] = torch.tensor([4.5, 9, 17])  # up to 1.25 voxels of their level
    out = extractor(ramps(), rois)
    torch.testing.assert_close(out, expected_ramp(rois, True).flatten(1))


def test_wide_regions_are_classified_by_their_middle():
    extractor = DiameterAlignedExtractor(
        out_channels=3, magnification=dict(type='LocalMagnification', channels=4)
    )
    extractor.magnify = Trilinear()
    narrow = ROIS.clone()
    narrow[:, 4] = torch.tensor([5.0, 10, 20])  # 1.25 voxels
    torch.testing.assert_close(extractor(ramps(), ROIS), extractor(ramps(), narrow))


@pytest.mark.parametrize('magnification', [None, dict(type='LocalMagnification')])
@torch.no_grad()
def test_a_batch_of_regions_is_each_of_them(magnification):
    extractor = MODELS.build(
        dict(type='DiameterAlignedExtractor', out_channels=4, magnification=magnification)
    ).eval()
    together = extractor(noise(), ROIS)
    assert together.shape == (3, 96)
    alone = torch.cat([extractor(noise(), roi[None]) for roi in ROIS])
    torch.testing.assert_close(together, alone)
    # levels one after another: the first third does not know the coarser ones
    other = [noise()[0], *(torch.zeros_like(level) for level in noise()[1:])]
    assert torch.equal(extractor(other, ROIS)[:, :32], together[:, :32])
    assert not torch.equal(extractor(other, ROIS)[:, 32:], together[:, 32:])


def test_size_of_table_1():
    extractor = DiameterAlignedExtractor(magnification=dict(type='LocalMagnification'))
    assert extractor(noise(channels=32), ROIS).shape == (3, 768)


def test_gradients_reach_the_magnification_and_the_pyramid():
    extractor = DiameterAlignedExtractor(
        out_channels=4, magnification=dict(type='LocalMagnification')
    )
    feats = [level.requires_grad_() for level in noise()]
    extractor(feats, ROIS).square().sum().backward()
    assert all(level.grad.abs().sum() > 0 for level in feats)
    assert all(p.grad.abs().sum() > 0 for p in extractor.parameters())


def test_magnification_needs_alignment():
    with pytest.raises(ValueError, match='needs diameter_alignment'):
        DiameterAlignedExtractor(
            diameter_alignment=False, magnification=dict(type='LocalMagnification')
        )
