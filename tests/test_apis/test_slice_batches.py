import numpy as np
import pytest

from mmlesion.apis.slice_batches import chained_order, load_batches


@pytest.mark.parametrize(
    'distance, order',
    [
        (1, [0, 1, 2, 3, 4, 5, 6]),
        (3, [0, 3, 6, 1, 4, 2, 5]),
        (9, [0, 1, 2, 3, 4, 5, 6]),
        (1.2, [0, 1, 2, 3, 4, 5, 6]),  # 6 mm at slices of 5 mm: nothing is shared
        (0.5, [0, 1, 2, 3, 4, 5, 6]),
        (2.000001, [0, 2, 4, 6, 1, 3, 5]),
    ],
)
def test_key_slices_follow_those_that_they_share_with(distance, order):
    assert chained_order(7, distance).tolist() == order


def test_batches_hold_the_slices_in_order():
    class Volume:
        array = np.zeros((5, 4, 6), np.int16)
        spacing = (0.7, 0.8, 2.0)

    samples = []

    def pipeline(sample):
        samples.append(sample)
        return dict(inputs=sample['slice_index'])

    batches = list(load_batches(Volume(), pipeline, np.array([4, 0, 2, 1, 3]), 2))
    assert [batch.indices for batch in batches] == [[4, 0], [2, 1], [3]]
    assert [batch.data['inputs'] for batch in batches] == [[4, 0], [2, 1], [3]]
    assert samples[0]['slice_interval'] == 2.0 and samples[0]['spacing'] == [0.7, 0.8]
    assert (samples[0]['height'], samples[0]['width']) == (4, 6)
