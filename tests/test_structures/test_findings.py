import numpy as np

from mmlesion.structures import Detections, Lesions, SliceBoxes


def lesions(items, label=None):
    count = len(items)
    attributes = dict(organ=np.array([f'organ {item}' for item in items]), names=list(items))
    geometry = np.arange(count * 4.0).reshape(count, 4)
    ignore = np.arange(count) % 2 == 1
    return Lesions(np.array(items, int), geometry, ignore, label, attributes)


def test_records_are_taken_with_all_their_columns():
    found = lesions([4, 5, 6], label=np.array([1, 2, 3]))
    for index in (np.array([2, 0]), np.array([-1, 0])):
        taken = found.take(index)
        assert taken.case.tolist() == [6, 4] and taken.label.tolist() == [3, 1]
        assert taken.attributes['organ'].tolist() == ['organ 6', 'organ 4']
        assert taken.attributes['names'] == [6, 4]
        np.testing.assert_array_equal(taken.geometry, found.geometry[[2, 0]])
    masked = found.take(found.ignore)
    assert len(masked) == 1 and masked.attributes['names'] == [5]
    assert len(found.take(np.zeros(3, bool))) == len(found.take(np.zeros(0, int))) == 0


def test_records_are_joined_in_their_order():
    joined = Lesions.concat([lesions([4, 5]), lesions([]), lesions([6])])
    assert joined.case.tolist() == [4, 5, 6] and joined.label is None
    assert joined.attributes['organ'].tolist() == ['organ 4', 'organ 5', 'organ 6']
    assert joined.attributes['names'] == [4, 5, 6]
    assert len(joined.take(np.array([], int))) == 0


def test_parts_of_a_split_make_the_whole():
    rng = np.random.default_rng(0)
    whole = Detections(rng.integers(0, 5, 20), rng.random((20, 6)), rng.random(20))
    chosen = whole.score > 0.5
    again = Detections.concat([whole.take(chosen), whole.take(~chosen)])
    assert again.label is None and again.geometry.shape == (20, 6)
    assert sorted(again.score) == sorted(whole.score)


def test_no_boxes():
    some = SliceBoxes(np.ones((2, 4)), np.array([3, 4]), np.array([0.5, 0.6]))
    joined = SliceBoxes.concat([SliceBoxes.empty(), some])
    assert len(SliceBoxes.empty()) == 0 and joined.slices.tolist() == [3, 4]
    assert joined.slices.dtype == int
