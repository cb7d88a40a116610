import os

import pytest

from mmlesion.utils import UserError, run_parallel


def square(number):
    if number == 13:
        raise UserError('13 is refused')
    return number**2, os.getpid()


@pytest.mark.parametrize('workers', [1, 2])
def test_results_in_the_order_of_the_tasks(workers, capsys):
    results = run_parallel(square, range(9), workers, 'squares', 'number')
    assert [value for value, _ in results] == [n**2 for n in range(9)]
    assert (os.getpid() in {process for _, process in results}) == (workers == 1)
    assert 'squares: 100%' in capsys.readouterr().err
    assert run_parallel(square, [], workers) == []


@pytest.mark.parametrize('workers', [1, 2])
def test_errors_come_through(workers):
    with pytest.raises(UserError, match='13 is refused'):
        run_parallel(square, [1, 13], workers)
