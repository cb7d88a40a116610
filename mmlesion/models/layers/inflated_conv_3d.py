"""3D convolutions initialized from 2D weights."""

from __future__ import annotations

from typing import Any

from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

from mmlesion.utils import OptionError

# In mmengine's registry, in which mmcv's `build_conv_layer` looks whatever the scope.


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
