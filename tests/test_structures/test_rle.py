import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmlesion.structures import encode_mask, usable_segmentation

TRIANGLE = [100.5, 200.0, 104.5, 200.0, 102.0, 203.0]


def test_rle_and_back():
    mask = np.zeros((5, 7), bool)
    mask[1:3, 2:6] = True
    encoded = encode_mask(mask)
    assert isinstance(encoded['counts'], str) and usable_segmentation(encoded) is encoded
    np.testing.assert_array_equal(mask_utils.decode(encoded).astype(bool), mask)


def test_polygons_that_enclose_nothing_are_left_out():
    degenerate = [[], [1, 2], [0, 0, 4, 4], [0, 0, 2, 2, 4, 4], [3.0, 3] * 3, [0, 0, 4, 0, 4, 4, 0]]
    assert usable_segmentation([*degenerate, TRIANGLE]) == [TRIANGLE]
    assert usable_segmentation(degenerate) is None


@pytest.mark.parametrize('nothing', [None, [], [[]], {}, dict(size=[4, 4]), dict(counts=[16])])
def test_nothing(nothing):
    assert usable_segmentation(nothing) is None
