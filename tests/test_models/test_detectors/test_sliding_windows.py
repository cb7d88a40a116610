import pytest
import torch
from mmengine.structures import InstanceData

from mmlesion.models.detectors.sliding_windows import SlidingWindows


def results(boxes, scores=None):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    scores = torch.full((len(boxes),), 0.5) if scores is None else torch.tensor(scores)
    return InstanceData(bboxes=boxes, scores=scores)


@pytest.mark.parametrize(
    'length, starts',
    [
        (20, [0]),
        (64, [0]),
        (65, [0, 16]),
        (96, [0, 32]),
        (128, [0, 32, 64]),
        (150, [0, 32, 64, 96]),
        (177, [0, 32, 64, 96, 128]),
    ],
)
def test_windows_of_64_that_overlap_by_24(length, starts):
    places, size = SlidingWindows((64, 64, 64), overlap=24).place((40, length, 64))
    assert places[:, 1].tolist() == starts
    assert size == (48, min(64, -(-length // 16) * 16), 64)
    assert (places[:, [0, 2]] == 0).all()


@pytest.mark.parametrize('overlap', [0, 16, 30, 48])
def test_every_voxel_is_covered_and_neighbors_overlap(overlap):
    windows = SlidingWindows((64, 64, 64), overlap=overlap)
    for length in range(1, 400, 7):
        places, (_, _, side) = windows.place((16, 16, length))
        starts = places[:, 2]
        assert starts[0] == 0 and length <= starts[-1] + side < length + 16
        assert (starts % 16 == 0).all()
        step = starts.diff()
        assert (step > 0).all() and (side - step >= overlap).all()


def test_all_axes():
    places, size = SlidingWindows((32, 32, 32), overlap=0).place((64, 20, 33))
    assert size == (32, 32, 32)
    assert places.tolist() == [[0, 0, 0], [0, 0, 16], [32, 0, 0], [32, 0, 16]]


def test_cut_copies_and_pads_at_the_end():
    volume = torch.arange(5 * 6 * 7, dtype=torch.int16).reshape(1, 5, 6, 7)
    windows = SlidingWindows((16, 16, 16), overlap=0)
    part = windows.cut(volume, (1, 2, 3), (4, 4, 6), -1200)
    assert part.dtype == torch.int16 and part.shape == (1, 4, 4, 6)
    assert torch.equal(part[:, :, :, :4], volume[:, 1:5, 2:6, 3:7])
    assert (part[..., 4:] == -1200).all()
    part[:] = 0
    assert volume[0, 4, 5, 6] == 5 * 6 * 7 - 1


def test_borders_are_left_to_the_neighbor():
    windows = SlidingWindows((32, 32, 32), overlap=16)  # borders of 4
    boxes = [[x, 16.0, 16, 6] for x in (-2.0, 1, 5, 29, 33)]
    shape = (80, 32, 32)
    kept = {
        start: windows.in_volume(
            results(boxes), torch.tensor([start, 0, 0]), (32, 32, 32), shape
        ).bboxes[:, 0]
        for start in (0, 16, 48)
    }
    assert kept[0].tolist() == [1, 5], 'beyond an outer face there is nothing to find'
    assert kept[16].tolist() == [21]
    assert kept[48].tolist() == [53, 77]


def test_merge():
    # two windows found the first lesion, half a voxel apart
    spheres = [[10.0, 10, 10, 6], [40, 10, 10, 6], [10.5, 10, 10, 6]]
    found = results(spheres, [0.6, 0.3, 0.8])
    merged = SlidingWindows().merge(found)
    assert merged.scores.tolist() == pytest.approx([0.8, 0.3])
    assert merged.bboxes[0].tolist() == [10.5, 10, 10, 6]
    assert len(SlidingWindows(max_per_img=1).merge(found)) == 1
    assert len(SlidingWindows(iou_threshold=0.9).merge(found)) == 3
    assert len(SlidingWindows().merge(results([]))) == 0


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(size=(64, 64)), 'three multiples of 16'),
        (dict(size=(64, 64, 60)), 'three multiples of 16'),
        (dict(size=(64, 64, 64), overlap=49), 'overlap by 0 to 48'),
        (dict(overlap=32, border=17), 'half of the overlap'),
        (dict(batch_size=0), 'batch_size'),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        SlidingWindows(**options)
