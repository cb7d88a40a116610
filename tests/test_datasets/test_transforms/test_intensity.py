import numpy as np
import pytest

from mmlesion.datasets.transforms import WindowHU


def window(values, **options):
    img = np.array(values, np.float32).reshape(1, -1, 1)
    return WindowHU(**options)(dict(img=img))['img']


def test_default_window():
    out = window([-3000, -1024, 1023.5, 3071, 9000])
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.ravel(), [0, 0, 127.5, 255, 255], atol=1e-3)


def test_range_of_paper_001():
    out = window([-1024, 13, 1050], windows=((-1024, 1050),), output_range=(-1, 1))
    np.testing.assert_allclose(out.ravel(), [-1, 0, 1], atol=1e-6)


def test_windows_multiply_channels():
    img = np.stack([np.full((2, 2), -100.0), np.full((2, 2), 100.0)], axis=-1)
    out = WindowHU(((-100, 100), (0, 400)), (0, 1))(dict(img=img))['img']
    assert out.shape == (2, 2, 4)
    np.testing.assert_allclose(out[0, 0], [0, 1, 0, 0.25], atol=1e-6)


def test_input_is_left_alone():
    img = np.full((2, 2, 1), 50, np.float32)
    WindowHU()(dict(img=img))
    assert (img == 50).all()


def test_to_hu_undoes_the_first_window():
    img = np.random.default_rng(0).uniform(-160, 240, (5, 6, 3)).astype(np.float32)
    transform = WindowHU(((-160, 240), (-1000, 1000)), (-1, 1))
    windowed = transform(dict(img=img.copy()))['img']
    np.testing.assert_allclose(transform.to_hu(windowed), img, atol=1e-3)


@pytest.mark.parametrize('options', [dict(windows=((5, 5),)), dict(output_range=(1, 0))])
def test_bad_options(options):
    with pytest.raises(ValueError, match='a window is'):
        WindowHU(**options)
