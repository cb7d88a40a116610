"""Auto-lesion blocks for the search, with all operations on every edge."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn

from mmlesion.utils import OptionError

from ..layers import DARTS_OPERATIONS, OPERATIONS, build_operation
from ..layers.alb import plan_blocks, preprocess_input
from .genotypes import EDGES, NUM_BRANCHES, chosen_operations


class Architecture(nn.Module):
    """Architecture parameters of the auto-lesion blocks (ElixirNet, equation 3).

    One set for the ALB and one that all reduction blocks share: a vector over the operations for
    each edge, which a softmax turns into weights. They begin near zero, as in DARTS.

    Attributes:
        alphas: ``alb`` and ``reduction``, (14, 9) each for nine operations.
        genotypes: If set, the blocks compute only these genotypes.

    Args:
        operations: Operations of an edge, the first of which is 'none'.
    """

    def __init__(self, operations: Sequence[str] = OPERATIONS) -> None:
        super().__init__()
        self.operations = tuple(operations)
        shape = len(EDGES), len(self.operations)
        self.alphas = nn.ParameterDict()
        for kind in ('alb', 'reduction'):
            self.alphas[kind] = nn.Parameter(1e-3 * torch.randn(shape))
        self.genotypes: dict[str, list[tuple]] | None = None

    def weights(self) -> dict[str, Tensor]:
        """Return weights (14, 9) of the operations of each edge, by kind of block."""
        return {kind: alpha.softmax(-1) for kind, alpha in self.alphas.items()}

    def gates(self) -> dict[str, list[list]]:
        """Return the factors of the operations, by kind of block.

        Returns:
            dict[str, list[list]]: A factor for each edge and operation, None where it has no part.
        """
        gates = {}
        if self.genotypes is not None:
            for kind, genotype in self.genotypes.items():
                gates[kind] = self._genotype_gates(genotype)
            return gates
        for kind, weights in self.weights().items():
            gates[kind] = [edge.unbind() for edge in weights]
        return gates

    def entropies(self) -> dict[str, float]:
        """Return the mean entropy of the edges' operations, in nats, by kind of block."""
        entropies = {}
        for kind, weights in self.weights().items():
            of_edges = torch.special.entr(weights).sum(-1)  # (14,)
            entropies[kind] = of_edges.mean().item()
        return entropies

    def _genotype_gates(self, genotype: Sequence[tuple]) -> list[list[float | None]]:
        gates: list[list[float | None]] = [[None] * len(self.operations) for _ in EDGES]
        for edge, operation in chosen_operations(genotype, self.operations):
            gates[edge][operation] = 1.0
        return gates


def _remove_scales(module: nn.Module) -> None:
    """Take scale and shift from all batch normalization, as DARTS does while searching."""
    for norm in module.modules():
        # a learned scale could make up for an operation's weight, which then says nothing
        if isinstance(norm, _BatchNorm):
            norm.affine, norm.weight, norm.bias = False, None, None


class NormalizedOperation(nn.Sequential):
    """An operation without batch normalization of its own, and one behind it.

    Args:
        operation: See :func:`~mmlesion.models.layers.build_operation`.
        norm: The normalization.
    """

    # an operation is called with the regions' numbers too
    def forward(  # type: ignore[override]
        self, x: Tensor, num_regions: list[int]
    ) -> Tensor:
        """Normalize what the operation makes of features ``x`` (N, D, h, w)."""
        operation, norm = self
        return norm(operation(x, num_regions))


class MixedOperation(nn.Module):
    """Weighted sum of all operations on one input (ElixirNet, equation 3).

    'none' is not computed: it adds nothing, and takes weight from the others. As in DARTS, batch
    normalization has no scale and shift here, which could replace the weights, and stands behind
    pooling, too. Non-local, whose layers have none, is treated as pooling is.

    Args:
        channels: Channels D of the features.
        operations: The operations, the first of which is 'none'.
    """

    def __init__(self, channels: int, operations: Sequence[str] = OPERATIONS) -> None:
        super().__init__()
        self.operations = nn.ModuleList()
        for name in operations[1:]:
            operation = build_operation(name, channels)
            if 'pool' in name or name == 'non_local':
                operation = NormalizedOperation(operation, nn.BatchNorm2d(channels))
            self.operations.append(operation)
        _remove_scales(self)

    def forward(
        self, x: Tensor, num_regions: list[int], gates: Sequence[Tensor | float | None]
    ) -> Tensor | int:
        """Mix the operations.

        Args:
            x: Features (N, D, h, w) of the regions, image after image.
            num_regions: Regions of each image.
            gates: Weights of the operations.

        Returns:
            Tensor | int: (N, D, h, w), or 0 where no operation has part.
        """
        total: Tensor | int = 0
        # gates[0] is that of 'none', whose output is 0
        for gate, operation in zip(gates[1:], self.operations):
            if gate is not None:
                total = total + gate * operation(x, num_regions)
        return total


class SearchBlock(nn.Module):
    """Auto-lesion block whose branches mix all operations on all earlier outputs.

    It is :class:`~mmlesion.models.layers.AutoLesionBlock` before the choice.

    Args:
        in_channels: Channels of the inputs -1 and 0.
        channels: Channels D of each branch.
        halvings: How many times either input is halved. Defaults to (0, 0).
        operations: Operations of an edge, the first of which is 'none'.

    Attributes:
        out_channels: 4 * D.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        halvings: Sequence[int] = (0, 0),
        operations: Sequence[str] = OPERATIONS,
    ) -> None:
        super().__init__()
        self.preprocess = nn.ModuleList(
            preprocess_input(width, channels, number)
            for width, number in zip(in_channels, halvings)
        )
        self.edges = nn.ModuleList(MixedOperation(channels, operations) for _ in EDGES)
        self.out_channels = NUM_BRANCHES * channels
        _remove_scales(self)

    def forward(
        self, older: Tensor, previous: Tensor, num_regions: list[int], gates: list[list]
    ) -> Tensor:
        """Compute the block.

        Args:
            older: Output (N, C, h, w) of the block before the last one, of the regions,
                image after image.
            previous: Output of the last block.
            num_regions: Regions of each image.
            gates: See :meth:`Architecture.gates`.

        Returns:
            Tensor: (N, out_channels, h, w), the size of the halved inputs.
        """
        # State 0 is the input -1; behind the inputs is what has been added up of each branch. EDGES
        # are in the order of their branches, so that a state is complete before it is used.
        inputs = [layer(x) for layer, x in zip(self.preprocess, (older, previous))]
        states = inputs + [0] * NUM_BRANCHES
        for (source, branch), edge, gate in zip(EDGES, self.edges, gates):
            states[branch + 1] = states[branch + 1] + edge(states[source + 1], num_regions, gate)
        return torch.cat(states[2:], 1)


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
