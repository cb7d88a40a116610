"""Region encoder of fully connected layers."""

from __future__ import annotations

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class FCEncoder(BaseModule):
    """Features of regions by two fully connected layers, those of mmdet's ``Shared2FCBBoxHead``.

    For relation transfer without auto-lesion blocks.

    Args:
        in_channels: Channels of the regions' features. Defaults to 256.
        roi_feat_size: Their height and width. Defaults to 7.
        fc_out_channels: Channels of both layers. Defaults to 1024.
        init_cfg: Initialization config. Defaults to mmdet's for such layers.

    Attributes:
        out_channels: ``fc_out_channels``.
        with_relations: False.
    """

    with_relations = False

    def __init__(
        self,
        in_channels: int = 256,
        roi_feat_size: int = 7,
        fc_out_channels: int = 1024,
        init_cfg: dict | list[dict] | None = dict(
            type='Xavier', layer='Linear', distribution='uniform'
        ),
    ) -> None:
        super().__init__(init_cfg)
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(in_channels * roi_feat_size**2, fc_out_channels),
            nn.ReLU(inplace=True),
            nn.Linear(fc_out_channels, fc_out_channels),
            nn.ReLU(inplace=True),
        )
        self.out_channels = fc_out_channels

    def forward(self, x: Tensor, num_regions: list[int]) -> tuple[Tensor, None]:
        """Encode each region separately.

        Args:
            x: Features (N, in_channels, h, w) of the regions.
            num_regions: Regions of each image; they sum to N.

        Returns:
            tuple: Features (N, fc_out_channels), and None: there are no relations.
        """
        return self.layers(x), None
