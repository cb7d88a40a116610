"""Feature pyramid with attention gates."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from mmdet.models.necks import FPN
from mmdet.registry import MODELS
from torch import Tensor, nn

from mmlesion.utils import OptionError

from ..layers import AttentionGate


@MODELS.register_module()
class AttentionGateFPN(FPN):
    """FPN with an attention gate on each skip connection (improved RetinaNet, section 2.3).

    The coarser level, upsampled, gates the lateral features before it is added to them. It takes
    the place of mmdet's FPN in any config. The gates work on the laterals, after their 1x1
    convolution, where the channels are fewest; a single attention map commutes with it.

    Args:
        *args: The arguments of :class:`mmdet.models.FPN`.
        **kwargs: The arguments of :class:`mmdet.models.FPN`, which rejects unknown ones.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        channels = self.out_channels
        # the coarsest lateral has nothing above it to gate it
        self.gates = nn.ModuleList(
            AttentionGate(channels, channels) for _ in range(len(self.lateral_convs) - 1)
        )

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Build the pyramid.

        Args:
            inputs: Features (N, C_i, H_i, W_i) of each level of the backbone.

        Returns:
            tuple[Tensor]: ``num_outs`` levels (N, out_channels, H_i, W_i), the finest first.
        """
        if len(inputs) != len(self.in_channels):
            raise OptionError(
                f'{len(self.in_channels)} levels expected, but got {len(inputs)}', self
            )
        return self._outputs(self._gated_laterals(inputs), inputs)

    def _gated_laterals(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        used = inputs[self.start_level : self.backbone_end_level]
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, used)]
        # From the coarsest level down: each gates the next finer one, and is added to it.
        for i in range(len(laterals) - 1, 0, -1):
            skip = laterals[i - 1]
            coarser = F.interpolate(laterals[i], **self._resize_to(skip))
            laterals[i - 1] = self.gates[i - 1](skip, coarser) + coarser
        return laterals

    def _resize_to(self, x: Tensor) -> dict[str, Any]:
        # interpolate takes a factor or a size, not both
        fixed = 'scale_factor' in self.upsample_cfg
        return self.upsample_cfg if fixed else dict(size=x.shape[2:], **self.upsample_cfg)

    def _outputs(self, laterals: list[Tensor], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        outs = [conv(x) for conv, x in zip(self.fpn_convs, laterals)]
        if not self.add_extra_convs:
            while len(outs) < self.num_outs:
                outs.append(F.max_pool2d(outs[-1], 1, stride=2))
            return tuple(outs)
        source = dict(
            on_input=inputs[self.backbone_end_level - 1],
            on_lateral=laterals[-1],
            on_output=outs[-1],
        )[self.add_extra_convs]
        # The extra levels, each from the one before; mmdet's FPN has no ReLU before the first.
        for i, conv in enumerate(self.fpn_convs[len(laterals) :]):
            source = conv(source.relu() if i and self.relu_before_extra_convs else source)
            outs.append(source)
        return tuple(outs)
