import numpy as np
import pytest

from mmlesion.io.true_masks import TrueMasks, read_lesions, read_masks, sub_volume_boxes
from mmlesion.structures import SubVolume
from mmlesion.utils import UserError


def test_boxes_of_a_sub_volume():
    labels = np.zeros((5, 30, 40), np.uint8)
    labels[1:3, 10:14, 20:26] = 4
    labels[2, 0:2, 37:40] = 1
    labels[4, 5, 5] = 4  # of another run
    slices = np.array([7, 8, 9, 10, 30])
    masks = TrueMasks(labels, slices)
    found = sub_volume_boxes(masks, SubVolume('s', 7, 10))
    assert found == [[32, 0, 9, 39, 6, 9], [15, 5, 8, 30, 18, 9]]
    assert sub_volume_boxes(masks, SubVolume('s', 9, 9), margin=0)[1] == [20, 10, 9, 25, 13, 9]
    assert sub_volume_boxes(masks, SubVolume('s', 10, 10)) == []


def test_boxes_on_slices(tmp_path):
    labels = np.zeros((3, 30, 40), np.uint8)
    labels[1, 10:14, 20:26] = 2
    labels[2, 0:2, 37:40] = 1
    np.savez(tmp_path / 's.npz', labels=labels, slices=np.array([7, 8, 9]))
    found = read_lesions(tmp_path, 's')
    assert found.boxes.boxes.tolist() == [[15, 5, 31, 19], [32, 0, 40, 7]]
    assert found.boxes.slices.tolist() == [8, 9]
    assert found.label.tolist() == [2, 1]


@pytest.mark.parametrize('series', ['none', 'broken', '../s'])
def test_what_is_no_truth(tmp_path, series):
    np.savez(tmp_path / 's.npz', labels=np.zeros((1, 2, 2)), slices=np.array([1]))
    truth = tmp_path / 'truth'
    truth.mkdir()
    (truth / 'broken.npz').write_text('no archive')
    with pytest.raises(UserError, match='is not the truth of a series|leads outside'):
        read_masks(truth, series)


@pytest.mark.parametrize(
    ('labels', 'slices'),
    [
        (np.zeros((1, 2, 2)), np.array([1])),  # of floats
        (np.zeros((1, 1, 1, 2, 2), int), np.array([1])),
        (np.zeros((1, 2, 2), 'V8'), np.array([1])),
        (np.zeros((1, 2, 2), int), np.array([1, 2])),
    ],
)
def test_arrays_that_are_no_masks(tmp_path, labels, slices):
    np.savez(tmp_path / 's.npz', labels=labels, slices=slices)
    with pytest.raises(UserError, match='is not the truth of a series'):
        read_masks(tmp_path, 's')
