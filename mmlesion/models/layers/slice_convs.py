"""2D convolutions that see several slices: A3D, TSM, AlignShift, I3D and ACS; fusion of slices.

They are in mmengine's registry, in which mmcv's ``build_conv_layer`` looks whatever the scope.
"""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.utils import _pair

from mmlesion.utils import OptionError, UserError


@MODELS.register_module()
class InflatedConv3d(nn.Conv3d):
    """A 2D convolution inflated to neighboring slices, for the ``conv_cfg`` of a 2D network.

    Inflated 3D (Carreira and Zisserman, 2017), as used by LENS: a k x k filter becomes depth x k x
    k; 1 x 1 filters are not inflated. Weights of the 2D filter are loaded, repeated over the depth
    and divided by it, so that identical slices give the output of the 2D filter. If the layer has
    one input channel, the filters of the color channels are summed.

    Args:
        in_channels: As of ``Conv2d``.
        out_channels: As of ``Conv2d``.
        kernel_size: Sides of the filter in the slice.
        stride: In the slice; 1 from slice to slice. Defaults to 1.
        padding: In the slice; across slices as many come out as went in.
            Defaults to 0.
        dilation: In the slice. Defaults to 1.
        groups: As of ``Conv2d``. Defaults to 1.
        bias: As of ``Conv2d``. Defaults to True.
        depth: Slices that a filter spans, odd. Defaults to 1.

    Raises:
        OptionError: If the depth is not odd.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        depth: int = 1,
    ) -> None:
        if depth < 1 or depth % 2 == 0:
            raise OptionError(f'depth must be odd and positive, but got {depth}', self)
        sides = _pair(kernel_size)
        depth = depth if max(sides) > 1 else 1
        super().__init__(
            in_channels,
            out_channels,
            (depth, *sides),
            (1, *_pair(stride)),
            (depth // 2, *_pair(padding)),
            (1, *_pair(dilation)),
            groups,
            bias,
        )

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        weight = state_dict.get(f'{prefix}weight')
        if weight is not None and weight.dim() == 4:
            state_dict[f'{prefix}weight'] = self._inflate(weight)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _inflate(self, weight: Tensor) -> Tensor:
        """Convert 2D weights (out, in, k, k) to (out, in_channels, depth, k, k)."""
        if self.in_channels == 1:
            weight = weight.sum(1, keepdim=True)
        depth = self.kernel_size[0]
        return weight[:, :, None].repeat_interleave(depth, 2) / depth


class SliceConv2d(nn.Conv2d):
    """A 2D convolution before which each slice takes context from the others.

    The slices lie in the batch, (n * num_slices, c, h, w), those of a sample consecutive in slice
    order. So every other layer of a 2D network - normalization, pooling, attention - and its
    weights and their names stay as they are, where a layout (n, c, slices, h, w) would need a 3D
    counterpart for each. Batch normalization's statistics are those of ``BatchNorm3d``.

    Args:
        *args: Those of ``Conv2d``.
        num_slices: Slices of a sample.
        **kwargs: Those of ``Conv2d``.

    Raises:
        OptionError: If there is no slice.
    """

    def __init__(self, *args: Any, num_slices: int, **kwargs: Any) -> None:
        if num_slices < 1:
            raise OptionError(f'num_slices must be at least 1, but got {num_slices}', self)
        self.num_slices = num_slices
        super().__init__(*args, **kwargs)

    def mix(self, x: Tensor) -> Tensor:
        """Exchange context between slices.

        Args:
            x: Features (n, num_slices, in_channels, h, w).

        Returns:
            Tensor: In the same shape.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Mix the slices and convolve each.

        Args:
            x: Features (n * num_slices, in_channels, h, w).

        Returns:
            Tensor: (n * num_slices, out_channels, h', w').
        """
        return super().forward(self.mix(split_slices(x, self.num_slices)).flatten(0, 1))

    def extra_repr(self) -> str:
        """Return the options of the convolution and the number of slices."""
        return f'{super().extra_repr()}, num_slices={self.num_slices}'


def split_slices(x: Tensor, num_slices: int) -> Tensor:
    """Split the slices from the batch.

    Args:
        x: (n * num_slices, ...).
        num_slices: Slices of a sample.

    Returns:
        Tensor: (n, num_slices, ...).

    Raises:
        UserError: If the batch holds no whole number of samples.
    """
    if len(x) % num_slices:
        raise UserError(
            f'a batch of {len(x)} slices holds no whole samples of {num_slices}: set num_slices of '
            "the convolutions to that of the backbone's input"
        )
    return x.unflatten(0, (-1, num_slices))


def pad_slices(x: Tensor, size: int, dim: int, zero_padding: bool) -> Tensor:
    """Pad slices at both ends of a stack.

    Args:
        x: Features with slices in one dimension.
        size: Slices to add at each end.
        dim: The dimension of the slices.
        zero_padding: Whether they are zeros; otherwise the outermost slice is repeated, so
            that equal slices stay equal.

    Returns:
        Tensor: With 2 * size slices more.
    """
    first, last = x.narrow(dim, 0, 1), x.narrow(dim, -1, 1)
    if zero_padding:
        first, last = torch.zeros_like(first), torch.zeros_like(last)
    return torch.cat([*[first] * size, x, *[last] * size], dim)


@MODELS.register_module()
class A3DConv(SliceConv2d):
    """Asymmetric 3D context fusion before a 2D convolution (A3D, MICCAI 2021, section 2.2).

    For each input channel a learned matrix (num_slices, num_slices) makes each slice a weighted sum
    of all of them: x'[k, c] = sum over s of mixing[s, k, c] * x[s, c]. Unlike a convolution across
    slices it does not treat all slices alike, and a slice sees all others in one layer. It begins
    as the identity, by which a pretrained 2D network keeps its function on every slice.

    Args:
        *args: Those of ``Conv2d``.
        num_slices: Slices of a sample.
        noise: Uniform noise of -noise to noise, added to the identity: the authors' program
            has 0.1, with which the function is kept approximately. Defaults to 0.
        **kwargs: Those of ``Conv2d``.
    """

    def __init__(self, *args: Any, num_slices: int, noise: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, num_slices=num_slices, **kwargs)
        identity = torch.eye(num_slices)[..., None].repeat(1, 1, self.in_channels)
        self.mixing = nn.Parameter(identity + torch.empty_like(identity).uniform_(-noise, noise))

    def mix(self, x: Tensor) -> Tensor:
        """Mix the slices of each channel.

        Args:
            x: Features (n, num_slices, in_channels, h, w).

        Returns:
            Tensor: In the same shape.
        """
        return torch.einsum('nschw,skc->nkchw', x, self.mixing)


@MODELS.register_module()
class TSMConv(SliceConv2d):
    """Temporal shift before a 2D convolution (TSM, ICCV 2019, section 3), slices being time.

    An n_fold-th of the channels comes from the next slice, another n_fold-th from the one before;
    the others stay. It has no parameters. On equal slices it is the 2D convolution.

    Args:
        *args: Those of ``Conv2d``.
        num_slices: Slices of a sample.
        n_fold: The divisor of the channels. Defaults to 8, as in the paper's offline network.
        zero_padding: Whether the outermost slices take zeros from beyond them, as in the
            paper. Defaults to False: they keep their own channels.
        **kwargs: Those of ``Conv2d``.

    Raises:
        OptionError: If ``n_fold`` is below 2.
    """

    def __init__(
        self,
        *args: Any,
        num_slices: int,
        n_fold: int = 8,
        zero_padding: bool = False,
        **kwargs: Any,
    ) -> None:
        if n_fold < 2:
            raise OptionError(f'n_fold must be at least 2, but got {n_fold}', self)
        super().__init__(*args, num_slices=num_slices, **kwargs)
        self.fold = self.in_channels // n_fold
        self.zero_padding = zero_padding

    def mix(self, x: Tensor) -> Tensor:
        """Shift the channels.

        Args:
            x: Features (n, num_slices, in_channels, h, w).

        Returns:
            Tensor: In the same shape.
        """
        parts = x.split([self.fold, self.fold, self.in_channels - 2 * self.fold], 2)
        after = pad_slices(parts[0], 1, 1, self.zero_padding)[:, 2:]
        before = pad_slices(parts[1], 1, 1, self.zero_padding)[:, :-2]
        return torch.cat([self._blend(parts[0], after), self._blend(parts[1], before), parts[2]], 2)

    def _blend(self, own: Tensor, neighbor: Tensor) -> Tensor:
        """Return what a slice takes, of its ``own`` features and its ``neighbor``'s."""
        return neighbor


@MODELS.register_module()
class AlignShiftConv(TSMConv):
    """Temporal shift by virtual slices (AlignShift, MICCAI 2020, section 2.2) before a convolution.

    The shifted channels come not from the neighbor, at t mm, but from a virtual slice at
    ``ref_thickness`` r on the way to it: r / t * neighbor + (1 - r / t) * own. Slices at r or less
    shift by whole neighbors, as TSM does; with growing distance the convolution becomes 2D.

    Args:
        *args: Those of ``Conv2d``.
        num_slices: Slices of a sample.
        ref_thickness: r in mm. Defaults to 2.0, as in the authors' program.
        n_fold: As of :class:`TSMConv`. Defaults to 8.
        zero_padding: As of :class:`TSMConv`. Defaults to False, as in the program.
        **kwargs: Those of ``Conv2d``.

    Attributes:
        slice_distance: t in mm of each sample, (n, ). To be set before a forward
            pass; :class:`~mmlesion.models.SliceContextBackbone` does.

    Raises:
        OptionError: If ``ref_thickness`` is not positive.
    """

    def __init__(
        self,
        *args: Any,
        num_slices: int,
        ref_thickness: float = 2.0,
        n_fold: int = 8,
        zero_padding: bool = False,
        **kwargs: Any,
    ) -> None:
        if ref_thickness <= 0:
            raise OptionError(f'ref_thickness must be positive, but got {ref_thickness}', self)
        super().__init__(
            *args, num_slices=num_slices, n_fold=n_fold, zero_padding=zero_padding, **kwargs
        )
        self.ref_thickness = ref_thickness
        self.slice_distance: Tensor | None = None

    def _blend(self, own: Tensor, neighbor: Tensor) -> Tensor:
        if self.slice_distance is None:
            raise UserError(
                'AlignShiftConv needs the distance of the slices in mm: set '
                "data_preprocessor=dict(type='SliceContextDataPreprocessor', ...), and "
                "'slice_distance' among the meta_keys of PackDetInputs"
            )
        # mm may be more than half precision holds, a share of the neighbor is not
        share = (self.ref_thickness / self.slice_distance.float()).clamp(max=1.0)
        return torch.lerp(own, neighbor, share.to(own)[:, None, None, None, None])


@MODELS.register_module()
class I3DConv(InflatedConv3d):
    """Inflated 3D convolution on slices in the batch (I3D, CVPR 2017, section 2.3).

    :class:`InflatedConv3d` on (n * num_slices, c, h, w), the slices of a sample consecutive: a k x
    k filter becomes depth x k x k. On equal slices it is the 2D convolution.

    Args:
        *args: Those of :class:`InflatedConv3d`.
        num_slices: Slices of a sample.
        depth: Slices that a filter spans, odd. Defaults to 3.
        zero_padding: Whether slices beyond the outermost ones are zeros. Defaults to False:
            they are the outermost ones.
        **kwargs: Those of :class:`InflatedConv3d`.
    """

    def __init__(
        self,
        *args: Any,
        num_slices: int,
        depth: int = 3,
        zero_padding: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **dict(kwargs, depth=depth))
        self.num_slices = num_slices
        self.zero_padding = zero_padding

    def forward(self, x: Tensor) -> Tensor:
        """Convolve.

        Args:
            x: Features (n * num_slices, in_channels, h, w).

        Returns:
            Tensor: (n * num_slices, out_channels, h', w').
        """
        x = split_slices(x, self.num_slices).transpose(1, 2)  # (n, c, slices, h, w)
        x = pad_slices(x, self.kernel_size[0] // 2, 2, self.zero_padding)
        padding = (0, *self.padding[1:])
        x = F.conv3d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)
        return x.transpose(1, 2).flatten(0, 1)


@MODELS.register_module()
class ACSConv(SliceConv2d):
    """2D filters in three views (ACS, JBHI 2021, section III): axial, coronal and sagittal.

    The output channels are split in three thirds, the axial one largest: the filters of the first
    lie in the slice (1 x k x k), those of the second across slices and columns (k x 1 x k), those
    of the third across slices and rows (k x k x 1). The weights are the 2D convolution's, and their
    number. Other than the other operators it changes the function of a pretrained network even on
    equal slices: two thirds of the filters see another plane than they were trained on. A 1 x 1
    filter stays.

    Padding and dilation across slices are 1, the stride is 1. In a grouped convolution each group's
    channels are split.

    Args:
        *args: Those of ``Conv2d``; the filter is square and of odd size.
        num_slices: Slices of a sample.
        **kwargs: Those of ``Conv2d``.

    Raises:
        OptionError: If the filter is not square, or a group has fewer than three output channels.
    """

    def __init__(self, *args: Any, num_slices: int, **kwargs: Any) -> None:
        super().__init__(*args, num_slices=num_slices, **kwargs)
        side, per_group = self.kernel_size[0], self.out_channels // self.groups
        if self.kernel_size != (side, side) or side % 2 == 0:
            raise OptionError(f'takes square filters of odd size, not {self.kernel_size}', self)
        if per_group < 3:
            raise OptionError(f'needs 3 output channels in a group, but got {per_group}', self)
        self.view_channels = (per_group - 2 * (per_group // 3), per_group // 3, per_group // 3)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve in three views.

        Args:
            x: Features (n * num_slices, in_channels, h, w).

        Returns:
            Tensor: (n * num_slices, out_channels, h', w').
        """
        if self.kernel_size == (1, 1):
            return self._conv_forward(x, self.weight, self.bias)
        x = split_slices(x, self.num_slices).transpose(1, 2)  # (n, c, slices, h, w)
        by_group = self.weight.unflatten(0, (self.groups, -1))
        views = []
        for view, weight in enumerate(by_group.split(self.view_channels, 1)):
            views.append(
                self._convolve(x, weight.flatten(0, 1), view).unflatten(1, (self.groups, -1))
            )
        out = torch.cat(views, 2).flatten(1, 2).transpose(1, 2).flatten(0, 1)
        return out if self.bias is None else out + self.bias[:, None, None]

    def _convolve(self, x: Tensor, weight: Tensor, view: int) -> Tensor:
        """Convolve (n, c, slices, h, w); the filters have no extent in dimension ``view``."""
        across = self.kernel_size[0] // 2
        padding = [across, *self.padding]
        # without extent in a dimension, a filter is padded as if its center stood there
        padding[view] -= (across, across * self.dilation[0], across * self.dilation[1])[view]
        if min(padding) < 0:
            x = _crop(x, padding)
            padding = [max(size, 0) for size in padding]
        dilation = (1, *self.dilation)
        weight = weight.unsqueeze(2 + view)
        return F.conv3d(x, weight, None, (1, *self.stride), padding, dilation, self.groups)


def _crop(x: Tensor, padding: list[int]) -> Tensor:
    for dim, size in enumerate(padding, 2):
        if size < 0:
            x = x.narrow(dim, -size, x.shape[dim] + 2 * size)
    return x


class CenterSlice(nn.Module):
    """The features of the key slice, the middle one."""

    def forward(self, x: Tensor) -> Tensor:
        """Take the middle of ``x`` (n, slices, c, h, w) as (n, c, h, w)."""
        return x[:, x.shape[1] // 2]


class MeanSlice(nn.Module):
    """The mean of the slices."""

    def forward(self, x: Tensor) -> Tensor:
        """Average ``x`` (n, slices, c, h, w) to (n, c, h, w)."""
        return x.mean(1)


class ConcatSlices(nn.Module):
    """All slices side by side in the channels, in slice order, for a neck that fuses them."""

    def forward(self, x: Tensor) -> Tensor:
        """Flatten ``x`` (n, slices, c, h, w) to (n, slices * c, h, w)."""
        return x.flatten(1, 2)


class SliceAttention(nn.Module):
    """The slices' mean by their likeness to the key slice.

    At each position the weights are a softmax over the slices of the cosine between their features
    and the middle slice's, times a learned scale, which begins at 1. Equal slices give their own
    features.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Fuse ``x`` (n, slices, c, h, w) to (n, c, h, w)."""
        key = x.shape[1] // 2
        cosines = F.cosine_similarity(x, x[:, key : key + 1], dim=2)
        weights = (self.scale * cosines).softmax(1)
        return torch.einsum('nschw,nshw->nchw', x, weights.to(x))
