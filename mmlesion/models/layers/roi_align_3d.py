"""RoIAlign of cuboids in volumes, implemented in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmlesion.utils import OptionError

MAX_VALUES = 2**21  # of features that are copied at once: 8 MB of single precision


class RoIAlign3D(nn.Module):
    """Resample regions of feature maps (3D Aggregated Faster R-CNN, section III-C).

    It is mmcv's ``RoIAlign`` with ``aligned=True`` in three dimensions: a bin is the mean of
    samples between the voxels, which are interpolated; those within a voxel beyond the map have its
    border's value and those further out are zero.

    Args:
        output_size: Bins along all axes, or along z, y, x.
        spatial_scale: Voxels of the feature map over those that regions are in: one over
            the stride. Defaults to 1.
        sampling_ratio: Samples of a bin along an axis, at least 1. Defaults to 2.
    """

    def __init__(
        self,
        output_size: int | Sequence[int],
        spatial_scale: float = 1.0,
        sampling_ratio: int = 2,
    ) -> None:
        super().__init__()
        self.output_size = _bins(output_size)
        self.spatial_scale = spatial_scale
        self.sampling_ratio = sampling_ratio

    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        """Resample; see :func:`roi_align_3d`.

        Args:
            features: (B, C, D, H, W).
            rois: (n, 5) or (n, 7).

        Returns:
            Tensor: (n, C) + ``output_size``.
        """
        return roi_align_3d(
            features, rois, self.output_size, self.spatial_scale, self.sampling_ratio
        )

    def extra_repr(self) -> str:
        """Return the options for ``repr``."""
        return (
            f'output_size={self.output_size}, spatial_scale={self.spatial_scale}, '
            f'sampling_ratio={self.sampling_ratio}'
        )


def roi_align_3d(
    features: Tensor,
    rois: Tensor,
    output_size: int | Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
) -> Tensor:
    """Resample regions of feature maps to bins, with gradients for the features only.

    Interpolation and mean are linear along each axis. So the voxels that a region touches are
    copied, and three small matrix products make bins of them. Regions that touch about as many
    voxels are computed together.

    Args:
        features: (B, C, D, H, W).
        rois: (n, 5): index in the batch, center z, y, x and the side of a cube (a sphere's
            diameter), or (n, 7): index, center z, y, x and sides z, y, x. Voxel i extends from i to
            i + 1.
        output_size: Bins along all axes, or along z, y, x.
        spatial_scale: Voxels of the feature map over those that regions are in. Defaults to
            1.
        sampling_ratio: Samples of a bin along an axis, at least 1. Defaults to 2.

    Returns:
        Tensor: (n, C) + ``output_size``, of the features' type.

    Raises:
        ValueError: If regions are neither (n, 5) nor (n, 7), or samples are under 1.
    """
    if rois.dim() != 2 or rois.shape[1] not in (5, 7):
        raise ValueError(f'rois must be (n, 5) or (n, 7), not {tuple(rois.shape)}')
    if sampling_ratio < 1:
        raise OptionError(f'RoIAlign3D: sampling_ratio must be at least 1, not {sampling_ratio}')
    num_bins = _bins(output_size)
    if not len(rois):
        return features.new_zeros(0, features.shape[1], *num_bins)
    batch, sizes = rois[:, 0].long(), features.shape[2:]
    rois = rois[:, 1:].detach().to(torch.promote_types(features.dtype, torch.float32))
    centers, sides = rois[:, :3] * spatial_scale, rois[:, 3:].expand(-1, 3) * spatial_scale
    axes = []
    for axis in range(3):
        num_samples = num_bins[axis] * sampling_ratio
        axes.append(_Axis.sample(centers[:, axis], sides[:, axis], num_samples, sizes[axis]))
    # rows of channels are copied quickly, and a matrix is transposed more quickly than by permute
    table = features.transpose(0, 1).flatten(1).t().contiguous()
    groups = _group_by_span(torch.stack([axis.span() for axis in axes], 1), features.shape[1])
    bins = []
    for chosen in groups:
        samples = [axis.take(chosen) for axis in axes]
        bins.append(_resample(table, batch[chosen], samples, num_bins))
    # groups are in order of their size: bring the regions back into their own order
    back = torch.cat(groups).argsort()
    return torch.cat(bins)[back].movedim(-1, 1).to(features.dtype)


def _bins(output_size: int | Sequence[int]) -> tuple[int, int, int]:
    """Return the bins along z, y and x."""
    if isinstance(output_size, int):
        return output_size, output_size, output_size
    depth, height, width = output_size
    return depth, height, width


class _Axis(NamedTuple):
    """Samples of n regions along an axis, in voxels of the map; voxel i is at i.

    Args:
        positions: (n, samples), rising, within the map.
        inside: (n, samples), whether they were within a voxel of the map.
        size: Voxels of the map.
    """

    positions: torch.Tensor
    inside: torch.Tensor
    size: int

    @classmethod
    def sample(cls, centers: Tensor, sides: Tensor, num_samples: int, size: int) -> _Axis:
        """Place samples in regions of centers (n,) and sides (n,); voxel i is from i to i + 1."""
        steps = torch.arange(num_samples, device=centers.device, dtype=centers.dtype) + 0.5
        steps = steps / num_samples - 0.5
        positions = centers[:, None] - 0.5 + sides[:, None] * steps
        inside = (positions >= -1) & (positions <= size)
        return cls(positions.clamp(0, size - 1), inside, size)

    def take(self, chosen: Tensor) -> _Axis:
        """Select the samples of some regions."""
        return _Axis(self.positions[chosen], self.inside[chosen], self.size)

    def span(self) -> Tensor:
        """Return the number of voxels (n,) used for interpolation, from first to last."""
        return self._floor(-1) + 2 - self._floor(0)

    def voxels(self, span: int) -> Tensor:
        """Return indices (n, span) of the voxels, some beyond the end of the map."""
        return self._floor(0)[:, None] + torch.arange(span, device=self.positions.device)

    def weights(self, voxels: Tensor, bins: int) -> Tensor:
        """Return weights (n, bins, span) of the voxels in the mean of each bin."""
        # linear interpolation: 1 at the voxel itself, 0 from its neighbors on
        distances = (self.positions[:, :, None] - voxels[:, None]).abs()
        weights = (1 - distances).clamp(min=0) * self.inside[:, :, None]
        return weights.unflatten(1, (bins, -1)).mean(2)

    def _floor(self, index: int) -> Tensor:
        # the clamp makes an index even of NaN
        return self.positions[:, index].long().clamp(0, self.size - 1)


def _group_by_span(spans: Tensor, channels: int) -> list[Tensor]:
    """Group regions of similar size, within the memory limit.

    Args:
        spans: (n, 3) voxels along z, y, x that each region touches.
        channels: Values of a voxel.

    Returns:
        list[Tensor]: Indices of the regions of each group, in order of their size.
    """
    # regions whose largest spans are the same, or 2 m - 1 and 2 m, are of one width
    width = spans.amax(1).add(1).div(2, rounding_mode='floor')
    order = width.argsort()
    counts = width[order].unique_consecutive(return_counts=True)[1]
    parts: list[Tensor] = []
    for group in order.split(counts.tolist()):
        values = channels * int(spans[group].amax(0).prod())  # of a region of the group
        parts += group.split(max(MAX_VALUES // values, 1))
    return parts


def _resample(
    table: Tensor, batch: Tensor, axes: Sequence[_Axis], output_size: tuple[int, ...]
) -> Tensor:
    """Resample regions of one group.

    Args:
        table: (B * D * H * W, C).
        batch: (n,) indices in the batch.
        axes: Samples along z, y and x.
        output_size: Bins along z, y and x.

    Returns:
        Tensor: (n,) + ``output_size`` + (C,).
    """
    # Rows of the table (n, voxels of the region): ((b * D + z) * H + y) * W + x, one axis a turn.
    rows, weights = batch[:, None], []
    for axis, bins in zip(axes, output_size):
        voxels = axis.voxels(int(axis.span().max()))
        weights.append(axis.weights(voxels, bins))
        # voxels beyond the map have no weight: any row will do
        inside = voxels.clamp(max=axis.size - 1)
        rows = (rows[:, :, None] * axis.size + inside[:, None]).flatten(1)
    values = table.index_select(0, rows.flatten()).to(weights[0].dtype)
    values = values.view(len(batch), -1)
    # Each axis in turn is taken from voxels to bins by a product: (n * done, bins, span) @
    # (n * done, span, all that follows).
    done = 1  # bins so far
    for weight in weights:
        values = weight.repeat_interleave(done, 0) @ values.view(
            len(batch) * done, weight.shape[2], -1
        )
        done *= weight.shape[1]
    return values.reshape(len(batch), *output_size, -1)
