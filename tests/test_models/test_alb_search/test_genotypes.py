import numpy as np
import pytest
from mmengine.config import Config

from mmlesion.models.alb_search import (
    count_genotypes,
    derive_genotype,
    sample_genotype,
    write_genotypes,
)
from mmlesion.models.alb_search.genotypes import EDGES, chosen_operations
from mmlesion.models.layers import DARTS_OPERATIONS, OPERATIONS, check_genotype

BY_HAND = {
    # edge (input, branch): {operation: weight}
    (-1, 1): dict(skip_connect=0.3, sep_conv_3x3=0.2),
    (0, 1): dict(non_local=0.4, avg_pool_3x3=0.35),
    (-1, 2): dict(skip_connect=0.05),
    (0, 2): dict(none=0.9, sep_conv_5x5=0.1),
    (1, 2): dict(none=0.2, avg_pool_3x3=0.5),
    (-1, 3): dict(),
    (0, 3): dict(sep_conv_3x3=0.2),
    (1, 3): dict(none=0.8, non_local=0.1),
    (2, 3): dict(atrous_conv_3x3_r5=0.6, atrous_conv_3x3_r3=0.3),
    (-1, 4): dict(skip_connect=0.3),
    (0, 4): dict(skip_connect=0.15),
    (1, 4): dict(none=1.0),
    (2, 4): dict(sep_conv_1x3_3x1=0.25),
    (3, 4): dict(skip_connect=0.2),
}
GENOTYPE = [
    (0, 'non_local', -1, 'skip_connect'),
    (1, 'avg_pool_3x3', 0, 'sep_conv_5x5'),
    (2, 'atrous_conv_3x3_r5', 0, 'sep_conv_3x3'),
    (-1, 'skip_connect', 2, 'sep_conv_1x3_3x1'),
]


def weights_by_hand():
    weights = np.zeros((14, 9))
    for edge, operations in BY_HAND.items():
        for operation, weight in operations.items():
            weights[EDGES.index(edge), OPERATIONS.index(operation)] = weight
    return weights


def test_edges_are_those_of_darts():
    assert len(EDGES) == 14 and EDGES == tuple(BY_HAND)


@pytest.mark.parametrize(
    'operations, number', [(OPERATIONS, 180 * 8**8), (DARTS_OPERATIONS, 180 * 7**8)]
)
def test_number_of_structures_is_that_of_the_papers(operations, number):
    """3.02e9 are the paper's 3 x 10^9; DARTS counts 1.04e9 for its own operations."""
    assert count_genotypes(operations) == number
    assert count_genotypes() == pytest.approx(3.02e9, rel=1e-3)


def test_count_of_a_small_space_is_what_is_derived(monkeypatch):
    """All genotypes of two branches and two operations, each derived from weights of its own."""
    operations = 'none', 'skip_connect', 'non_local'
    monkeypatch.setattr('mmlesion.models.alb_search.genotypes.NUM_BRANCHES', 2)
    generator = np.random.default_rng(0)
    drawn = {
        frozenset(
            (number, *edge)
            for number, branch in enumerate(derive_genotype(generator.random((5, 3)), operations))
            for edge in (branch[:2], branch[2:])
        )
        for _ in range(2000)
    }
    assert len(drawn) == count_genotypes(operations) == 1 * 4 * 3 * 4


def test_none_comes_first_so_that_choices_leave_it_out():
    assert OPERATIONS[0] == DARTS_OPERATIONS[0] == 'none'


def test_derive_takes_the_two_strongest_edges_of_each_branch():
    assert derive_genotype(weights_by_hand()) == GENOTYPE


def test_derived_values_are_plain_and_make_a_block():
    genotype = derive_genotype(np.random.default_rng(0).random((14, 9)))
    check_genotype(genotype)
    assert all([type(value) for value in branch] == [int, str, int, str] for branch in genotype)


def test_chosen_operations_are_those_of_the_genotype():
    weights, chosen = weights_by_hand(), chosen_operations(GENOTYPE)
    assert [weights[pair] for pair in chosen] == [0.4, 0.3, 0.5, 0.1, 0.6, 0.2, 0.3, 0.25]


def test_samples_are_uniform_over_what_can_be_derived():
    generator = np.random.default_rng(0)
    samples = [sample_genotype(generator) for _ in range(2000)]
    for genotype in samples:
        check_genotype(genotype)
        assert all(branch[0] != branch[2] for branch in genotype)
    operations = [branch[1] for genotype in samples for branch in genotype]
    counts = np.array([operations.count(choice) for choice in OPERATIONS[1:]])
    assert counts.sum() == 8000 and np.abs(counts - 1000).max() < 120  # four standard deviations
    pairs = [frozenset((genotype[3][0], genotype[3][2])) for genotype in samples]
    assert len(set(pairs)) == 10
    assert min(pairs.count(pair) for pair in set(pairs)) > 200 - 54


def test_samples_follow_the_seed():
    first, again, other = (sample_genotype(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_fragment_is_taken_by_base(tmp_path):
    genotypes = dict(alb=GENOTYPE, reduction=GENOTYPE[::-1])
    write_genotypes(genotypes, tmp_path / 'genotypes.py', 'Found.')
    config = tmp_path / 'config.py'
    config.write_text(
        "_base_ = ['./genotypes.py']\nmodel = dict(encoder=dict(genotypes=_base_.genotypes))\n"
    )
    assert (tmp_path / 'genotypes.py').read_text().startswith('# Found.\n')
    assert Config.fromfile(config).model.encoder.genotypes.to_dict() == genotypes


def test_a_genotype_of_another_space_is_refused():
    with pytest.raises(ValueError):
        chosen_operations([(-2, 'skip_connect', 0, 'skip_connect')])
