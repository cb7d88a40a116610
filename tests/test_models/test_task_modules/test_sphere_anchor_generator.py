import pytest
import torch
from mmdet.registry import TASK_UTILS

from mmlesion.models import SphereAnchorGenerator
from mmlesion.structures.spheres import SphereBoxes


def test_default_is_the_paper():
    generator = TASK_UTILS.build(dict(type='SphereAnchorGenerator'))
    assert generator.num_levels == 3 and generator.num_base_priors == [2, 2, 2]
    assert generator.strides == [(4, 4, 4), (8, 8, 8), (16, 16, 16)]
    assert generator.diameters == [(4, 6), (8, 12), (16, 24)]
    levels = generator.grid_priors([(32,) * 3, (16,) * 3, (8,) * 3], device='cpu')
    assert [len(level) for level in levels] == [2 * 32**3, 2 * 16**3, 2 * 8**3]
    for level, stride in zip(levels, (4, 8, 16)):
        assert level[0, :3].tolist() == [stride / 2] * 3
        assert level[-1, :3].tolist() == [128 - stride / 2] * 3


def test_positions():
    generator = SphereAnchorGenerator([4], [[3, 5]])
    (anchors,) = generator.grid_priors([(1, 2, 2)], device='cpu')
    assert anchors.tolist() == [
        [2, 2, 2, 3],
        [2, 2, 2, 5],
        [2, 2, 6, 3],
        [2, 2, 6, 5],
        [2, 6, 2, 3],
        [2, 6, 2, 5],
        [2, 6, 6, 3],
        [2, 6, 6, 5],
    ]


def test_order_is_that_of_a_head():
    """Row i of the anchors belongs to row i of scores (A, D, H, W), A moved to the end."""
    sizes, diameters = (2, 3, 4), [1, 2, 3]
    generator = SphereAnchorGenerator([(1, 10, 100)], [diameters])
    (anchors,) = generator.grid_priors([sizes], dtype=torch.float64, device='cpu')
    assert anchors.dtype == torch.float64
    scores = torch.zeros(len(diameters), *sizes)
    scores[1, 1, 2, 3] = 1
    place = scores.permute(1, 2, 3, 0).flatten().argmax()
    assert anchors[place].tolist() == [1.5, 25, 350, 2]


def test_numbers_of_anchors_may_differ():
    generator = SphereAnchorGenerator([4, 8], [[3, 5, 7], [10]], use_box_type=True)
    fine, coarse = generator.grid_priors([(2, 2, 2), (1, 1, 1)], device='cpu')
    assert isinstance(fine, SphereBoxes) and len(fine) == 24
    assert coarse.tensor.tolist() == [[4, 4, 4, 10]]
    assert generator.num_base_priors == [3, 1]
    assert 'strides=[(4, 4, 4), (8, 8, 8)]' in repr(generator)


def test_valid_flags():
    generator = SphereAnchorGenerator([4, 8], [[4, 6], [8]])
    fine, coarse = generator.valid_flags([(2, 2, 3), (1, 1, 2)], (8, 4, 9), device='cpu')
    # 4 voxels along y are one of the map, 9 along x are three
    assert fine.tolist() == [True] * 6 + [False] * 6 + [True] * 6 + [False] * 6
    assert coarse.tolist() == [True, True]
    (few,) = SphereAnchorGenerator([4], [[4]]).valid_flags([(1, 1, 3)], (4, 4, 8), device='cpu')
    assert few.tolist() == [True, True, False]


def test_errors():
    with pytest.raises(ValueError, match=r'strides=\[4, 8\] and diameters=\[\[4\]\] are of'):
        SphereAnchorGenerator([4, 8], [[4]])
    with pytest.raises(ValueError, match='each level needs some, all over 0'):
        SphereAnchorGenerator([4], [[0, 4]])
    with pytest.raises(ValueError, match='each level needs some, all over 0'):
        SphereAnchorGenerator([4], [[]])
    with pytest.raises(ValueError, match='2 feature maps, but 3 levels'):
        SphereAnchorGenerator().grid_priors([(1, 1, 1)] * 2, device='cpu')
    with pytest.raises(ValueError, match='2 feature maps, but 3 levels'):
        SphereAnchorGenerator().valid_flags([(1, 1, 1)] * 2, (8, 8, 8), device='cpu')
