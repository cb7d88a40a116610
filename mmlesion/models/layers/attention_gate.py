"""Attention gates of the improved RetinaNet."""

from __future__ import annotations

import torch.nn.functional as F
from mmdet.utils import OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor, nn


class AttentionGate(BaseModule):
    """Additive attention gate on a skip connection (improved RetinaNet, section 2.3).

    1x1 convolutions of the skip's features and of the gating signal are added; ReLU, a 1x1
    convolution to one map and a sigmoid make the attention map, which multiplies every channel of
    the skip's features.

    Args:
        skip_channels: Channels of the skip connection.
        gate_channels: Channels of the gating signal.
        inter_channels: Channels in which the two are added. Defaults to None, half
            of ``skip_channels`` as in Schlemper et al.'s program.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        skip_channels: int,
        gate_channels: int,
        inter_channels: int | None = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(init_cfg)
        inter_channels = inter_channels or max(skip_channels // 2, 1)
        # one bias is enough for their sum
        self.skip_conv = nn.Conv2d(skip_channels, inter_channels, 1, bias=False)
        self.gate_conv = nn.Conv2d(gate_channels, inter_channels, 1)
        self.map_conv = nn.Conv2d(inter_channels, 1, 1)

    def attention_map(self, skip: Tensor, gate: Tensor) -> Tensor:
        """Compute the attention map.

        Args:
            skip: Features (N, skip_channels, H, W) of the skip connection.
            gate: Gating signal (N, gate_channels, H, W), the upsampled coarser level; a
                smaller size is upsampled to H x W by nearest neighbors.

        Returns:
            Tensor: (N, 1, H, W), between 0 and 1.
        """
        gate = self.gate_conv(gate)
        # after the 1x1 convolution, with which upsampling commutes: fewer px and channels
        if gate.shape[2:] != skip.shape[2:]:
            gate = F.interpolate(gate, size=skip.shape[2:], mode='nearest')
        return self.map_conv((self.skip_conv(skip) + gate).relu()).sigmoid()

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        """Gate a skip connection.

        Args:
            skip: Features (N, skip_channels, H, W) of the skip connection.
            gate: Gating signal (N, gate_channels, H, W), the upsampled coarser level; a
                smaller size is upsampled to H x W by nearest neighbors.

        Returns:
            Tensor: The gated features (N, skip_channels, H, W).
        """
        return skip * self.attention_map(skip, gate)
