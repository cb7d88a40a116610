import numpy as np

from mmlesion.datasets.sub_volumes import mask_boxes
from mmlesion.structures import SubVolume


def test_boxes_of_masks():
    labels = np.zeros((5, 30, 40), np.uint8)
    labels[1:3, 10:14, 20:26] = 4
    labels[2, 0:2, 37:40] = 1
    labels[4, 5, 5] = 4  # of another run
    slices = np.array([7, 8, 9, 10, 30])
    found = mask_boxes(labels, slices, SubVolume('s', 7, 10))
    assert found == [[32, 0, 9, 39, 6, 9], [15, 5, 8, 30, 18, 9]]
    assert mask_boxes(labels, slices, SubVolume('s', 9, 9), margin=0)[1] == [20, 10, 9, 25, 13, 9]
    assert mask_boxes(labels, slices, SubVolume('s', 10, 10)) == []
