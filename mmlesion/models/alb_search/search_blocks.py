"""Auto-lesion blocks for the search, with all operations on every edge."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn

from ..layers import OPERATIONS, build_operation
from ..layers.alb_operations import RELU_CONV_BN
from .genotypes import EDGES, NUM_BRANCHES, chosen_operations


class Architecture(nn.Module):
    """Architecture parameters of the auto-lesion blocks (ElixirNet, equation 3).

    One set for the ALB and one that all reduction blocks share: a vector over the operations for
    each edge, which a softmax turns into weights. They begin near zero, as in DARTS.

    Attributes:
        alphas (nn.ParameterDict): ``alb`` and ``reduction``, (10, 9) each.
        genotypes (dict | None): If set, the blocks compute only these genotypes.
    """

    def __init__(self) -> None:
        super().__init__()
        shape = len(EDGES), len(OPERATIONS)
        self.alphas = nn.ParameterDict()
        for kind in ('alb', 'reduction'):
            self.alphas[kind] = nn.Parameter(1e-3 * torch.randn(shape))
        self.genotypes: dict[str, list[tuple]] | None = None

    def weights(self) -> dict[str, Tensor]:
        """Return weights (10, 9) of the operations of each edge, by kind of block."""
        return {kind: alpha.softmax(-1) for kind, alpha in self.alphas.items()}

    def gates(self) -> dict[str, list[list]]:
        """Return the factors of the operations, by kind of block.

        Returns:
            dict[str, list[list]]: A factor for each edge and operation, None where it has no part.
        """
        gates = {}
        if self.genotypes is not None:
            for kind, genotype in self.genotypes.items():
                gates[kind] = _genotype_gates(genotype)
            return gates
        for kind, weights in self.weights().items():
            gates[kind] = [edge.unbind() for edge in weights]
        return gates

    def entropies(self) -> dict[str, float]:
        """Return the mean entropy of the edges' operations, in nats, by kind of block."""
        entropies = {}
        for kind, weights in self.weights().items():
            of_edges = torch.special.entr(weights).sum(-1)  # (10,)
            entropies[kind] = of_edges.mean().item()
        return entropies


def _genotype_gates(genotype: Sequence[tuple]) -> list[list[float | None]]:
    gates: list[list[float | None]] = [[None] * len(OPERATIONS) for _ in EDGES]
    for edge, operation in chosen_operations(genotype):
        gates[edge][operation] = 1.0
    return gates


class MixedOperation(nn.Module):
    """Weighted sum of all operations on one input (ElixirNet, equation 3).

    'none' is not computed: it adds nothing, and takes weight from the others. As in DARTS, batch
    normalization has no scale and shift here, which could replace the weights.

    Args:
        channels (int): Channels D of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(build_operation(name, channels) for name in OPERATIONS[1:])
        for module in self.modules():
            # a learned scale could make up for an operation's weight, which then says nothing
            if isinstance(module, _BatchNorm):
                module.affine, module.weight, module.bias = False, None, None

    def forward(
        self, x: Tensor, num_regions: list[int], gates: Sequence[Tensor | float | None]
    ) -> Tensor | int:
        """Mix the operations.

        Args:
            x (Tensor): Features (N, D, h, w) of the regions, image after image.
            num_regions (list[int]): Regions of each image.
            gates (Sequence[Tensor | float | None]): Weights of the nine operations.

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
        in_channels (int): Channels of the input.
        channels (int): Channels D of each branch.

    Attributes:
        out_channels (int): 4 * D.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.preprocess = ConvModule(in_channels, channels, 1, **RELU_CONV_BN)
        self.edges = nn.ModuleList(MixedOperation(channels) for _ in EDGES)
        self.out_channels = NUM_BRANCHES * channels

    def forward(self, x: Tensor, num_regions: list[int], gates: list[list]) -> Tensor:
        """Compute the block.

        Args:
            x (Tensor): Features (N, in_channels, h, w) of the regions, image after image.
            num_regions (list[int]): Regions of each image.
            gates (list[list]): See :meth:`Architecture.gates`.

        Returns:
            Tensor: (N, out_channels, h, w).
        """
        # State 0 is the input, state k what has been added up of the k-th branch. EDGES are in the
        # order of their branches, so that a state is complete before it is used.
        states = [self.preprocess(x)] + [0] * NUM_BRANCHES
        for (source, branch), edge, gate in zip(EDGES, self.edges, gates):
            states[branch] = states[branch] + edge(states[source], num_regions, gate)
        return torch.cat(states[1:], 1)


class SearchReductionBlock(SearchBlock):
    """Search block that halves the resolution and doubles the channels.

    As :class:`~mmlesion.models.layers.AutoLesionReductionBlock` does.

    Args:
        in_channels (int): Channels of the input.
        channels (int): Channels D of each branch of the block before; this one's have 2 * D.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(in_channels, 2 * channels)
        # ceil_mode as in the block that is trained later: odd sides keep their last row
        self.preprocess = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), self.preprocess)
