"""A RetinaNet head with a lighter subnet on P2."""

from __future__ import annotations

from typing import Any

from mmdet.models.dense_heads import RetinaHead
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class LightP2RetinaHead(RetinaHead):
    """RetinaHead with a separate narrow subnet on the finest level.

    On P2 to P6 three quarters of the subnets' work is on P2: there the tower has half the width
    and depth, while the other levels share the full one.

    Args:
        num_classes: Classes without background.
        in_channels: Channels of the feature maps.
        fine_feat_channels: Channels of the finest level's subnet. Defaults to 128.
        fine_stacked_convs: Convolutions of the finest level's subnet. Defaults to 2.
        **kwargs: The other arguments of :class:`mmdet.models.RetinaHead`, which rejects unknown
        ones.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        fine_feat_channels: int = 128,
        fine_stacked_convs: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        # the losses and the assignment are the whole head's
        fine = {key: kwargs[key] for key in kwargs if key not in ('train_cfg', 'test_cfg')}
        fine.update(feat_channels=fine_feat_channels, stacked_convs=fine_stacked_convs)
        self.fine_head = RetinaHead(num_classes, in_channels, **fine)

    def forward(self, x: tuple[Tensor, ...]) -> tuple[list[Tensor], ...]:
        """Predict on all levels.

        Args:
            x: Features (N, in_channels, H, W) of each level, the finest first.

        Returns:
            tuple[list[Tensor]]: Scores (N, A * num_classes, H, W) and box deltas (N, A * 4, H, W)
            of each level.
        """
        # each is a pair of lists over levels: scores and deltas
        fine, coarser = self.fine_head(x[:1]), super().forward(x[1:])
        return tuple(first + others for first, others in zip(fine, coarser))
