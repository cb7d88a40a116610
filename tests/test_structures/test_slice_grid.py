import pytest

from mmlesion.structures import grid_samples, grid_steps


@pytest.mark.parametrize(
    'interval, steps',
    [(5.0, 3), (2.5, 2), (2.0, 1), (2.0000001, 1), (2.1, 2), (0.5, 1), (10, 5), (None, 1)],
)
def test_steps_are_no_longer_than_2_mm(interval, steps):
    assert grid_steps(interval, 2.0) == steps
    assert grid_steps(interval, None) == 1


def test_positions_lie_between_slices_that_follow_one_another():
    samples = [
        dict(slice_index=number, slice_interval=5.0, img_path=f'{number:03d}.png', instances=[1])
        for number in (1, 2, 4)
    ]
    grid = grid_samples(samples, 2.0)
    positions = [sample['slice_index'] for sample in grid]
    assert positions == pytest.approx([1, 4 / 3, 5 / 3, 2, 4])
    # slices have their own numbers and annotations, positions between them the name of the lower
    assert [type(position) for position in positions] == [int, float, float, int, int]
    assert [sample['instances'] for sample in grid] == [[1], [], [], [1], [1]]
    assert [sample['img_path'] for sample in grid[:3]] == ['001.png'] * 3
    assert {sample['grid_steps'] for sample in grid} == {3}
    assert grid_samples(samples, None) == [dict(sample, grid_steps=1) for sample in samples]
