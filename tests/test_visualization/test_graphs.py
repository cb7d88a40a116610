import cv2
import numpy as np
import pytest

from mmlesion.models.layers import DEFAULT_GENOTYPES
from mmlesion.visualization.graphs import (
    _figure,
    draw_genotypes,
    draw_relations,
    render_genotypes,
    strongest_edges,
)

STRENGTHS = {kind: [0.1 + 0.01 * i for i in range(8)] for kind in DEFAULT_GENOTYPES}


def texts(figure):
    return [[text.get_text() for text in axes.texts] for axes in figure.axes]


def test_every_node_and_operation_is_named_with_its_weight():
    figure = _figure(DEFAULT_GENOTYPES, STRENGTHS)
    for kind, found in zip(DEFAULT_GENOTYPES, texts(figure)):
        for branch, (_, operation1, _, operation2) in enumerate(DEFAULT_GENOTYPES[kind]):
            assert f'{operation1}\n{0.1 + 0.02 * branch:.3f}' in found
            assert f'{operation2}\n{0.11 + 0.02 * branch:.3f}' in found
        assert {'last block', 'branch 1', 'branch 4', 'output'} <= set(found)
    assert 'non_local' in texts(_figure(DEFAULT_GENOTYPES, None))[0]


def test_arcs_lead_from_inputs_to_branches():
    axes = _figure(dict(alb=DEFAULT_GENOTYPES['alb']), None).axes[0]
    arcs = [patch._posA_posB for patch in axes.patches if hasattr(patch, '_posA_posB')]
    expected = [
        ((source, 0), (branch, 0))
        for branch, edges in enumerate(DEFAULT_GENOTYPES['alb'], 1)
        for source in edges[::2]
    ]
    assert [tuple(map(tuple, arc)) for arc in arcs] == expected


def test_picture_and_file_agree(tmp_path):
    path = tmp_path / 'cells.png'
    draw_genotypes(DEFAULT_GENOTYPES, STRENGTHS, path)
    written = cv2.imread(str(path))[..., ::-1]
    image = render_genotypes(DEFAULT_GENOTYPES, STRENGTHS)
    assert image.dtype == np.uint8 and image.std() > 1
    np.testing.assert_array_equal(image, written)


RELATION = np.array([[0.5, 0.1, 0.4], [0.3, 0.6, 0.1], [0.2, 0.5, 0.3]])


def test_edges_by_the_mean_of_both_directions():
    pairs, weights = strongest_edges(RELATION, 10)
    # 0-1: 0.2, 0-2: 0.3, 1-2: 0.3; equal ones keep their order
    assert pairs.tolist() == [[0, 2], [1, 2], [0, 1]]
    assert weights == pytest.approx([0.3, 0.3, 0.2])
    pairs, weights = strongest_edges(RELATION, 1)
    assert pairs.tolist() == [[0, 2]] and weights == pytest.approx([0.3])


def test_edges_are_those_of_a_plain_loop():
    relation = np.random.default_rng(0).random((12, 12))
    plain = [
        ((relation[i, j] + relation[j, i]) / 2, (i, j)) for i in range(12) for j in range(i + 1, 12)
    ]
    plain = sorted(plain, reverse=True)[:7]
    pairs, weights = strongest_edges(relation, 7)
    assert [tuple(pair) for pair in pairs] == [pair for _, pair in plain]
    np.testing.assert_allclose(weights, [weight for weight, _ in plain])


def draw(tmp_path, relation, num_edges=100):
    """Regions of 4 x 4 px around (20, 20), (80, 20) and (20, 40) on 100 x 50 px, drawn 9 times."""
    centers = np.array([[20, 20], [80, 20], [20, 40]])
    boxes = np.hstack([centers - 2, centers + 2]).astype(float)
    path = tmp_path / 'relations.png'
    picture = np.full((50, 100, 3), 60, np.uint8)
    draw_relations(picture, boxes, relation, np.array([[60.0, 30, 90, 45]]), path, num_edges)
    drawn = cv2.imread(str(path)).astype(int)
    assert drawn.shape == (450, 900, 3)
    return drawn


def yellow(pixels):
    return (pixels[..., 2] - pixels[..., 0] > 60) & (pixels[..., 1] - pixels[..., 0] > 60)


def test_places_and_widths(tmp_path):
    strong, weak = 0.4, 0.1
    relation = np.array([[0, strong, weak], [strong, 0, 0], [weak, 0, 0]])
    drawn = draw(tmp_path, relation, num_edges=2)
    b, g, r = drawn[20 * 9, 80 * 9]
    assert b > 200 and g > 200 and r < 80  # a region's point is cyan
    b, g, r = drawn[30 * 9, 75 * 9]
    assert r > 200 and b < 60 and g < 60  # the upper side of the lesion's box is red
    thick = yellow(drawn[:, 50 * 9]).sum()  # across the edge from region 0 to 1
    thin = yellow(drawn[30 * 9, : 40 * 9]).sum()  # across that from region 0 to 2
    assert thick >= 5 > thin >= 1
    assert not yellow(drawn[30 * 9, 45 * 9 : 55 * 9]).any()  # no third edge


def test_no_regions(tmp_path):
    path = tmp_path / 'empty.png'
    picture = np.zeros((32, 32, 3), np.uint8)
    draw_relations(picture, np.zeros((0, 4)), np.zeros((0, 0)), np.zeros((0, 4)), path)
    assert not cv2.imread(str(path)).any()
