from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import pytest

from mmlesion.datasets.transforms import LoadCTSlices, LoadCTSlicesFromVolume, loading
from mmlesion.utils import UserError


def positions_of(img, ramp):
    """Slice indices that a loaded ramp's channels lie at."""
    offsets = img - ramp(0)[..., None]
    assert np.ptp(offsets, axis=(0, 1)).max() < 1e-3
    return (offsets[0, 0] / 100).tolist()


@pytest.mark.parametrize(
    'interval, num_slices, asked, expected',
    [
        (2.0, 3, 2.0, [5, 6, 7]),
        (1.0, 3, 2.0, [4, 6, 8]),
        (5.0, 3, 2.0, [5.6, 6, 6.4]),
        (0.625, 3, 1.0, [4.4, 6, 7.6]),
        (5.0, 3, None, [5, 6, 7]),
        (5.0, 9, 2.0, [4.4, 4.8, 5.2, 5.6, 6, 6.4, 6.8, 7.2, 7.6]),
        (2.0, 9, 2.0, [3, 3, 4, 5, 6, 7, 8, 9, 9]),
        (2.0, 1, 2.0, [6]),
    ],
)
def test_neighbors_at_their_interval(ramp_dataset, ramp, interval, num_slices, asked, expected):
    sample = ramp_dataset.sample(ramp_dataset.add_image(interval=interval))
    results = LoadCTSlices(num_slices, asked)(sample)
    assert results['img'].dtype == np.float32
    assert results['img_shape'] == results['ori_shape'] == (24, 32)
    assert positions_of(results['img'], ramp) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    'interval, options, expected, distance',
    [
        (5.0, dict(upsample=False), [5, 6, 7], 5.0),
        (1.0, dict(upsample=False), [4, 6, 8], 2.0),
        (5.0, dict(), [5.6, 6, 6.4], 2.0),
        (5.0, dict(slice_interval=None), [5, 6, 7], 5.0),
        (5.0, dict(num_slices=1), [6], None),
    ],
)
def test_distance_of_the_channels(ramp_dataset, ramp, interval, options, expected, distance):
    sample = ramp_dataset.sample(ramp_dataset.add_image(interval=interval))
    results = LoadCTSlices(**options)(sample)
    assert positions_of(results['img'], ramp) == pytest.approx(expected, abs=1e-4)
    assert results.get('slice_distance') == distance


@pytest.mark.parametrize('key, expected', [(3, [3, 3, 3.4]), (9, [8.6, 9, 9])])
def test_first_and_last_slice(ramp_dataset, ramp, key, expected):
    sample = ramp_dataset.sample(ramp_dataset.add_image(key=key, interval=5.0))
    assert positions_of(LoadCTSlices()(sample)['img'], ramp) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    'missing, expected',
    [
        ([7], [5, 6, 6]),  # 6 and 8 are as near: the key slice
        ([4, 5], [6, 6, 7]),
        ([5, 7], [6, 6, 6]),
        ([3, 4, 5, 7, 8, 9], [6, 6, 6]),
    ],
)
def test_missing_neighbor_is_the_nearest(ramp_dataset, ramp, missing, expected):
    sample = ramp_dataset.sample(ramp_dataset.add_image(missing=missing))
    assert positions_of(LoadCTSlices()(sample)['img'], ramp) == expected


def test_missing_partner_of_an_interpolation(ramp_dataset, ramp):
    # 6.4 lies between 6 and 7; slice 6 stands in for 7.
    sample = ramp_dataset.sample(ramp_dataset.add_image(interval=5.0, missing=[7]))
    img = LoadCTSlices()(sample)['img']
    assert positions_of(img, ramp) == pytest.approx([5.6, 6, 6], abs=1e-4)


def test_every_file_is_read_once(ramp_dataset):
    sample = ramp_dataset.sample(ramp_dataset.add_image(interval=5.0, missing=[7]))
    with patch.object(loading, 'read_slice', wraps=loading.read_slice) as read:
        LoadCTSlices(9, 1.0)(sample)
    paths = [call.args[0] for call in read.call_args_list]
    assert len(paths) == len(set(paths))
    assert {Path(p).name for p in paths} == {'005.png', '006.png', '007.png'}


@pytest.mark.parametrize('interval', [1.0, 2.0, 5.0])
def test_volume_gives_the_same(ramp_dataset, ramp, interval):
    sample = ramp_dataset.sample(ramp_dataset.add_image(interval=interval))
    volume = np.stack([ramp(z) for z in range(3, 10)]).astype(np.int16)
    from_files = LoadCTSlices(9)(sample)['img']
    in_memory = dict(volume=volume, slice_index=3, slice_interval=interval)
    results = LoadCTSlicesFromVolume(9)(in_memory)
    np.testing.assert_allclose(results['img'], from_files, atol=1e-3)
    assert results['img_shape'] == results['ori_shape'] == (24, 32)


def test_eight_bit_pictures(tmp_path):
    stored = np.arange(60, dtype=np.uint8).reshape(6, 10)
    path = tmp_path / '000001_01_01_109.png'
    cv2.imwrite(str(path), stored)
    loader = LoadCTSlices(1, hu_scale=16.0, hu_offset=-1024.0)
    img = loader(dict(img_path=str(path)))['img']
    np.testing.assert_array_equal(img[..., 0], stored * 16.0 - 1024)
    with pytest.raises(UserError, match='has 8 bits, not 16: .*hu_scale and hu_offset'):
        LoadCTSlices(1)(dict(img_path=str(path)))


def test_number_at_the_end_of_a_long_name(tmp_path):
    for index in (9, 10, 11):
        cv2.imwrite(str(tmp_path / f'1_01_{index:03d}.png'), np.full((4, 4), index, np.uint8))
    sample = dict(img_path=str(tmp_path / '1_01_010.png'), slice_index=10, slice_range=[1, 20])
    img = LoadCTSlices(3, None, hu_offset=0.0)(sample)['img']
    assert img[0, 0].tolist() == [9, 10, 11]


@pytest.mark.parametrize('length', [0, 20, -12])
def test_truncated_png(ramp_dataset, capfd, length):
    sample = ramp_dataset.sample(ramp_dataset.add_image())
    path = ramp_dataset.images_dir / '000001_01_02/007.png'
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match='truncated') as error:
        LoadCTSlices()(sample)
    assert str(path) in str(error.value)
    assert capfd.readouterr().err == ''


def test_not_a_picture(ramp_dataset):
    sample = ramp_dataset.sample(ramp_dataset.add_image())
    Path(sample['img_path']).write_text('not a picture')
    with pytest.raises(UserError, match='006.png is not a picture'):
        LoadCTSlices()(sample)


def test_gray_and_color_of_three_channels(tmp_path):
    path = str(tmp_path / '001.png')
    img = np.full((4, 5, 3), 7, np.uint8)
    cv2.imwrite(path, img)
    loaded = LoadCTSlices(1, hu_offset=0.0)(dict(img_path=path))['img']
    assert loaded.shape == (4, 5, 1) and (loaded == 7).all()
    img[1, 1, 2] = 8
    cv2.imwrite(path, img)
    with pytest.raises(UserError, match='001.png is a color picture'):
        LoadCTSlices(1)(dict(img_path=path))


def test_slice_of_another_size(ramp_dataset):
    sample = ramp_dataset.sample(ramp_dataset.add_image())
    cv2.imwrite(
        str(ramp_dataset.images_dir / '000001_01_02/005.png'), np.zeros((24, 30), np.uint16)
    )
    with pytest.raises(UserError, match='005.png is 30 x 24 px.* 32 x 24 px'):
        LoadCTSlices()(sample)


def test_missing_key_slice(ramp_dataset):
    sample = ramp_dataset.sample(ramp_dataset.add_image(missing=[6]))
    with pytest.raises(UserError, match='006.png does not exist'):
        LoadCTSlices()(sample)


@pytest.mark.parametrize(
    'field, value, message',
    [
        ('slice_range', None, "no 'slice_range'"),
        ('slice_interval', 0, 'not positive'),
        ('slice_interval', float('nan'), 'not positive'),
        ('slice_index', 12, 'outside its slice_range 3 to 9'),
    ],
)
def test_bad_ct_fields(ramp_dataset, field, value, message):
    sample = ramp_dataset.sample(ramp_dataset.add_image())
    sample[field] = value
    with pytest.raises(UserError, match=message):
        LoadCTSlices()(sample)


@pytest.mark.parametrize('options', [dict(num_slices=2), dict(slice_interval=0.0)])
def test_bad_options(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        LoadCTSlices(**options)


def count_decoded(monkeypatch):
    """Return a list that grows by the path of each slice that is decoded."""
    decoded = []
    read = loading.read_slice

    def counted(path, fetch):
        decoded.append(Path(path).name)
        return read(path, fetch)

    monkeypatch.setattr(loading, 'read_slice', counted)
    return decoded


def samples_at(keys, ramp_dataset):
    """Return samples of one series, whose slices are 5 mm apart."""
    sample = ramp_dataset.sample(ramp_dataset.add_image(interval=5.0))
    folder = Path(sample['img_path']).parent
    return [dict(sample, slice_index=k, img_path=str(folder / f'{k:03d}.png')) for k in keys]


def test_cached_slices_are_the_same(ramp_dataset, monkeypatch):
    decoded = count_decoded(monkeypatch)
    samples = samples_at([5, 6, 7, 5], ramp_dataset)
    plain = [LoadCTSlices(7)(dict(sample))['img'] for sample in samples]
    count = len(decoded)
    cached = LoadCTSlices(7, cache_size=100)
    for sample, expected in zip(samples, plain):
        loaded = cached(dict(sample))['img']
        np.testing.assert_array_equal(loaded, expected)
        loaded[:] = 0  # as augmentation may: the cache stays as it is
    # slices 3 to 9, each once, and 20 times without a cache
    assert sorted(decoded[count:]) == [f'{number:03d}.png' for number in range(3, 10)]
    assert count == 20


def test_the_cache_is_bounded(ramp_dataset, monkeypatch):
    decoded = count_decoded(monkeypatch)
    load = LoadCTSlices(1, cache_size=2)
    for sample in samples_at([4, 5, 4, 6, 4, 5], ramp_dataset):
        load(dict(sample))
        assert len(load._cache) <= 2
    # 6 takes the place of 5, which was used before 4 was again
    assert decoded == ['004.png', '005.png', '006.png', '005.png']


def test_a_cache_of_fewer_than_no_slices():
    with pytest.raises(UserError, match='cache_size must be 0 or more slices, but got -1'):
        LoadCTSlices(cache_size=-1)


def test_key_slice_exchanged_for_a_neighbor(ramp_dataset, ramp):
    """A short radius of 16 mm: slices nearer than 8 mm, of which near ones are likelier."""
    sample = ramp_dataset.sample(ramp_dataset.add_image(first=1, last=11, missing=[8]))
    lesion = dict(bbox=[0, 0, 90, 90], ignore_flag=0)
    sample['instances'] = [lesion, dict(bbox=[5, 5, 7, 7], ignore_flag=1)]
    sample['recist'] = [[10, 10, 80, 10, 40, 0, 40, 40]]
    load = LoadCTSlices(3, key_reach=0.5)
    np.random.seed(0)
    middles = [round(positions_of(load(dict(sample))['img'], ramp)[1]) for _ in range(400)]
    share = {key: middles.count(key) / 400 for key in set(middles)}
    assert set(share) == {3, 4, 5, 6, 7, 9}  # 8 is missing: the annotated slice stays
    # 4, 3, 2 and 1 of 10 at distances of 0 to 3, half of a distance to either side
    expected = {3: 0.05, 4: 0.1, 5: 0.15, 6: 0.5, 7: 0.15, 9: 0.05}
    assert share == pytest.approx(expected, abs=0.06)
    for without in ([], [dict(lesion, bbox=[0, 0, 4, 4])]):
        still = load(dict(sample, instances=without))
        assert positions_of(still['img'], ramp) == [5, 6, 7]


@pytest.mark.parametrize('num_slices, expected', [(1, [6.25]), (3, [5.85, 6.25, 6.65])])
def test_a_key_slice_between_two(ramp_dataset, ramp, num_slices, expected):
    sample = ramp_dataset.sample(ramp_dataset.add_image(interval=5.0))
    sample['slice_index'] = 6.25
    load = LoadCTSlices(num_slices)
    assert positions_of(load(sample)['img'], ramp) == pytest.approx(expected, abs=1e-4)
