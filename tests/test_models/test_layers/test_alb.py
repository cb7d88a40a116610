import pytest
import torch

from mmlesion.models.layers import (
    DEFAULT_GENOTYPES,
    OPERATIONS,
    AutoLesionBlock,
    check_genotype,
)
from mmlesion.models.layers.alb import plan_blocks
from mmlesion.utils import UserError

SKIP = (0, 'skip_connect', 0, 'none')


@pytest.mark.parametrize(
    'genotype, message',
    [
        ([], 'a list of branches'),
        ('non_local', 'a list of branches'),
        ([(0, 'none', 0)], 'branch 1 .*write'),
        ([(0, 'none', 1, 'none')], 'branch 1 .*input 1 is not one of -1 to 0'),
        ([SKIP, (-2, 'none', 0, 'none')], 'branch 2 .*input -2 is not one of -1 to 1'),
        ([SKIP, SKIP, (2, 'none', '0', 'none')], "branch 3 .*input '0' is not"),
        ([(0, 'none', 0, 'conv')], "branch 1 .*no operation 'conv'.*non_local"),
    ],
)
def test_wrong_genotypes(genotype, message):
    with pytest.raises(UserError, match=message):
        AutoLesionBlock((8, 8), 2, genotype)


def test_default_genotypes_agree_with_the_paper():
    operations = {}
    for name, genotype in DEFAULT_GENOTYPES.items():
        check_genotype(genotype)
        assert len(genotype) == 4
        operations[name] = {operation for branch in genotype for operation in branch[1::2]}
        # two different inputs, of which the first branch has the outputs of both blocks before
        assert all(branch[0] != branch[2] for branch in genotype)
        assert {genotype[0][0], genotype[0][2]} == {-1, 0}
    assert operations['alb'] >= {'atrous_conv_3x3_r3', 'atrous_conv_3x3_r5', 'non_local'}
    assert operations['reduction'] >= {'sep_conv_1x3_3x1', 'sep_conv_5x5', 'avg_pool_3x3'}
    # what leads to no output would be learned for nothing
    assert 'none' not in set().union(*operations.values()) <= set(OPERATIONS)


def test_branches_add_and_outputs_are_concatenated():
    genotype = [
        SKIP,
        (1, 'skip_connect', 0, 'skip_connect'),
        (2, 'avg_pool_3x3', 0, 'none'),
        (2, 'skip_connect', -1, 'skip_connect'),
    ]
    torch.manual_seed(0)
    block = AutoLesionBlock((6, 8), 2, genotype)
    older, x = torch.randn(3, 6, 3, 3), torch.randn(3, 8, 3, 3)
    before, own = block.preprocess[0](older), block.preprocess[1](x)
    out, relations = block(older, x, [3])
    assert out.shape == (3, 8, 3, 3)
    torch.testing.assert_close(out[:, 0:2], own)
    torch.testing.assert_close(out[:, 2:4], 2 * own)
    torch.testing.assert_close(out[:, 4:6, 1, 1], 2 * own.mean((2, 3)))
    torch.testing.assert_close(out[:, 6:8], 2 * own + before)
    assert not block.with_relations
    assert relations is None


def test_input_is_not_changed_in_place():
    block = AutoLesionBlock((8, 8), 2, DEFAULT_GENOTYPES['alb'])
    x = torch.randn(3, 8, 7, 7)
    before = x.clone()
    block(x, x, [3])
    assert torch.equal(x, before)


def test_relations_are_the_mean_of_those_of_its_operations():
    torch.manual_seed(0)
    genotype = [(0, 'non_local', 0, 'none'), (1, 'non_local', 0, 'none')]
    block = AutoLesionBlock((8, 8), 4, genotype)
    assert block.with_relations
    x, num_regions = torch.randn(5, 8, 3, 3), [2, 0, 3]
    out, relations = block(torch.randn(5, 8, 3, 3), x, num_regions)
    assert [relation.shape for relation in relations] == [(2, 2), (0, 0), (3, 3)]
    first = block.operations[0][0].relate(block.preprocess[1](x), num_regions)
    second = block.operations[1][0].relate(out[:, :4], num_regions)  # of the first branch's output
    torch.testing.assert_close(relations[2], (first[2] + second[2]) / 2)
    assert not torch.equal(first[2], second[2])


@pytest.mark.parametrize('size, half', [(7, 4), (4, 2), (2, 1), (1, 1)])
def test_the_older_input_is_halved_to_the_size_of_the_other(size, half):
    genotype = DEFAULT_GENOTYPES['reduction']
    block = AutoLesionBlock((8, 16), 4, genotype, halvings=(2, 1))
    older = torch.randn(3, 8, 2 * size - size % 2, 2 * size - size % 2)
    out, _ = block(older, torch.randn(3, 16, size, size), [3])
    assert out.shape == (3, 16, half, half)


def test_reduction_averages_what_there_is():
    block = AutoLesionBlock((4, 4), 1, [SKIP, SKIP], halvings=(1, 1)).eval()
    conv = block.preprocess[1][1]
    x = torch.randn(3, 4, 3, 3).abs()
    cells = x[..., :2, :2].mean((2, 3)), x[..., :2, 2].mean(2), x[..., 2, :2].mean(2), x[..., 2, 2]
    pooled = torch.stack(cells, -1).unflatten(-1, (2, 2))
    torch.testing.assert_close(block(x, x, [3])[0], conv(pooled).repeat(1, 2, 1, 1))


def test_plan_is_that_of_darts():
    assert list(plan_blocks(4, [4, 4, 4])) == [
        dict(in_channels=(16, 16), channels=4, halvings=(0, 0)),
        dict(in_channels=(16, 16), channels=8, halvings=(1, 1)),
        dict(in_channels=(16, 32), channels=16, halvings=(2, 1)),
    ]


def test_a_genotype_without_the_older_input_has_no_weights_for_it():
    block = AutoLesionBlock((8, 8), 2, [SKIP])
    x = torch.randn(3, 8, 3, 3)
    block(x, x, [3])[0].square().sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())


@pytest.mark.parametrize('training', [True, False])
def test_no_regions(training):
    for kind, halvings, size in (('alb', (0, 0), 7), ('reduction', (1, 1), 4)):
        block = AutoLesionBlock((8, 8), 2, DEFAULT_GENOTYPES[kind], halvings).train(training)
        statistics = {key: value.clone() for key, value in block.state_dict().items()}
        empty = torch.zeros(0, 8, 7, 7)
        out, _ = block(empty, empty, [0, 0])
        assert out.shape == (0, 8, size, size)
        out.sum().backward()
        assert all(
            torch.equal(value, statistics[key])
            for key, value in block.state_dict().items()
            if 'running' in key
        )
