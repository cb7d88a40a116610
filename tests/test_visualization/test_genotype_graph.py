import cv2
import numpy as np

from mmlesion.models.layers import DEFAULT_GENOTYPES
from mmlesion.visualization.genotype_graph import _figure, draw_genotypes, render_genotypes

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
