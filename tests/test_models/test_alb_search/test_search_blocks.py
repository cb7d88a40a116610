import math

import pytest
import torch
from torch import nn

from mmlesion.models import ALBEncoder
from mmlesion.models.alb_search import (
    Architecture,
    MixedOperation,
    SearchALBEncoder,
    SearchBlock,
)
from mmlesion.models.alb_search.genotypes import EDGES, chosen_operations
from mmlesion.models.layers import DARTS_OPERATIONS, DEFAULT_GENOTYPES, OPERATIONS
from mmlesion.utils import UserError

NUM_REGIONS = [3, 2]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def features():
    return torch.randn(5, 8, 7, 7)


def gates_of(weights):
    return [row.unbind() for row in weights]


def test_mixed_operation_is_the_weighted_sum(features):
    mixed = MixedOperation(8)
    weights = torch.rand(9)
    expected = torch.zeros_like(features)
    for weight, operation in zip(weights[1:], mixed.operations):
        expected += weight * operation(features, NUM_REGIONS)
    torch.testing.assert_close(mixed(features, NUM_REGIONS, weights.unbind()), expected)


def test_none_adds_nothing_and_takes_weight(features):
    alpha = torch.zeros(9)
    mixed = MixedOperation(8)
    without = mixed(features, NUM_REGIONS, alpha.softmax(0))
    alpha[0] = math.log(10)  # the sum of the exponentials goes from 9 to 18
    torch.testing.assert_close(mixed(features, NUM_REGIONS, alpha.softmax(0)), without / 2)


def test_batch_normalization_has_no_parameters_of_its_own():
    names = [name for name, _ in MixedOperation(8).named_parameters()]
    assert names and not any('.bn.' in name for name in names)
    assert not any(p.shape == (8,) and 'norm' in n for n, p in MixedOperation(8).named_parameters())
    norms = [m for m in MixedOperation(8).modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and all(norm.weight is None and norm.bias is None for norm in norms)


@pytest.mark.parametrize('names', [OPERATIONS, DARTS_OPERATIONS])
def test_no_operation_has_a_scale_of_its_own(names, features):
    """Ten times the weights of an operation's layers leave its output as it is."""
    mixed = MixedOperation(8, names)
    for name, operation in zip(names[1:], mixed.operations):
        before = operation(features, NUM_REGIONS).std()
        with torch.no_grad():
            for parameter in operation.parameters():
                parameter.mul_(10)
        after = operation(features, NUM_REGIONS).std()
        torch.testing.assert_close(after, before, rtol=0.05, atol=0, msg=name)
        torch.testing.assert_close(after, torch.tensor(1.0), rtol=0.05, atol=0, msg=name)


def test_branches_add_all_earlier_results(features):
    block = SearchBlock((6, 8), 4)
    weights = torch.rand(14, 9).softmax(-1)
    older = torch.randn(5, 6, 7, 7)
    states = [block.preprocess[0](older), block.preprocess[1](features)]
    for branch in range(1, 5):
        total = 0
        for source in range(-1, branch):
            edge = EDGES.index((source, branch))
            total = total + block.edges[edge](states[source + 1], NUM_REGIONS, weights[edge])
        states.append(total)
    result = block(older, features, NUM_REGIONS, gates_of(weights))
    torch.testing.assert_close(result, torch.cat(states[2:], 1))


def test_reduction_block_halves_and_doubles():
    block = SearchBlock((8, 16), 8, halvings=(2, 1))
    older, previous = torch.randn(5, 8, 7, 7), torch.randn(5, 16, 4, 4)
    result = block(older, previous, NUM_REGIONS, gates_of(torch.ones(14, 9)))
    assert result.shape == (5, 32, 2, 2) and block.out_channels == 32


def test_architecture_begins_near_uniform():
    architecture = Architecture()
    assert set(architecture.alphas) == {'alb', 'reduction'}
    for weights in architecture.weights().values():
        assert weights.shape == (14, 9)
        torch.testing.assert_close(weights, torch.full((14, 9), 1 / 9), atol=1e-3, rtol=0)
    for entropy in architecture.entropies().values():
        assert entropy == pytest.approx(math.log(9), abs=1e-4)


def test_entropy_is_the_mean_over_the_edges():
    architecture = Architecture()
    with torch.no_grad():
        alpha = architecture.alphas['alb'].fill_(-torch.inf)
        alpha[:, 3] = 0  # certain
        alpha[0, 5] = 0  # one of two
        alpha[1] = 0  # any of nine
    expected = (math.log(2) + math.log(9)) / 14
    assert architecture.entropies()['alb'] == pytest.approx(expected, rel=1e-6)


def test_encoder_has_the_interface_of_alb_encoder(features):
    encoder, trained = SearchALBEncoder(8, 4), ALBEncoder(8, 4)
    result, relations = encoder(features, NUM_REGIONS)
    assert relations is None and encoder.with_relations is False
    assert encoder.out_channels == trained.out_channels == 64
    assert result.shape == trained(features, NUM_REGIONS)[0].shape == (5, 64)
    assert SearchALBEncoder().out_channels == 256


def test_all_alphas_and_weights_get_gradients(features):
    encoder = SearchALBEncoder(8, 4)
    encoder(features, NUM_REGIONS)[0].square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    assert all(alpha.grad.ne(0).all() for alpha in encoder.architecture.alphas.values())


def test_a_genotype_computes_what_the_trained_encoder_does(features):
    """With the same weights, and operations that end in batch normalization in both."""
    genotype = [
        (0, 'sep_conv_1x3_3x1', -1, 'atrous_conv_3x3_r3'),
        (0, 'atrous_conv_3x3_r5', 1, 'skip_connect'),
        (-1, 'sep_conv_3x3', 2, 'skip_connect'),
        (1, 'sep_conv_5x5', 3, 'skip_connect'),
    ]
    genotypes = dict(alb=genotype, reduction=genotype)
    search, trained = SearchALBEncoder(8, 4), ALBEncoder(8, 4, genotypes=genotypes)
    trained.conv.load_state_dict(search.conv.state_dict())
    blocks = [('alb', search.alb, trained.alb)]
    blocks += [('reduction', *pair) for pair in zip(search.reductions, trained.reductions)]
    for kind, mixed, chosen in blocks:
        missing = chosen.preprocess.load_state_dict(mixed.preprocess.state_dict(), strict=False)[0]
        assert all('bn' in key for key in missing)
        operations = [operation for branch in chosen.operations for operation in branch]
        for operation, (edge, index) in zip(operations, chosen_operations(genotypes[kind])):
            state = mixed.edges[edge].operations[index - 1].state_dict()
            missing = operation.load_state_dict(state, strict=False).missing_keys
            assert all('bn' in key or 'norm' in key for key in missing)
    search.architecture.genotypes = genotypes
    results = search(features, NUM_REGIONS)[0], trained(features, NUM_REGIONS)[0]
    torch.testing.assert_close(*results)


def test_operations_outside_a_genotype_get_no_gradients(features):
    encoder = SearchALBEncoder(8, 4)
    encoder.architecture.genotypes = DEFAULT_GENOTYPES
    encoder(features, NUM_REGIONS)[0].sum().backward()
    chosen = set(chosen_operations(DEFAULT_GENOTYPES['alb']))
    for edge, mixed in enumerate(encoder.alb.edges):
        for index, operation in enumerate(mixed.operations, 1):
            if any(parameter.grad is not None for parameter in operation.parameters()):
                assert (edge, index) in chosen, OPERATIONS[index]
    assert encoder.architecture.alphas['alb'].grad is None


def test_operations_of_darts(features):
    encoder = SearchALBEncoder(8, 4, operations='darts')
    assert encoder.architecture.alphas['alb'].shape == (14, 8)
    encoder(features, NUM_REGIONS)[0].square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    with pytest.raises(UserError, match="operations='nas'.*elixirnet, darts"):
        SearchALBEncoder(operations='nas')
