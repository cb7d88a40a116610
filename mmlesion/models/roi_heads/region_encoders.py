"""Encoders of regions: fully connected layers, or the auto-lesion blocks of ElixirNet."""

from __future__ import annotations

import math

import torch
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmdet.utils import OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlesion.models.layers import DEFAULT_GENOTYPES, AutoLesionBlock
from mmlesion.models.layers.alb import plan_blocks
from mmlesion.models.layers.alb_operations import CONV_BN
from mmlesion.utils import OptionError, UserError

# so few of 256 channels and 7 x 7 positions stay in a CPU's cache
REGIONS_AT_ONCE = 128


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
        init_cfg: OptMultiConfig = dict(type='Xavier', layer='Linear', distribution='uniform'),
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


@MODELS.register_module()
class ALBEncoder(BaseModule):
    """Features of regions by auto-lesion blocks (ElixirNet, section "Implementation Details").

    A 3x3 convolution to B * D channels, an auto-lesion block, reduction blocks, each of which
    halves the resolution and doubles the channels, and a layer that turns the positions left, 2 x 2
    of 7 x 7, into one vector. The convolution has BN but no ReLU, as the blocks begin with one;
    there is one before the last layer.

    The paper says neither how positions end nor where. With a mean over them the network has the
    paper's number of parameters, but takes longer to locate boxes than with a linear layer
    (configs/elixirnet/README.md).

    Args:
        in_channels: Channels of the regions' features. Defaults to 256.
        channels: Channels D of each branch of the first block. Defaults to 32.
        num_reductions: Reduction blocks. Defaults to 2.
        genotypes: Genotypes ``alb`` and ``reduction``, see
            :func:`mmlesion.models.layers.check_genotype`. Defaults to None, for
            :data:`mmlesion.models.layers.DEFAULT_GENOTYPES`.
        pool: 'mean', the mean of the last block's positions; or 'linear', a linear layer over
            its channels and positions, and ReLU. Defaults to 'mean'.
        roi_feat_size: Height and width of the regions' features, for 'linear'. Defaults to 7.

    Attributes:
        out_channels: Channels P of the result, 512 by default.
        with_relations: Whether the first block has a Non-local operation.

    Raises:
        UserError: If the genotypes are wrong, or ``pool`` is neither.
    """

    def __init__(
        self,
        in_channels: int = 256,
        channels: int = 32,
        num_reductions: int = 2,
        genotypes: dict | None = None,
        pool: str = 'mean',
        roi_feat_size: int = 7,
    ) -> None:
        super().__init__()
        genotypes = DEFAULT_GENOTYPES if genotypes is None else genotypes
        if set(genotypes) != set(DEFAULT_GENOTYPES):
            raise OptionError(f"genotypes are 'alb' and 'reduction', not {genotypes}", self)
        kinds = ['alb'] + ['reduction'] * num_reductions
        plan = plan_blocks(channels, [len(genotypes[kind]) for kind in kinds])
        self.alb, *reductions = (
            AutoLesionBlock(**options, genotype=genotypes[kind])
            for kind, options in zip(kinds, plan)
        )
        self.reductions = nn.ModuleList(reductions)
        width = len(genotypes['alb']) * channels
        self.conv = ConvModule(in_channels, width, 3, padding=1, act_cfg=None, **CONV_BN)
        self.out_channels = [self.alb, *self.reductions][-1].out_channels
        self.pool = self._build_pool(pool, roi_feat_size)
        # otherwise a tenth of the time on a CPU goes into reordering the many small regions
        self.to(memory_format=torch.channels_last)
        self.with_relations = self.alb.with_relations

    def forward(self, x: Tensor, num_regions: list[int]) -> tuple[Tensor, list[Tensor] | None]:
        """Encode regions.

        Args:
            x: Features (N, in_channels, h, w) of the regions, image after image.
            num_regions: Regions n of each image; they sum to N.

        Returns:
            tuple: Features (N, P), and of each image the relations E (n, n) of the first block,
            list[Tensor], the mean where it has several Non-local operations; None where it has
            none.
        """
        # as in DARTS, the first block has the same input twice
        older = self._reduce_channels(x)
        previous, relations = self.alb(older, older, num_regions)
        for block in self.reductions:
            older, (previous, _) = previous, block(older, previous, num_regions)
        return self.pool(previous.relu()).flatten(1), relations

    def _reduce_channels(self, x: Tensor) -> Tensor:
        if self.training:  # batch normalization needs all regions
            return self.conv(x)
        return torch.cat([self.conv(regions) for regions in x.split(REGIONS_AT_ONCE)])

    def _build_pool(self, pool: str, size: int) -> nn.Module:
        if pool not in ('linear', 'mean'):
            raise UserError(f"ALBEncoder: pool must be 'linear' or 'mean', not {pool!r}")
        if pool == 'mean':
            return nn.AdaptiveAvgPool2d(1)
        for _ in self.reductions:
            size = math.ceil(size / 2)
        # a kernel as large as the map is a linear layer on all of its positions
        return nn.Sequential(nn.Conv2d(self.out_channels, self.out_channels, size), nn.ReLU())
