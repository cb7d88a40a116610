import numpy as np
import pytest

from mmlesion.structures.boxes import crop_array

ARRAY = np.arange(12, dtype=np.int16).reshape(3, 4)


@pytest.mark.parametrize(
    'start, size, expected',
    [
        ((1, 1), (2, 2), [[5, 6], [9, 10]]),
        ((-1, 2), (3, 3), [[-7, -7, -7], [2, 3, -7], [6, 7, -7]]),
        ((2, -1), (2, 2), [[-7, 8], [-7, -7]]),
        ((5, 0), (1, 2), [[-7, -7]]),
        ((0, -9), (2, 1), [[-7], [-7]]),
    ],
)
def test_parts_within_and_beyond(start, size, expected):
    part = crop_array(ARRAY, start, size, fill=-7)
    assert part.tolist() == expected and part.dtype == ARRAY.dtype


def test_a_part_is_a_copy():
    part = crop_array(ARRAY, (0, 0), (1, 1), 0)
    part[:] = 99
    assert ARRAY[0, 0] == 0
