"""Derivation, sampling and storage of genotypes of auto-lesion blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmlesion.io.atomic import atomic_write

from ..layers import OPERATIONS

NUM_BRANCHES = 4
"""B of ElixirNet, section "Implementation Details"."""

EDGES = tuple(
    (source, branch) for branch in range(1, NUM_BRANCHES + 1) for source in range(-1, branch)
)
"""(input, branch) of each of the 14 edges of a block, numbered as in
:func:`~mmlesion.models.layers.check_genotype`."""


def count_genotypes(operations: Sequence[str] = OPERATIONS) -> int:
    """Count the genotypes of a block that :func:`derive_genotype` can return.

    Args:
        operations: Operations of an edge, the first of which is 'none'.

    Returns:
        int: 3.02e9 for ElixirNet's nine, the paper's 3 x 10^9.
    """
    # branch k takes two of its k + 1 inputs, and for each an operation other than 'none'
    choices = (math.comb(k + 1, 2) * (len(operations) - 1) ** 2 for k in range(1, NUM_BRANCHES + 1))
    return math.prod(choices)


def derive_genotype(weights: np.ndarray, operations: Sequence[str] = OPERATIONS) -> list[tuple]:
    """Derive the strongest genotype from a block's architecture weights.

    ElixirNet, section "Differentiable Search Strategy", takes the most likely operation of each
    edge, and a branch has two inputs. As in DARTS, those are the two edges with the strongest
    operation other than 'none'.

    Args:
        weights: (14, O) weights of the operations of each edge, in the order of
            :data:`EDGES` and ``operations``.
        operations: Operations of an edge, the first of which is 'none'.

    Returns:
        list[tuple]: Of each branch ``(input1, operation1, input2, operation2)``, strongest first.
    """
    choices = weights[:, 1:]
    best = choices.max(1)
    genotype = []
    for branch in range(1, NUM_BRANCHES + 1):
        edges = [edge for edge, (_, target) in enumerate(EDGES) if target == branch]
        strongest = sorted(edges, key=lambda edge: -best[edge])[:2]
        first, second = (
            (EDGES[edge][0], operations[1 + choices[edge].argmax()]) for edge in strongest
        )
        genotype.append(first + second)
    return genotype


def sample_genotype(
    generator: np.random.Generator, operations: Sequence[str] = OPERATIONS
) -> list[tuple]:
    """Draw a genotype uniformly from those that :func:`derive_genotype` can return.

    Args:
        generator: The source of randomness.
        operations: Operations of an edge, the first of which is 'none'.

    Returns:
        list[tuple]: As :func:`derive_genotype` does.
    """
    genotype = []
    for branch in range(1, NUM_BRANCHES + 1):
        input1, input2 = generator.choice(range(-1, branch), 2, replace=False).tolist()
        operation1, operation2 = generator.choice(operations[1:], 2).tolist()
        genotype.append((input1, operation1, input2, operation2))
    return genotype


def chosen_operations(
    genotype: Sequence[tuple], operations: Sequence[str] = OPERATIONS
) -> list[tuple[int, int]]:
    """Return the (edge, operation) index pairs of a genotype, two per branch."""
    pairs = []
    for branch, (source1, operation1, source2, operation2) in enumerate(genotype, 1):
        pairs.append((EDGES.index((source1, branch)), operations.index(operation1)))
        pairs.append((EDGES.index((source2, branch)), operations.index(operation2)))
    return pairs


def write_genotypes(genotypes: dict[str, list[tuple]], path: str | Path, comment: str) -> None:
    """Write genotypes as a config fragment, for the ``_base_`` of a training config.

    Args:
        genotypes: Genotypes ``alb`` and ``reduction``.
        path: The file.
        comment: A line about where they are from.
    """
    lines = [f'# {comment}', 'genotypes = dict(']
    for kind, genotype in genotypes.items():
        lines.append(f'    {kind}=[')
        lines += [f'        {branch!r},' for branch in genotype]
        lines.append('    ],')
    lines.append(')\n')
    with atomic_write(path) as temporary:
        temporary.write_text('\n'.join(lines))
