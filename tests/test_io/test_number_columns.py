import numpy as np

from mmlesion.io.number_columns import round_columns


def test_numbers_are_rounded_as_python_rounds():
    generator = np.random.default_rng(0)
    # decimals, products of decimals, halves of the last decimal, and very large numbers
    decimals = generator.uniform(-500, 500, 3000).round(3)
    halves = generator.integers(-(10**9), 10**9, 3000) / 10**6 + 5e-7
    values = np.concatenate([decimals, decimals[::-1] * decimals, halves, [1e9 + 1 / 3, 1e300, 0]])
    expected = [round(value, 6) for value in values.tolist()]
    assert round_columns(values).tolist() == expected
    assert np.round(values, 6).tolist() != expected  # which is why
    table = values[:9000].reshape(-1, 3)
    assert round_columns(table).tolist() == np.reshape(expected[:9000], (-1, 3)).tolist()
