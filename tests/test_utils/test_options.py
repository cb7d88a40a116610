import math

import pytest

from mmlesion.utils import UserError, check_draws, check_range
from mmlesion.utils.options import MAX_DRAWS


@pytest.mark.parametrize('value', [1, 2.5, 4])
def test_numbers_in_the_range(value):
    check_range('--size', value, 1, 4)


@pytest.mark.parametrize('value', [0, 4.1, math.nan, math.inf, 10**400, 'x', None, [1]])
def test_others(value):
    with pytest.raises(UserError, match=r'--size is .*: give 1 to 4'):
        check_range('--size', value, 1, 4)


def test_without_a_highest_number():
    check_range('--size', 10**12, 1)
    for value in (math.inf, math.nan, 0):
        with pytest.raises(UserError, match='give at least 1'):
            check_range('--size', value, 1)


def test_draws():
    check_draws('--draws', MAX_DRAWS)
    with pytest.raises(UserError, match='--draws is 1000000000000: give 1 to 1e\\+06'):
        check_draws('--draws', 10**12, 1)
