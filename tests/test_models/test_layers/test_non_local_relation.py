import math

import numpy as np
import torch

from mmlesion.models.layers import NonLocalRelation, RegionGraph


def test_known_relations():
    graph = RegionGraph(2)
    graph.phi.weight.data = torch.tensor([[1.0, 0.0]])
    graph.phi.bias.data.zero_()
    # phi is 1, 0 (its ReLU) and 2; in the other image 3
    features = torch.tensor([[1.0, 5], [-1, 5], [2, 5], [3, 5]])
    first, second = graph(features, [3, 1])
    rows = [[1, 0, 2], [0, 0, 0], [2, 0, 4]]
    expected = [[math.exp(v) / sum(map(math.exp, row)) for v in row] for row in rows]
    torch.testing.assert_close(first, torch.tensor(expected))
    assert second.tolist() == [[1.0]]


def test_normalized_relations():
    graph = RegionGraph(2, temperature=2.0)
    graph.phi = torch.nn.Linear(2, 2, bias=False)
    graph.phi.weight.data = torch.eye(2)
    # two regions of one direction, the second ten times as large, and one at right angles
    features = torch.tensor([[3.0, 0], [30, 0], [0, 5], [-1, -1]])
    (relation,) = graph(features, [4])
    cosines = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    torch.testing.assert_close(relation, (2.0 * torch.tensor(cosines)).softmax(-1))
    # by equation 2 the large one wins wherever there is any likeness
    graph.temperature = None
    assert graph(features + 1, [4])[0][:3].argmax(1).tolist() == [1, 1, 1]


def plain_non_local(module, x):
    """The operation on the regions of one image, region by region and position by position."""

    def dense(layer, value):
        weight, bias = (parameter.detach().numpy() for parameter in layer.parameters())
        return weight.reshape(len(bias), -1) @ value + bias

    num_regions, _, height, width = x.shape
    nodes = [dense(module.graph.phi, region.mean((1, 2))).clip(0) for region in x]
    out, relation = np.empty_like(x), np.empty((num_regions, num_regions))
    for i in range(num_regions):
        edges = np.exp([nodes[i] @ node for node in nodes])
        relation[i] = edges / edges.sum()
        for position in np.ndindex(height, width):
            psi = [dense(module.psi, region[(..., *position)]).clip(0) for region in x]
            mixed = sum(edge * value for edge, value in zip(relation[i], psi))
            y = dense(module.weight, mixed).clip(0)
            out[(i, ..., *position)] = dense(module.out, y)
    return out, relation


def test_against_a_plain_loop():
    torch.manual_seed(0)
    module = NonLocalRelation(6).double()
    x = torch.randn(7, 6, 3, 2, dtype=torch.double)
    num_regions = [3, 0, 4]
    images = x.numpy()[:3], x.numpy()[3:]
    for memory_format in (torch.contiguous_format, torch.channels_last):
        out = module(x.contiguous(memory_format=memory_format), num_regions)
        relations = module.relate(x, num_regions)
        assert [len(relation) for relation in relations] == num_regions
        expected, edges = zip(*(plain_non_local(module, image) for image in images))
        np.testing.assert_allclose(out.detach().numpy(), np.concatenate(expected), rtol=1e-12)
        for relation, edge in zip((relations[0], relations[2]), edges):
            np.testing.assert_allclose(relation.detach().numpy(), edge, rtol=1e-12)
            np.testing.assert_allclose(relation.sum(1).detach().numpy(), 1)


def test_images_do_not_mix():
    torch.manual_seed(0)
    module = NonLocalRelation(6)
    x = torch.randn(7, 6, 3, 3)
    changed = torch.cat([x[:3], torch.randn(4, 6, 3, 3)])
    before, after = module(x, [3, 4]), module(changed, [3, 4])
    assert torch.equal(before[:3], after[:3])
    assert (before[3:] != after[3:]).any()
    # while within an image each region depends on the others
    changed = torch.cat([x[:6], torch.randn(1, 6, 3, 3)])
    assert all((before[i] != module(changed, [3, 4])[i]).any() for i in range(3, 7))


def test_relations_learn():
    torch.manual_seed(0)
    module = NonLocalRelation(16)
    module(torch.randn(3, 16, 2, 2), [3])[0].sum().backward()
    assert module.graph.phi.weight.grad.abs().sum() > 0


def test_relations_in_half_precision_do_not_overflow():
    torch.manual_seed(0)
    graph = RegionGraph(16)
    with torch.autocast('cpu', torch.float16):
        (relation,) = graph(1e3 * torch.rand(3, 16), [3])
    assert relation.dtype == torch.float
    torch.testing.assert_close(relation.sum(1), torch.ones(3))
