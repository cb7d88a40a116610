"""Auto-lesion blocks of ElixirNet and their genotypes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmlesion.utils import UserError

from .alb_operations import OPERATIONS, RELU_CONV_BN, build_operation
from .non_local_relation import NonLocalRelation

DEFAULT_GENOTYPES = dict(
    alb=[
        (0, 'non_local', 0, 'atrous_conv_3x3_r3'),
        (0, 'atrous_conv_3x3_r5', 1, 'skip_connect'),
        (1, 'atrous_conv_3x3_r3', 2, 'skip_connect'),
        (0, 'skip_connect', 3, 'atrous_conv_3x3_r5'),
    ],
    reduction=[
        (0, 'sep_conv_1x3_3x1', 0, 'avg_pool_3x3'),
        (0, 'sep_conv_5x5', 1, 'skip_connect'),
        (0, 'avg_pool_3x3', 2, 'sep_conv_1x3_3x1'),
        (1, 'sep_conv_5x5', 0, 'skip_connect'),
    ],
)
"""Genotypes of the two blocks. The paper's are in a figure (Figure 3); these are an assumption that
agrees with its words, section "Auto-lesion Block": dilated convolutions of mixed receptive fields
and Non-local in ALB; asymmetric 1x3 and 3x1, large-kernel depthwise convolutions and average
pooling in ALBr."""


def check_genotype(genotype: Sequence[tuple]) -> None:
    """Check the genotype of a block.

    Args:
        genotype (Sequence[tuple]): Of each branch ``(input1, operation1, input2, operation2)``.
            Input 0 is the block's own, input k the output of the k-th branch, counted from 1; a
            branch takes inputs from before it. The paper has four branches.

    Raises:
        UserError: If it is anything else, naming the branch.
    """
    if not isinstance(genotype, (list, tuple)) or not genotype:
        raise UserError(f'a genotype is a list of branches, not {genotype!r}')
    for number, branch in enumerate(genotype, 1):
        where = f'branch {number} of the genotype, {branch!r}'
        if not isinstance(branch, (list, tuple)) or len(branch) != 4:
            raise UserError(f'{where}: write (input1, operation1, input2, operation2)')
        for source, operation in (branch[:2], branch[2:]):
            if not isinstance(source, int) or not 0 <= source < number:
                raise UserError(f'{where}: input {source!r} is not one of 0 to {number - 1}')
            if operation not in OPERATIONS:
                raise UserError(
                    f'{where}: no operation {operation!r}; choose from {", ".join(OPERATIONS)}'
                )


class AutoLesionBlock(nn.Module):
    """Auto-lesion block (ALB) of ElixirNet, section "Search Space for ALB".

    A 1x1 convolution (in the order ReLU, convolution, BN) brings the input to D channels. A branch
    adds two operations on earlier results; the outputs of all B branches are concatenated.

    Args:
        in_channels (int): Channels of the input.
        channels (int): Channels D of each branch.
        genotype (list[tuple]): See :func:`check_genotype`.

    Attributes:
        out_channels (int): B * D.

    Raises:
        UserError: If the genotype is wrong.
    """

    def __init__(self, in_channels: int, channels: int, genotype: list[tuple]) -> None:
        super().__init__()
        check_genotype(genotype)
        self.preprocess = ConvModule(in_channels, channels, 1, **RELU_CONV_BN)
        self.inputs = [(branch[0], branch[2]) for branch in genotype]
        self.operations = nn.ModuleList()
        for _, operation1, _, operation2 in genotype:
            pair = build_operation(operation1, channels), build_operation(operation2, channels)
            self.operations.append(nn.ModuleList(pair))
        self.out_channels = len(genotype) * channels

    @property
    def with_relations(self) -> bool:
        """bool: Whether there is a Non-local operation."""
        return any(isinstance(module, NonLocalRelation) for module in self.modules())

    @property
    def relations(self) -> list[Tensor] | None:
        """list[Tensor] | None: Mean E (n, n) of the Non-local operations for each image.

        Of the last forward pass; None if there is no such operation.
        """
        modules = [module for module in self.modules() if isinstance(module, NonLocalRelation)]
        if not modules:
            return None
        by_image = zip(*(module.relations for module in modules))
        return [torch.stack(relations).mean(0) for relations in by_image]

    def forward(self, x: Tensor, num_regions: list[int]) -> Tensor:
        """Compute the block.

        Args:
            x (Tensor): Features (N, in_channels, h, w) of the regions, image after image.
            num_regions (list[int]): Regions of each image; they sum to N.

        Returns:
            Tensor: (N, out_channels, h, w); from a reduction block half of h and w, rounded up.
        """
        # State 0 is the input, state k the output of the k-th branch, as genotypes number them.
        states = [self.preprocess(x)]
        for (source1, source2), pair in zip(self.inputs, self.operations):
            operation1, operation2 = pair.children()
            first = operation1(states[source1], num_regions)
            second = operation2(states[source2], num_regions)
            states.append(first + second)
        return torch.cat(states[1:], 1)


class AutoLesionReductionBlock(AutoLesionBlock):
    """Auto-lesion block that halves the resolution and doubles the channels (ALBr of ElixirNet).

    All of its operations have stride 1, so what reduces is not in the paper's text. Assumed here:
    average pooling 2x2 (an odd size is rounded up) of the block's input, which the 1x1 convolution
    then brings to 2 * D channels.

    Args:
        in_channels (int): Channels of the input.
        channels (int): Channels D of each branch of the block before; this one's have 2 * D.
        genotype (list[tuple]): See :func:`check_genotype`.

    Attributes:
        out_channels (int): B * 2 * D.
    """

    def __init__(self, in_channels: int, channels: int, genotype: list[tuple]) -> None:
        super().__init__(in_channels, 2 * channels, genotype)
        self.preprocess = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), self.preprocess)
