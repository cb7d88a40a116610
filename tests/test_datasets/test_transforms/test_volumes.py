import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from mmlesion.datasets.transforms import (
    LoadSphereAnnotations,
    LoadVolume,
    PackVolumeInputs,
    RandomFlip3D,
    RandomLesionCrop,
)
from mmlesion.datasets.transforms.volumes import cut_volume
from mmlesion.structures.spheres import SphereBoxes
from mmlesion.utils import UserError

SIZE = (40, 50, 60)
SPHERES = [[10.0, 12.0, 14.0, 8.0], [30.0, 40.0, 50.0, 6.0]]


@pytest.fixture(autouse=True)
def seed():
    np.random.seed(0)


def sample(spheres=SPHERES, ignored=None, size=SIZE):
    """A ramp, whose values say where a voxel is from, and spheres."""
    z, y, x = np.indices(size)
    flags = np.zeros(len(spheres), bool) if ignored is None else np.array(ignored)
    return dict(
        volume=(300 * z + 5 * y + x - 6000).astype(np.int16),
        gt_bboxes=SphereBoxes(torch.tensor(spheres).reshape(-1, 4)),
        gt_bboxes_labels=np.arange(len(spheres)),
        gt_ignore_flags=flags,
        img_shape=size,
    )


def write(path, array):
    np.save(path, array)
    return dict(volume_path=str(path), size=list(array.shape))


class TestLoadVolume:
    def test_it_is_mapped_and_not_read(self, tmp_path):
        array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
        results = LoadVolume()(write(tmp_path / 'a.npy', array))
        assert isinstance(results['volume'], np.memmap)
        np.testing.assert_array_equal(results['volume'], array)
        assert results['img_shape'] == results['ori_shape'] == (2, 3, 4)

    def test_the_file_stays_as_it_is(self, tmp_path):
        array = np.zeros((2, 3, 4), np.int16)
        LoadVolume()(write(tmp_path / 'a.npy', array))['volume'][:] = 7
        np.testing.assert_array_equal(np.load(tmp_path / 'a.npy'), array)

    def test_files_that_cannot_be_used(self, tmp_path):
        results = write(tmp_path / 'a.npy', np.zeros((2, 3, 4), np.int16))
        with pytest.raises(UserError, match=r'annotated as int16 of \(2, 3, 5\)'):
            LoadVolume()(dict(results, size=[2, 3, 5]))
        with pytest.raises(UserError, match='float64'):
            LoadVolume()(write(tmp_path / 'b.npy', np.zeros((2, 3, 4))))
        with pytest.raises(UserError, match='cannot be read'):
            LoadVolume()(dict(results, volume_path=str(tmp_path / 'c.npy')))
        (tmp_path / 'a.npy').write_bytes((tmp_path / 'a.npy').read_bytes()[:100])
        with pytest.raises(UserError, match='cannot be read'):
            LoadVolume()(results)

    def test_a_pickle_is_not_loaded(self, tmp_path):
        np.save(tmp_path / 'a.npy', np.array([print], dtype=object))
        with pytest.raises(UserError, match='cannot be read'):
            LoadVolume()(dict(volume_path=str(tmp_path / 'a.npy'), size=[1]))


def annotated(*instances):
    keys = 'center_mm', 'diameter_mm', 'bbox_label', 'ignore_flag'
    return dict(
        instances=[dict(zip(keys, values)) for values in instances],
        size=[24, 20, 28],
        spacing=[1.0, 1.0, 1.0],
        origin=[-10.0, 20.0, 300.0],
        direction=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0],
    )


class TestLoadSphereAnnotations:
    FINDINGS = ([-2.0, 25.0, 290.0], 6.0, 0, 0), ([5.0, 30.0, 285.0], 10.0, 1, 1)

    def test_world_to_voxels(self):
        results = LoadSphereAnnotations()(annotated(*self.FINDINGS))
        expected = [[10.5, 5.5, 8.5, 6.0], [15.5, 10.5, 15.5, 10.0]]
        torch.testing.assert_close(results['gt_bboxes'].tensor, torch.tensor(expected))
        assert results['gt_bboxes_labels'].tolist() == [0, 1]
        assert results['gt_ignore_flags'].tolist() == [False, True]

    def test_without_ignored(self):
        results = LoadSphereAnnotations(with_ignored=False)(annotated(*self.FINDINGS))
        assert len(results['gt_bboxes']) == 1 and results['gt_bboxes_labels'].tolist() == [0]

    def test_none(self):
        results = LoadSphereAnnotations()(annotated())
        assert results['gt_bboxes'].tensor.shape == (0, 4)
        assert results['gt_ignore_flags'].dtype == bool


class TestRandomLesionCrop:
    def test_lesions_stay_where_they_are_in_the_volume(self):
        """The ramp's values at a lesion's center are those of the whole volume's there."""
        for scale_range in (None, (0.8, 1.2)):
            crop = RandomLesionCrop((24, 24, 24), lesion_share=1.0, scale_range=scale_range)
            for _ in range(20):
                results = crop(sample())
                assert results['volume'].shape == results['img_shape'] == (24, 24, 24)
                assert len(results['gt_bboxes']) >= 1
                kept = ~results['gt_ignore_flags']
                labels = results['gt_bboxes_labels'][kept]
                for sphere, label in zip(results['gt_bboxes'].numpy()[kept], labels):
                    here = sphere[:3, None] - 0.5
                    hu = map_coordinates(results['volume'].astype(float), here, order=1)
                    there = np.array(SPHERES[label])[:3] - 0.5
                    assert abs(hu[0] - (there @ [300, 5, 1] - 6000)) < 2
                    diameter = SPHERES[label][3] * results['crop_scale']
                    assert sphere[3] == pytest.approx(diameter, rel=1e-5)

    def test_crop_offset(self):
        results = RandomLesionCrop((16, 16, 16))(sample())
        z, y, x = results['crop_offset']
        whole = sample()['volume'][z : z + 16, y : y + 16, x : x + 16]
        np.testing.assert_array_equal(results['volume'], whole)

    @pytest.mark.parametrize('share', [0.0, 0.7, 1.0])
    def test_share_of_crops_with_a_lesion(self, share):
        """Lesions are whole in crops that are drawn around them; others seldom hit one."""
        crop = RandomLesionCrop((12, 12, 12), lesion_share=share)
        spheres = [[20.0, 25.0, 30.0, 6.0]]
        hits = 0
        for _ in range(400):
            results = crop(sample(spheres))
            hits += (~results['gt_ignore_flags']).any()
        by_chance = 0.025  # places of the crop that hold the center: 12^3 of 29 * 39 * 49, 3 %
        assert hits / 400 == pytest.approx(share + (1 - share) * by_chance, abs=0.06)

    def test_the_sample_says_what_the_crop_holds(self):
        """A target is always held, whatever lesion_share; without one no lesion is aimed at."""
        crop = RandomLesionCrop((12, 12, 12), lesion_share=0.0)
        inside = []
        for _ in range(30):
            results = sample([SPHERES[0], [20.0, 25.0, 30.0, 6.0]])
            x, y, z = 30.0, 25.0, 20.0
            grid = dict(size=(40, 50, 60), spacing=(1, 1, 1), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))
            results.update(grid, origin=(0.5, 0.5, 0.5))
            results['crop_target'] = dict(center_mm=[x, y, z], diameter_mm=6.0)
            offset = np.array(crop(results)['crop_offset'])
            assert (offset <= [17, 22, 27]).all() and (offset + 12 >= [23, 28, 33]).all()
            results = dict(sample([[20.0, 25.0, 30.0, 6.0]]), crop_target=None)
            results = RandomLesionCrop((12, 12, 12), lesion_share=1.0)(results)
            inside.append((~results['gt_ignore_flags']).any())
        assert np.mean(inside) < 0.3

    def test_hard_spots_take_crops_from_chance_and_not_from_lesions(self):
        lesion, spot = [20.0, 25.0, 30.0, 6.0], [8.0, 8.0, 8.0, 4.0]
        crop = RandomLesionCrop((12, 12, 12), lesion_share=0.6, hard_share=0.5)
        held = {'lesion': 0, 'spot': 0}
        for _ in range(500):
            offset = np.array(crop(dict(sample([lesion]), hard_spots=[spot]))['crop_offset'])
            for name, center in (('lesion', lesion), ('spot', spot)):
                low = np.array(center[:3])
                held[name] += ((offset <= low) & (low < offset + 12)).all()
        assert held['lesion'] / 500 == pytest.approx(0.6, abs=0.07)
        assert held['spot'] / 500 == pytest.approx(0.2, abs=0.06)

    def test_a_lesion_is_whole_and_anywhere_in_the_crop(self):
        crop = RandomLesionCrop((16, 16, 16), lesion_share=1.0)
        found = np.array(
            [crop(sample([[20.0, 25.0, 30.0, 6.0]]))['gt_bboxes'].numpy()[0] for _ in range(200)]
        )
        assert (found[:, :3] >= 3).all() and (found[:, :3] <= 13).all()
        assert (np.ptp(found[:, :3], axis=0) > 8).all()

    def test_lesions_at_the_border_and_larger_than_the_crop(self):
        crop = RandomLesionCrop((16, 16, 16), lesion_share=1.0)
        for sphere in ([1.0, 49.0, 30.0, 6.0], [20.0, 25.0, 30.0, 40.0]):
            for _ in range(20):
                results = crop(sample([sphere]))
                assert results['gt_ignore_flags'].tolist() == [False]

    def test_small_volumes_are_padded(self):
        crop = RandomLesionCrop((48, 16, 64), lesion_share=1.0, pad_hu=-1200)
        offsets = set()
        for _ in range(10):
            results = crop(sample([[10.0, 12.0, 14.0, 8.0]]))
            z, y, x = results['crop_offset']
            offsets.add(z)
            assert -8 <= z <= 0 and 0 <= y <= 34 and -4 <= x <= 0
            padded = np.full((48, 16, 64), -1200, np.int16)
            padded[-z : 40 - z, :, -x : 60 - x] = sample()['volume'][:, y : y + 16]
            np.testing.assert_array_equal(results['volume'], padded)
        assert len(offsets) > 2

    def test_cut_off_lesions_are_ignored_and_distant_ones_dropped(self):
        # the crop is z 0 to 16: inside, center beyond, out of reach, an excluded finding
        spheres = [[8.0, 8.0, 8.0, 6.0], [17.0, 8.0, 8.0, 6.0], [30.0, 8.0, 8.0, 6.0]]
        spheres.append([4.0, 4.0, 4.0, 6.0])
        results = sample(spheres, [False, False, False, True], (40, 16, 16))
        crop = RandomLesionCrop((16, 16, 16), lesion_share=0.0)
        crop._start = lambda *args: np.zeros(3, np.int64)
        results = crop(results)
        assert results['gt_bboxes_labels'].tolist() == [0, 1, 3]
        assert results['gt_ignore_flags'].tolist() == [False, True, True]

    def test_crops_are_not_drawn_around_ignored_findings(self):
        crop = RandomLesionCrop((12, 12, 12), lesion_share=1.0)
        hits = [
            len(crop(sample([[20.0, 25.0, 30.0, 6.0]], [True]))['gt_bboxes']) for _ in range(50)
        ]
        assert np.mean(hits) < 0.4

    def test_hard_spots(self):
        crop = RandomLesionCrop((12, 12, 12), lesion_share=0.0, hard_share=0.6)
        near = 0
        for _ in range(300):
            results = dict(sample([]), hard_spots=[[33.0, 42.0, 52.0, 4.0]])
            results = crop(results)
            place = np.array([33.0, 42.0, 52.0]) - results['crop_offset']
            near += ((place >= 2) & (place <= 10)).all()
        assert near / 300 == pytest.approx(0.6, abs=0.09)

    def test_options_that_make_no_sense(self):
        with pytest.raises(ValueError, match='must be 0 to 1, not 1.5'):
            RandomLesionCrop(lesion_share=1.5)
        with pytest.raises(ValueError, match='scale_range'):
            RandomLesionCrop(scale_range=(1.2, 0.8))


class TestRandomFlip3D:
    def test_each_axis(self):
        for axis, name in enumerate('zyx'):
            prob = [0.0, 0.0, 0.0]
            prob[axis] = 1.0
            results = RandomFlip3D(prob)(sample())
            assert results['flip_axes'] == (name,)
            np.testing.assert_array_equal(results['volume'], np.flip(sample()['volume'], axis))
            expected = torch.tensor(SPHERES)
            expected[:, axis] = SIZE[axis] - expected[:, axis]
            torch.testing.assert_close(results['gt_bboxes'].tensor, expected)

    def test_all_flips_come(self):
        flip = RandomFlip3D()
        assert len({flip(sample())['flip_axes'] for _ in range(80)}) == 8

    def test_without_annotations(self):
        results = RandomFlip3D(1.0)(dict(volume=sample()['volume']))
        np.testing.assert_array_equal(results['volume'], sample()['volume'][::-1, ::-1, ::-1])


class TestPackVolumeInputs:
    def test_inputs_and_instances(self):
        results = dict(sample(ignored=[False, True]), volume_id=5, series_uid='2.25.1', other=1)
        packed = PackVolumeInputs()(RandomFlip3D(1.0)(results))
        assert packed['inputs'].shape == (1, *SIZE) and packed['inputs'].dtype == torch.int16
        assert packed['inputs'][0, 0, 0, 0] == sample()['volume'].max()
        data = packed['data_samples']
        assert data.volume_id == 5 and data.img_shape == SIZE and 'other' not in data
        assert isinstance(data.gt_instances.bboxes, SphereBoxes)
        assert data.gt_instances.labels.tolist() == [0]
        assert data.ignored_instances.labels.tolist() == [1]
        torch.testing.assert_close(
            data.gt_instances.bboxes.tensor, torch.tensor([[30.0, 38.0, 46.0, 8.0]])
        )

    def test_a_whole_volume_is_not_copied(self, tmp_path):
        results = LoadVolume()(write(tmp_path / 'a.npy', np.zeros((4, 4, 4), np.int16)))
        packed = PackVolumeInputs()(results)
        results['volume'][1, 2, 3] = 9
        assert packed['inputs'][0, 1, 2, 3] == 9
        assert 'gt_instances' not in packed['data_samples']


class TestCutVolume:
    VOLUME = np.random.default_rng(0).integers(-1000, 1000, (20, 22, 24)).astype(np.int16)

    def test_inside_and_beyond(self):
        inside = cut_volume(self.VOLUME, (2, 3, 4), (10, 9, 8))
        np.testing.assert_array_equal(inside, self.VOLUME[2:12, 3:12, 4:12])
        beyond = cut_volume(self.VOLUME, (-3, 18, 4), (10, 9, 8), pad_hu=-7)
        np.testing.assert_array_equal(beyond[3:, :4], self.VOLUME[:7, 18:, 4:12])
        assert (beyond[:3] == -7).all() and (beyond[:, 4:] == -7).all()
        assert (cut_volume(self.VOLUME, (50, 0, 0), (4, 4, 4), pad_hu=-7) == -7).all()

    @pytest.mark.parametrize('scale', [0.8, 1.15, 1.5])
    def test_scaled_as_a_plain_interpolation(self, scale):
        size, start = (9, 8, 7), np.array([5, 4, 6])
        part = cut_volume(self.VOLUME, start, size, scale)
        at = (np.indices(size) + start.reshape(3, 1, 1, 1) + 0.5) / scale - 0.5
        expected = map_coordinates(self.VOLUME.astype(float), at, order=1)
        np.testing.assert_allclose(part, expected, rtol=0, atol=0.51)

    def test_scaled_beyond(self):
        part = cut_volume(np.zeros((8, 8, 8), np.int16), (-10, 0, 0), (20, 8, 8), 1.25, -1200)
        assert (part[:9] == -1200).all() and (part[11:19, 1:, 1:] == 0).all()
