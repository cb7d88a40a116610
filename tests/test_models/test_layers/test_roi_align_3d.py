import math

import numpy as np
import pytest
import torch
from mmcv.ops import roi_align

from mmlesion.models.layers import RoIAlign3D, roi_align_3d


def draw(seed=0, n=12, batch=2, channels=3, size=(7, 5, 6), dtype=torch.float64):
    """Features and cubes, of which some leave the map, of less than a voxel to more than it."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(batch, channels, *size, generator=generator, dtype=dtype)
    rois = torch.rand(n, 5, generator=generator, dtype=dtype)
    rois[:, 0] = torch.randint(batch, (n,), generator=generator)
    rois[:, 1:4] = (rois[:, 1:4] * 1.4 - 0.2) * torch.tensor(size, dtype=dtype)
    rois[:, 4] = torch.logspace(-1, 1.2, n, dtype=dtype)
    return features, rois


def value_at(volume, point):
    """Interpolate (D, H, W) at z, y, x, where voxel i is at i; see RoIAlign3D on borders."""
    for position, size in zip(point, volume.shape):
        if not -1 <= position <= size:
            return 0
    point = [min(max(position, 0), size - 1) for position, size in zip(point, volume.shape)]
    total = 0
    for corner in np.ndindex(2, 2, 2):
        voxel = [math.floor(p) + c for p, c in zip(point, corner)]
        weight = math.prod(1 - abs(p - v) for p, v in zip(point, voxel))
        if weight:
            total += weight * volume[tuple(voxel)]
    return total


def plain_roi_align(features, rois, output_size, spatial_scale, ratio):
    """As the definition has it, a sample after the other."""
    out = np.zeros((len(rois), features.shape[1], *output_size))
    for n, channel, *bins in np.ndindex(out.shape):
        roi = rois[n, 1:] * spatial_scale
        center, sides = roi[:3], np.broadcast_to(roi[3:], 3)
        samples = []
        for step in np.ndindex(ratio, ratio, ratio):
            along = [(b + (s + 0.5) / ratio) / k for b, s, k in zip(bins, step, output_size)]
            point = center - sides / 2 + along * sides - 0.5
            samples.append(value_at(features[int(rois[n, 0]), channel], point))
        out[(n, channel, *bins)] = np.mean(samples)
    return out


@pytest.mark.parametrize('spatial_scale', [1.0, 0.5])
@pytest.mark.parametrize('output_size, ratio', [((2, 2, 2), 2), ((3, 1, 2), 1)])
def test_equals_the_plain_reference(output_size, ratio, spatial_scale):
    features, rois = draw()
    got = roi_align_3d(features, rois, output_size, spatial_scale, ratio)
    expected = plain_roi_align(features.numpy(), rois.numpy(), output_size, spatial_scale, ratio)
    assert got.dtype == torch.float64 and got.abs().max() > 0.1
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-13)


def test_cuboids_equal_the_plain_reference_and_cubes():
    features, rois = draw(1)
    sides = torch.rand(len(rois), 3, dtype=rois.dtype) * 6
    cuboids = torch.cat([rois[:, :4], sides], 1)
    expected = plain_roi_align(features.numpy(), cuboids.numpy(), (2, 2, 2), 1, 2)
    got = roi_align_3d(features, cuboids, 2)
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-13)
    cubes = torch.cat([rois, rois[:, 4:], rois[:, 4:]], 1)
    assert torch.equal(roi_align_3d(features, cubes, 2), roi_align_3d(features, rois, 2))


def test_equals_mmcv_in_planes():
    """Where neither features nor regions change along z, it is mmcv's RoIAlign in y and x."""
    features, rois = draw(2, n=40, size=(9, 9, 9), dtype=torch.float32)
    features = features[:, :, :1].expand(-1, -1, 9, -1, -1)
    rois[:, 1] = 4.5
    rois[:, 4].clamp_(max=9)
    y, x, half = rois[:, 2], rois[:, 3], rois[:, 4] / 2
    flat = torch.stack([rois[:, 0], x - half, y - half, x + half, y + half], 1)
    expected = roi_align(features[:, :, 0].contiguous(), flat, (2, 3), 1.0, 2, 'avg', True)
    got = roi_align_3d(features, rois, (1, 2, 3))[:, :, 0]
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_identity_crops():
    """A bin for each voxel, sampled in its middle, is the voxel itself."""
    features = torch.arange(2 * 4 * 5 * 6, dtype=torch.float64).view(2, 1, 4, 5, 6)
    cube = torch.tensor([[1, 2, 2.5, 3, 4, 5, 6]], dtype=torch.float64)
    assert torch.equal(roi_align_3d(features, cube, (4, 5, 6), 1, 1), features[1:])
    part = torch.tensor([[0, 2, 3, 4, 2]], dtype=torch.float64)  # voxels 1-2, 2-3, 3-4
    assert torch.equal(roi_align_3d(features, part, 2, 1, 1), features[:1, :, 1:3, 2:4, 3:5])
    # the same voxels by their place in an input of four times the resolution
    part[:, 1:] *= 4
    assert torch.equal(roi_align_3d(features, part, 2, 1 / 4, 1), features[:1, :, 1:3, 2:4, 3:5])


def test_linear_features_are_exact():
    """On z + 10 y + 100 x each bin is the value in its middle."""
    axes = (torch.arange(8, dtype=torch.float64) + 0.5 for _ in range(3))
    z, y, x = torch.meshgrid(*axes, indexing='ij')
    got = roi_align_3d((z + 10 * y + 100 * x)[None, None], torch.tensor([[0, 3, 4, 5, 2.0]]), 2)
    middles = torch.tensor([-0.5, 0.5], dtype=torch.float64)
    expected = 3 + middles[:, None, None] + 10 * (4 + middles[:, None]) + 100 * (5 + middles)
    torch.testing.assert_close(got[0, 0], expected, rtol=0, atol=1e-12)


def test_borders():
    ones = torch.ones(1, 1, 4, 4, 4)
    far = roi_align_3d(ones, torch.tensor([[0, -9.0, 2, 2, 2]]), 2)
    assert (far == 0).all()
    # along z, bins from -1 to 0 and 0 to 1: samples at -1.25 and -0.75 (voxel 0 is at 0)
    edge = roi_align_3d(ones, torch.tensor([[0, 0.0, 2, 2, 2]]), 2)[0, 0]
    assert (edge[0] == 0.5).all() and (edge[1] == 1).all()


def test_gradients():
    features, rois = draw(3, n=4, channels=2, size=(3, 2, 4))
    features.requires_grad_()
    assert torch.autograd.gradcheck(lambda f: roi_align_3d(f, rois, 2), features)
    rois.requires_grad_()
    roi_align_3d(features, rois, 2).sum().backward()
    assert rois.grad is None


def test_chunks_change_nothing(monkeypatch):
    features, rois = draw(4, n=50)
    whole = roi_align_3d(features, rois, 2)
    monkeypatch.setitem(roi_align_3d.__globals__, 'MAX_VALUES', 100)
    torch.testing.assert_close(roi_align_3d(features, rois, 2), whole, rtol=0, atol=1e-14)


def test_half_precision_is_that_of_its_result():
    features, rois = draw(5, dtype=torch.float32)
    half = roi_align_3d(features.half(), rois, 2)
    assert half.dtype == torch.float16
    assert torch.equal(half, roi_align_3d(features.half().float(), rois, 2).half())


def test_not_a_number_stays_in_its_region():
    features, rois = draw(6)
    expected = roi_align_3d(features, rois, 2)
    rois[3, 1] = math.nan
    got = roi_align_3d(features, rois, 2)
    assert got[3].isnan().all()
    others = torch.arange(len(rois)) != 3
    torch.testing.assert_close(got[others], expected[others], rtol=0, atol=1e-14)


def test_no_regions():
    features, rois = draw(7)
    assert roi_align_3d(features, rois[:0], 2).shape == (0, 3, 2, 2, 2)


def test_module():
    features, rois = draw(8)
    align = RoIAlign3D(2, spatial_scale=0.5, sampling_ratio=3)
    assert torch.equal(align(features, rois), roi_align_3d(features, rois, 2, 0.5, 3))
    assert 'output_size=(2, 2, 2), spatial_scale=0.5, sampling_ratio=3' in repr(align)


def test_errors():
    features, rois = draw(9)
    with pytest.raises(ValueError, match=r'\(n, 5\) or \(n, 7\), not \(12, 4\)'):
        roi_align_3d(features, rois[:, :4], 2)
    with pytest.raises(ValueError, match='sampling_ratio must be at least 1, not 0'):
        roi_align_3d(features, rois, 2, sampling_ratio=0)
