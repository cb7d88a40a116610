"""The region encoder from which the search derives genotypes."""

from __future__ import annotations

from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlesion.utils import OptionError

from ..layers import DARTS_OPERATIONS, OPERATIONS
from ..layers.alb import plan_blocks
from .genotypes import NUM_BRANCHES
from .search_blocks import Architecture, SearchBlock

OPERATION_SETS = dict(elixirnet=OPERATIONS, darts=DARTS_OPERATIONS)


@MODELS.register_module()
class SearchALBEncoder(BaseModule):
    """:class:`~mmlesion.models.ALBEncoder` for the search of its genotypes.

    It replaces the encoder in ``RelationBBoxHead`` while :class:`ALBSearchLoop` trains it. It
    provides no relations: ElixirNet searches the blocks without the relation transfer module.

    Args:
        in_channels: Channels of the regions' features. Defaults to 256.
        channels: Channels D of each branch of the first block. Defaults to 16, half of what
            the blocks have when they are trained.
        num_reductions: Reduction blocks. Defaults to 2.
        operations: Operations among which the search chooses, ``elixirnet`` or ``darts``
            (Table 6, "w/o our search space"). Defaults to ``elixirnet``.

    Attributes:
        architecture: The searched architecture.
        out_channels: Channels P of the result, 256 by default.
        with_relations: False.

    Raises:
        UserError: If ``operations`` is neither.
    """

    with_relations = False

    def __init__(
        self,
        in_channels: int = 256,
        channels: int = 16,
        num_reductions: int = 2,
        operations: str = 'elixirnet',
    ) -> None:
        super().__init__()
        if operations not in OPERATION_SETS:
            raise OptionError(
                f'operations={operations!r}: choose from {", ".join(OPERATION_SETS)}', self
            )
        self.architecture = Architecture(OPERATION_SETS[operations])
        self.conv = ConvModule(
            in_channels,
            NUM_BRANCHES * channels,
            3,
            padding=1,
            norm_cfg=dict(type='BN'),
            act_cfg=None,
        )
        plan = plan_blocks(channels, [NUM_BRANCHES] * (1 + num_reductions))
        self.alb, *reductions = (
            SearchBlock(**options, operations=self.architecture.operations) for options in plan
        )
        self.reductions = nn.ModuleList(reductions)
        self.out_channels = [self.alb, *reductions][-1].out_channels

    def forward(self, x: Tensor, num_regions: list[int]) -> tuple[Tensor, None]:
        """Encode regions.

        Args:
            x: Features (N, in_channels, h, w) of the regions, image after image.
            num_regions: Regions of each image; they sum to N.

        Returns:
            tuple: Features (N, P), and None: there are no relations.
        """
        gates = self.architecture.gates()
        # as in DARTS, the first block has the same input twice
        older = self.conv(x)
        previous = self.alb(older, older, num_regions, gates['alb'])
        for block in self.reductions:
            older, previous = previous, block(older, previous, num_regions, gates['reduction'])
        return previous.relu().mean((2, 3)), None
