"""3D proposals as samples, and the geometry of their patches."""

import json

import numpy as np
import pytest
from mmdet.registry import DATASETS, TRANSFORMS

from mmlesion.datasets.transforms import loading, patches
from mmlesion.datasets.transforms.patches import PatchFrame
from mmlesion.utils import UserError

NAME = '000001_01_02_003-009'


@pytest.fixture
def config(ramp_dataset):
    """A series of slices 3 to 9 of 24 x 32 px, each 1 mm wide and 4 mm apart."""
    image = ramp_dataset.add_image(interval=4.0)
    image['spacing'] = [1.0, 1.0]
    return dict(
        type='ProposalPatchDataset',
        data_root=str(ramp_dataset.root),
        ann_file=ramp_dataset.write().name,
        proposal_file='proposals.json',
        data_prefix=dict(img='Images_png'),
    )


def write(config, content):
    with open(f'{config["data_root"]}/proposals.json', 'w') as file:
        json.dump(content, file)


def build(config, content, **options):
    write(config, content)
    return DATASETS.build(dict(config, **options))


def samples(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def test_a_sample_a_proposal(config):
    rows = [[4, 4, 3, 11, 9, 4, 0.9, 1], [1.5, 2, 8, 7, 9, 9, 0.25, 0], [0, 0, 5, 9, 9, 5, 0.5, 0]]
    found = samples(build(config, {NAME: rows}))
    assert [s['proposal_label'] for s in found] == [1, 0, 0]
    assert [s['proposal_score'] for s in found] == [0.9, 0.25, 0.5]
    assert found[1]['proposal_box'] == [1.5, 2, 8, 7, 9, 9]
    # slices 3 and 4 have their middle where the 4th begins, slice 5 in itself
    assert [s['slice_index'] for s in found] == [4, 9, 5]
    assert [s['img_path'][-7:] for s in found] == ['004.png', '009.png', '005.png']
    assert all(s['slice_range'] == [3, 9] and s['sub_volume'] == NAME for s in found)


def test_in_a_test_there_are_no_labels(config):
    found = samples(build(config, {NAME: [[4, 4, 3, 11, 9, 4, 0.9]]}, test_mode=True))
    assert len(found) == 1 and 'proposal_label' not in found[0]


def test_errors(config):
    with pytest.raises(UserError, match='there are no proposals .*label_proposals.py'):
        DATASETS.build(config)
    with pytest.raises(UserError, match='box 0 .* not 8 finite numbers'):
        build(config, {NAME: [[4, 4, 3, 11, 9, 4, 0.9]]})
    with pytest.raises(UserError, match='must be 0 or 1'):
        build(config, {NAME: [[4, 4, 3, 11, 9, 4, 0.9, 2]]})
    with pytest.raises(UserError, match='box 0 .* not 7 finite numbers'):
        build(config, {NAME: [[4, 4, 3, 11, 9, 4, None]]}, test_mode=True)
    with pytest.raises(UserError, match='no image of its series'):
        build(config, {'000007_01_02_003-009': [[4, 4, 3, 11, 9, 4, 0.9, 1]]})
    with pytest.raises(UserError, match='is no sub-volume'):
        build(config, {'somewhere': []})
    with pytest.raises(UserError, match='has no proposals'):
        build(config, {NAME: []})
    with pytest.raises(UserError, match='must be a dictionary'):
        build(config, [])


def load(config, box, **options):
    dataset = build(config, {NAME: [[*box, 0.5]]}, test_mode=True)
    options = dict(num_slices=5, size=8, slice_interval=2.0, spacing=0.5, **options)
    transform = TRANSFORMS.build(dict(type='LoadProposalPatch', **options))
    return transform(dataset.get_data_info(0))


def ramp_at(z, y, x):
    """HU of the ramps at points whose voxel i extends from i to i + 1."""
    return 100 * (z - 0.5) + 2 * (y - 0.5) + (x - 0.5) - 1000


def test_the_boxs_center_is_the_patchs(config):
    """Slices 5 to 7, y 8 to 13 and x 12 to 19, inclusive: the center is 6.5, 11, 16."""
    result = load(config, [12, 8, 5, 19, 13, 7])
    volume = result['volume']
    assert volume.shape == result['img_shape'] == (5, 8, 8) and volume.dtype == np.int16
    half = np.arange(8) - 3.5
    z = 6.5 + (np.arange(5) - 2) * 2 / 4
    expected = ramp_at(z[:, None, None], 11 + half[:, None] * 0.5, 16 + half * 0.5)
    # OpenCV interpolates in steps of 1/32 px, and the result is rounded
    np.testing.assert_allclose(volume, expected, atol=0.6)
    # 3 slices of 4 mm are 12 mm, clipped to 10; 6 and 8 px of 1 mm are 12 and 16 of 0.5 mm
    assert result['patch_box'] == [0, 0, 0, 5, 8, 8]


def test_the_box_in_the_patch(config):
    """Slice 6, 2 px high and 3 wide, in voxels of 2 mm and 0.5 mm."""
    result = load(config, [15, 10, 6, 17, 11, 6])
    assert result['patch_box'] == pytest.approx([1.5, 2, 1, 3.5, 6, 7])
    mirrored = load(config, [15, 10, 6, 17, 11, 6], flip_prob=1.0)
    assert mirrored['patch_box'] == pytest.approx(result['patch_box'])
    np.testing.assert_allclose(mirrored['volume'], result['volume'][::-1, ::-1, ::-1], atol=1)


def test_beyond_the_series_is_the_last_slice_and_air(config, ramp):
    result = load(config, [0, 0, 3, 1, 1, 3], pad_hu=-2000)
    volume = result['volume'].astype(int)
    # planes at slices 2, 2.5, 3, 3.5 and 4, of which 3 is the first
    np.testing.assert_array_equal(volume[0], volume[2])
    np.testing.assert_array_equal(volume[1], volume[2])
    np.testing.assert_allclose(volume[4, 4:, 4:] - volume[2, 4:, 4:], 100, atol=1)
    # the center is px 1 of a slice: 2 px of 0.5 mm to its border
    assert (volume[:, :, 0] == -2000).all() and (volume[:, 0] == -2000).all()
    np.testing.assert_allclose(volume[2, 5, 5], ramp_at(3.5, 1.75, 1.75), atol=0.6)


def test_only_needed_slices_are_read(config, ramp_dataset):
    for number in (3, 4, 8, 9):
        (ramp_dataset.images_dir / '000001_01_02' / f'{number:03d}.png').write_bytes(b'broken')
    load(config, [12, 8, 5, 19, 13, 7])
    with pytest.raises(UserError, match='004.png'):
        load(config, [12, 8, 4, 19, 13, 7])


def test_slices_are_kept_for_the_next_proposal(config, monkeypatch):
    read = []
    original = loading.read_slice
    monkeypatch.setattr(
        loading, 'read_slice', lambda path, fetch: read.append(path[-7:]) or original(path, fetch)
    )
    rows = [[12, 8, 5, 19, 13, 7, 0.5], [3, 4, 5, 9, 9, 9, 0.5], [12, 8, 5, 19, 13, 7, 0.5]]
    dataset = build(config, {NAME: rows}, test_mode=True)
    transform = TRANSFORMS.build(dict(type='LoadProposalPatch', num_slices=5, size=8))
    found = [transform(dataset.get_data_info(i))['volume'] for i in range(3)]
    assert sorted(read) == [f'{number:03d}.png' for number in (5, 6, 7, 8)]
    monkeypatch.setattr(patches, 'MAX_CACHED', 2)
    again = TRANSFORMS.build(dict(type='LoadProposalPatch', num_slices=5, size=8))
    for i, volume in enumerate(found):
        np.testing.assert_array_equal(again(dataset.get_data_info(i))['volume'], volume)
        assert len(again._cached) <= 2
    np.testing.assert_array_equal(found[0], found[2])


def test_scale_shift_and_flip_are_of_the_same_map(config):
    """The ramp tells from where a voxel came; the box moves with it."""
    options = dict(ratio_range=(0.9, 1.1), max_shift_mm=1.0, flip_prob=0.5)
    seen = set()
    for seed in range(12):
        np.random.seed(seed)
        result = load(config, [15, 10, 6, 17, 11, 6], **options)
        frame = result['patch_frame']
        seen.add(tuple(np.sign(frame.step)))
        ratio = np.abs([0.5, 0.5, 0.5] / frame.step)
        assert np.ptp(ratio) < 1e-9 and 0.9 <= ratio[0] <= 1.1
        shift = (frame.center - [6.5, 11, 16.5]) * [4, 1, 1]
        assert (np.abs(shift) <= 1).all()
        z1, y1, x1, z2, y2, x2 = result['patch_box']
        middle = np.array([z1 + z2, y1 + y2, x1 + x2]) / 2
        index = np.floor(middle).astype(int)
        point = frame.center + (index + 0.5 - frame.size / 2) * frame.step
        assert (np.abs(point - [6.5, 11, 16.5]) <= np.abs(frame.step)).all()
        assert result['volume'][tuple(index)] == pytest.approx(ramp_at(*point), abs=0.8)
    assert len(seen) > 4


def test_frame_by_hand():
    frame = PatchFrame(np.array([6.5, 11, 16]), np.array([0.5, 0.5, -0.5]), np.array([5, 8, 8]))
    assert frame.slices().tolist() == [5, 5.5, 6, 6.5, 7]
    x, y = frame.pixel_map() @ [0, 0, 1]
    # centers of the first px are at 11 - 3.5 / 2 and 16 + 3.5 / 2
    assert (y + 0.5, x + 0.5) == (9.25, 17.75)
    assert frame.to_patch([6, 10, 15, 7, 12, 16.5]).tolist() == [1.5, 2, 3, 3.5, 6, 6]


@pytest.mark.parametrize(
    'options',
    [dict(spacing=0), dict(num_slices=4), dict(ratio_range=(1.2, 0.8)), dict(flip_prob=2)],
)
def test_options_are_checked(options):
    with pytest.raises(ValueError):
        TRANSFORMS.build(dict(type='LoadProposalPatch', **options))


def test_spacing_is_needed(config):
    dataset = build(config, {NAME: [[4, 4, 3, 11, 9, 4, 0.9]]}, test_mode=True)
    transform = TRANSFORMS.build(dict(type='LoadProposalPatch'))
    with pytest.raises(UserError, match='spacing None'):
        transform(dict(dataset.get_data_info(0), spacing=None))
