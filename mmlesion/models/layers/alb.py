"""Auto-lesion blocks of ElixirNet and their genotypes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmlesion.utils import UserError

from .alb_operations import DARTS_OPERATIONS, OPERATIONS, RELU_CONV_BN, build_operation
from .relations import NonLocalRelation

DEFAULT_GENOTYPES = dict(
    alb=[
        (0, 'non_local', -1, 'atrous_conv_3x3_r3'),
        (0, 'atrous_conv_3x3_r5', 1, 'skip_connect'),
        (1, 'atrous_conv_3x3_r3', 2, 'skip_connect'),
        (-1, 'skip_connect', 3, 'atrous_conv_3x3_r5'),
    ],
    reduction=[
        (0, 'sep_conv_1x3_3x1', -1, 'avg_pool_3x3'),
        (0, 'sep_conv_5x5', 1, 'skip_connect'),
        (-1, 'avg_pool_3x3', 2, 'sep_conv_1x3_3x1'),
        (1, 'sep_conv_5x5', 0, 'skip_connect'),
    ],
)
"""Genotypes of the two blocks. The paper's are in a figure (Figure 3), of which the text has these
operations alone, section "Auto-lesion Block": dilated convolutions of mixed receptive fields and
Non-local in ALB; asymmetric 1x3 and 3x1, large-kernel depthwise convolutions and average pooling in
ALBr. Which inputs they have is an assumption, and neither of them has been found by a search."""


def check_genotype(genotype: Sequence[tuple]) -> None:
    """Check the genotype of a block.

    Args:
        genotype: Of each branch ``(input1, operation1, input2, operation2)``.
            Input 0 is the output of the block before, input -1 of the block before that, and input
            k the output of the k-th branch, counted from 1; a branch takes inputs from before it.
            The paper has four branches, each with two different inputs.

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
            if not isinstance(source, int) or not -1 <= source < number:
                raise UserError(f'{where}: input {source!r} is not one of -1 to {number - 1}')
            if operation not in OPERATIONS + DARTS_OPERATIONS:
                raise UserError(
                    f'{where}: no operation {operation!r}; choose from {", ".join(OPERATIONS)}'
                )


def preprocess_input(in_channels: int, channels: int, halvings: int) -> nn.Module:
    """Build what brings an input of a block to the size and the D channels of its branches.

    Average pooling 2x2, where an odd size is rounded up, and a 1x1 convolution (in the order ReLU,
    convolution, BN). DARTS reduces by strided convolutions that an odd size, as the 7 x 7 positions
    of a region, does not fit.

    Args:
        in_channels: Channels of the input.
        channels: Channels D.
        halvings: How many times the input is pooled.
    """
    pools = [nn.AvgPool2d(2, ceil_mode=True) for _ in range(halvings)]
    return nn.Sequential(*pools, ConvModule(in_channels, channels, 1, **RELU_CONV_BN))


def plan_blocks(channels: int, branches: Sequence[int]) -> Iterator[dict]:
    """Yield the options of an ALB and the reduction blocks behind it.

    All operations have stride 1, so what reduces is not in the paper's text. Assumed here: both
    inputs of a reduction block are halved before its operations, and the one from before another
    reduction is halved once more, as in DARTS. The first block has the same input twice.

    Args:
        channels: Channels D of each branch of the first block; each further block has twice
            as many.
        branches: Number of branches of each block, B.

    Yields:
        dict: ``channels``, and of the inputs -1 and 0 ``in_channels`` and ``halvings``, for
        :class:`AutoLesionBlock`.
    """
    older = previous = branches[0] * channels
    for number, width in enumerate(branches):
        halvings = min(number, 2), min(number, 1)
        yield dict(in_channels=(older, previous), channels=channels, halvings=halvings)
        older, previous = previous, width * channels
        channels *= 2


class AutoLesionBlock(nn.Module):
    """Auto-lesion block of ElixirNet, section "Search Space for ALB", with the inputs of DARTS.

    A branch adds two operations on earlier results: the outputs of the two blocks before, or of
    branches. The outputs of all B branches are concatenated. With ``halvings`` it is the reduction
    block, ALBr.

    Args:
        in_channels: Channels of the inputs -1 and 0.
        channels: Channels D of each branch.
        genotype: See :func:`check_genotype`.
        halvings: How many times either input is halved, see
            :func:`preprocess_input`. Defaults to (0, 0).

    Attributes:
        out_channels: B * D.

    Raises:
        UserError: If the genotype is wrong.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        genotype: list[tuple],
        halvings: Sequence[int] = (0, 0),
    ) -> None:
        super().__init__()
        check_genotype(genotype)
        self.inputs = [(branch[0], branch[2]) for branch in genotype]
        self.preprocess = nn.ModuleList()
        for source, width, number in zip((-1, 0), in_channels, halvings):
            # weights that lead to no branch would never have a gradient
            used = any(source in pair for pair in self.inputs)
            self.preprocess.append(
                preprocess_input(width, channels, number) if used else nn.Identity()
            )
        self.operations = nn.ModuleList()
        for _, operation1, _, operation2 in genotype:
            pair = build_operation(operation1, channels), build_operation(operation2, channels)
            self.operations.append(nn.ModuleList(pair))
        self.out_channels = len(genotype) * channels

    @property
    def with_relations(self) -> bool:
        """bool: Whether there is a Non-local operation."""
        return any(isinstance(module, NonLocalRelation) for module in self.modules())

    def forward(
        self, older: Tensor, previous: Tensor, num_regions: list[int]
    ) -> tuple[Tensor, list[Tensor] | None]:
        """Compute the block.

        Args:
            older: Output (N, C, h, w) of the block before the last one, input -1, of the
                regions, image after image.
            previous: Output of the last block, input 0. After ``halvings`` both have the
                same size.
            num_regions: Regions of each image; they sum to N.

        Returns:
            tuple: Features (N, out_channels, h, w), the size of the halved inputs, and the mean E
            (n, n) of the Non-local operations of each image; None without any.
        """
        relations: list[list[Tensor]] = []  # of each Non-local operation
        # state 0 is the input -1, so that the state of a genotype's input is one further
        states = [layer(x) for layer, x in zip(self.preprocess, (older, previous))]
        for sources, pair in zip(self.inputs, self.operations):
            outputs = []
            for source, operation in zip(sources, pair.children()):
                x = states[source + 1]
                if isinstance(operation, NonLocalRelation):
                    relations.append(operation.relate(x, num_regions))
                    outputs.append(operation.mix(x, relations[-1]))
                else:
                    outputs.append(operation(x, num_regions))
            states.append(outputs[0] + outputs[1])
        means = [torch.stack(of_image).mean(0) for of_image in zip(*relations)]
        return torch.cat(states[2:], 1), means if relations else None
