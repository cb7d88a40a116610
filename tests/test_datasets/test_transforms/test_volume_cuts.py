import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from mmlesion.datasets.transforms.volume_cuts import cut_volume


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
