"""Derivation, sampling and storage of genotypes of auto-lesion blocks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmlesion.io.atomic import atomic_write

from ..layers import OPERATIONS

NUM_BRANCHES = 4
"""B of ElixirNet, section "Implementation Details"."""

EDGES = tuple((source, branch) for branch in range(1, NUM_BRANCHES + 1) for source in range(branch))
"""(input, branch) of each edge of a block: input 0 is the block's own, input k the k-th branch."""

CHOICES = OPERATIONS[1:]
"""Operations that a genotype may have: all but the first, 'none'."""


class _Candidate(NamedTuple):
    """An operation on an input of a branch, and its architecture weight."""

    weight: float
    source: int
    operation: str


def derive_genotype(weights: np.ndarray) -> list[tuple]:
    """Derive the strongest genotype from a block's architecture weights.

    ElixirNet, section "Differentiable Search Strategy", takes the most likely operation of each
    edge, and a branch has two inputs. As in DARTS, those are the two edges with the strongest
    operation other than 'none'. The first branch has one edge, and takes its two best operations.

    Args:
        weights (ndarray): (10, 9) weights of the operations of each edge, in the order of
            :data:`EDGES` and :data:`~mmlesion.models.layers.OPERATIONS`.

    Returns:
        list[tuple]: Of each branch ``(input1, operation1, input2, operation2)``, strongest first.
    """
    genotype = []
    for branch in range(1, NUM_BRANCHES + 1):
        candidates = []
        for edge, (source, target) in enumerate(EDGES):
            if target == branch:
                # of two different inputs; the first branch has one, and takes two operations of it
                candidates += _best_operations(weights[edge], source, 2 if branch == 1 else 1)
        first, second = sorted(candidates, key=lambda candidate: -candidate.weight)[:2]
        genotype.append((first.source, first.operation, second.source, second.operation))
    return genotype


def _best_operations(weights: np.ndarray, source: int, number: int) -> list[_Candidate]:
    """Return the best operations of an edge with the input ``source``, 'none' left out."""
    # weights without 'none', so that index i is that of CHOICES[i]
    best = np.argsort(-weights[1:], kind='stable')[:number]
    return [_Candidate(weights[1 + choice], source, CHOICES[choice]) for choice in best]


def sample_genotype(generator: np.random.Generator) -> list[tuple]:
    """Draw a genotype uniformly from those that :func:`derive_genotype` can return.

    Args:
        generator (numpy.random.Generator): The source of randomness.

    Returns:
        list[tuple]: As :func:`derive_genotype` does.
    """
    genotype = []
    for branch in range(1, NUM_BRANCHES + 1):
        # the first branch takes two different operations on the only input there is
        only_edge = branch == 1
        sources = [0, 0] if only_edge else generator.choice(branch, 2, replace=False).tolist()
        first, second = generator.choice(CHOICES, 2, replace=not only_edge).tolist()
        genotype.append((sources[0], first, sources[1], second))
    return genotype


def chosen_operations(genotype: Sequence[tuple]) -> list[tuple[int, int]]:
    """Return the (edge, operation) index pairs of a genotype, two per branch."""
    pairs = []
    for branch, (source1, operation1, source2, operation2) in enumerate(genotype, 1):
        # branches count from 1, as 0 is the block's input
        pairs.append((EDGES.index((source1, branch)), OPERATIONS.index(operation1)))
        pairs.append((EDGES.index((source2, branch)), OPERATIONS.index(operation2)))
    return pairs


def write_genotypes(genotypes: dict[str, list[tuple]], path: str | Path, comment: str) -> None:
    """Write genotypes as a config fragment, for the ``_base_`` of a training config.

    Args:
        genotypes (dict[str, list[tuple]]): Genotypes ``alb`` and ``reduction``.
        path (str | Path): The file.
        comment (str): A line about where they are from.
    """
    lines = [f'# {comment}', 'genotypes = dict(']
    for kind, genotype in genotypes.items():
        lines.append(f'    {kind}=[')
        lines += [f'        {branch!r},' for branch in genotype]
        lines.append('    ],')
    lines.append(')\n')
    with atomic_write(path) as temporary:
        temporary.write_text('\n'.join(lines))
