import numpy as np
import pytest

from mmlesion.followup.pairing import Pairs, StudyLesions, pair_lesions, sum_of_diameters


def study(*rows, embedding=None):
    table = np.reshape(np.array(rows, dtype=float), (-1, 4))
    embedding = None if embedding is None else np.array(embedding, dtype=float)
    return StudyLesions(table[:, :3], table[:, 3], embedding)


def listed(pairs):
    return list(zip(pairs.earlier.tolist(), pairs.later.tolist()))


def test_nearest_on_the_whole_not_one_by_one():
    earlier = study((0, 0, 0, 8), (10, 0, 0, 8))
    later = study((9, 0, 0, 8), (19, 0, 0, 8))  # all shifted by 9 mm
    pairs = pair_lesions(earlier, later, earlier.center_mm)
    assert listed(pairs) == [(0, 0), (1, 1)]
    assert pairs.distance_mm.tolist() == [9, 9]


def test_far_lesions_are_new_and_vanished():
    earlier = study((0, 0, 0, 8), (100, 0, 0, 8))
    later = study((0, 3, 4, 8), (100, 0, 19.1, 8), (50, 50, 50, 8))
    pairs = pair_lesions(earlier, later, earlier.center_mm)
    assert listed(pairs) == [(0, 0)] and pairs.distance_mm.tolist() == [5]
    assert pairs.vanished.tolist() == [1] and pairs.new.tolist() == [1, 2]
    # 15 mm and the radius of 4 mm are allowed
    later.center_mm[1, 2] = 18.9
    assert listed(pair_lesions(earlier, later, earlier.center_mm)) == [(0, 0), (1, 1)]


def test_embeddings_decide_between_neighbors():
    places = (0, 0, 0, 8), (6, 0, 0, 8)
    earlier = study(*places, embedding=[[1, 0], [0, 1]])
    later = study(*places, embedding=[[0, 1], [1, 0]])
    assert listed(pair_lesions(earlier, later, earlier.center_mm)) == [(0, 1), (1, 0)]


def test_studies_without_lesions():
    one, none = study((0, 0, 0, 8)), study()
    assert pair_lesions(one, none, one.center_mm).vanished.tolist() == [0]
    assert pair_lesions(none, one, none.center_mm).new.tolist() == [0]


@pytest.mark.parametrize(
    ('before', 'after', 'new', 'change', 'response'),
    [
        ([20, 10], [24, 12], [], 20, 'progressive'),
        ([10, 10], [12, 12], [], 20, 'stable'),  # 4 mm are less than 5
        ([20, 10], [14, 7], [], -30, 'partial'),
        ([20, 10], [20, 2], [], -80 / 3, 'stable'),
        ([20], [], [], -100, 'complete'),
        ([20], [20], [8], 0, 'progressive'),
    ],
)
def test_recist_sum(before, after, new, change, response):
    earlier = StudyLesions(np.zeros((len(before), 3)), np.array(before, float))
    later = StudyLesions(np.zeros((len(after + new), 3)), np.array(after + new, float))
    paired = np.arange(len(after))
    rest = np.arange(len(after), len(after + new))
    pairs = Pairs(paired, paired, paired * 0.0, np.arange(len(after), len(before)), rest)
    total = sum_of_diameters(earlier, later, pairs)
    assert total.change_percent == pytest.approx(change)
    assert total.response == response
