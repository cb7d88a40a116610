"""The region encoder from which the search derives genotypes."""

from __future__ import annotations

from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from .genotypes import NUM_BRANCHES
from .search_blocks import Architecture, SearchBlock, SearchReductionBlock


@MODELS.register_module()
class SearchALBEncoder(BaseModule):
    """:class:`~mmlesion.models.ALBEncoder` for the search of its genotypes.

    It replaces the encoder in ``RelationBBoxHead`` while :class:`ALBSearchLoop` trains it. It
    provides no relations: ElixirNet searches the blocks without the relation transfer module.

    Args:
        in_channels (int): Channels of the regions' features. Defaults to 256.
        channels (int): Channels D of each branch of the first block. Defaults to 16, half of what
            the blocks have when they are trained.
        num_reductions (int): Reduction blocks. Defaults to 2.

    Attributes:
        architecture (Architecture): The searched architecture.
        out_channels (int): Channels P of the result, 256 by default.
        with_relations (bool): False.
    """

    with_relations = False

    def __init__(self, in_channels: int = 256, channels: int = 16, num_reductions: int = 2) -> None:
        super().__init__()
        width = NUM_BRANCHES * channels
        self.conv = ConvModule(
            in_channels, width, 3, padding=1, norm_cfg=dict(type='BN'), act_cfg=None
        )
        self.alb = SearchBlock(width, channels)
        self.reductions = nn.ModuleList()
        for i in range(num_reductions):
            block = SearchReductionBlock(width, channels * 2**i)
            self.reductions.append(block)
            width = block.out_channels
        self.architecture = Architecture()
        self.out_channels = width

    def forward(self, x: Tensor, num_regions: list[int]) -> tuple[Tensor, None]:
        """Encode regions.

        Args:
            x (Tensor): Features (N, in_channels, h, w) of the regions, image after image.
            num_regions (list[int]): Regions of each image; they sum to N.

        Returns:
            tuple: Features (N, P), and None: there are no relations.
        """
        gates = self.architecture.gates()
        x = self.alb(self.conv(x), num_regions, gates['alb'])
        for block in self.reductions:
            x = block(x, num_regions, gates['reduction'])
        return x.relu().mean((2, 3)), None
