import threading

import pytest

from mmlesion.utils.prefetch import prefetch


def test_results_in_order():
    assert list(prefetch(lambda item: item * 2, range(5))) == [0, 2, 4, 6, 8]
    assert list(prefetch(str, [])) == []


def test_the_next_one_is_made_while_one_is_used():
    made = [threading.Event() for _ in range(3)]
    results = prefetch(lambda item: made[item].set(), range(3))
    next(results)
    assert made[1].wait(5)
    assert not made[2].wait(0.05)  # no more than one ahead


def test_errors_come_where_the_result_is_due():
    results = prefetch(lambda item: 1 / item, [1, 0])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
