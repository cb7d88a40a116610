import math

import pytest
import torch
from mmdet.registry import TASK_UTILS

from mmlesion.models import SphereDeltaCoder
from mmlesion.structures.spheres import SphereBoxes


def test_known_deltas():
    coder = TASK_UTILS.build(dict(type='SphereDeltaCoder'))
    anchors = torch.tensor([[10.0, 20, 30, 4], [0, 0, 0, 8]])
    lesions = torch.tensor([[12.0, 19, 30, 8], [0, 0, 0, 8]])
    deltas = coder.encode(anchors, lesions)
    expected = torch.tensor([[0.5, -0.25, 0, math.log(2)], [0, 0, 0, 0]])
    torch.testing.assert_close(deltas, expected)
    torch.testing.assert_close(coder.decode(anchors, deltas), lesions)
    assert coder.encode_size == 4


def test_means_and_deviations():
    coder = SphereDeltaCoder((0.1, 0.2, 0.3, 0.4), (0.5, 1, 2, 4))
    anchors = torch.tensor([[10.0, 20, 30, 4]])
    lesions = torch.tensor([[12.0, 19, 30, 8]])
    deltas = coder.encode(anchors, lesions)
    expected = torch.tensor([[0.8, -0.45, -0.15, (math.log(2) - 0.4) / 4]])
    torch.testing.assert_close(deltas, expected)
    torch.testing.assert_close(coder.decode(anchors, deltas), lesions)


def test_round_trip():
    torch.manual_seed(0)
    anchors, lesions = (torch.rand(2, 50, 4, dtype=torch.float64) * 40 + 1).unbind()
    coder = SphereDeltaCoder(use_box_type=True)
    deltas = coder.encode(SphereBoxes(anchors), SphereBoxes(lesions))
    decoded = coder.decode(SphereBoxes(anchors), deltas, max_shape=(2, 2, 2))
    assert isinstance(decoded, SphereBoxes)
    torch.testing.assert_close(decoded.tensor, lesions)


def test_batches():
    torch.manual_seed(0)
    anchors, deltas = torch.rand(2, 5, 4) + 1, torch.rand(2, 5, 4)
    coder = SphereDeltaCoder()
    flat = coder.decode(anchors.flatten(0, 1), deltas.flatten(0, 1))
    assert coder.decode(anchors, deltas).flatten(0, 1).equal(flat)


def test_ratio_is_clipped():
    anchors = torch.tensor([[0.0, 0, 0, 10]]).repeat(2, 1)
    deltas = torch.tensor([[0.0, 0, 0, 100], [0, 0, 0, -100]])
    diameters = SphereDeltaCoder().decode(anchors, deltas)[:, 3]
    assert diameters.tolist() == pytest.approx([625, 0.16])
    diameters = SphereDeltaCoder().decode(anchors, deltas, diameter_ratio_clip=0.5)[:, 3]
    assert diameters.tolist() == pytest.approx([20, 5])
