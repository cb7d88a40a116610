import math

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes, scale_boxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.runner import set_random_seed

from mmlesion.datasets.transforms import ClipBlackBorder, NormalizeSpacing, RandomCTAffine
from mmlesion.datasets.transforms.geometry import warp_channels
from mmlesion.structures import to_original_frame
from mmlesion.utils import UserError


def sample_of(img, boxes=(), masks=None, **extra):
    n = len(boxes)
    results = dict(
        img=img,
        img_shape=img.shape[:2],
        ori_shape=img.shape[:2],
        gt_bboxes=HorizontalBoxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)),
        gt_bboxes_labels=np.arange(n),
        gt_ignore_flags=np.zeros(n, bool),
        **extra,
    )
    if masks is not None:
        results['gt_masks'] = BitmapMasks(np.stack(masks), *img.shape[:2])
    return results


def square(size, x1, y1, x2, y2):
    mask = np.zeros((size, size), np.uint8)
    mask[y1:y2, x1:x2] = 1
    return mask


class FixedAffine(RandomCTAffine):
    """The transform with a given map about the image's center."""

    def __init__(self, matrix, **options):
        super().__init__(**options)
        self.matrix = np.array(matrix, np.float64)

    def _get_random_homography_matrix(self, height, width):
        to_center = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
        return np.linalg.inv(to_center) @ self.matrix @ to_center


def shift(x, y):
    return [[1, 0, x], [0, 1, y], [0, 0, 1]]


def rotation(degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [[c, -s, 0], [s, c, 0], [0, 0, 1]]


def boxes_of(results):
    return results['gt_bboxes'].tensor.tolist()


@pytest.mark.parametrize('channels', [1, 3, 9, 27])
def test_shift_moves_everything(channels):
    img = np.zeros((40, 40, channels), np.float32)
    img[10:20, 5:17] = np.arange(1, channels + 1)
    results = sample_of(img, [[5, 10, 17, 20]], [square(40, 5, 10, 17, 20)])
    out = FixedAffine(shift(6, -3))(results)
    expected = np.zeros_like(img)
    expected[7:17, 11:23] = np.arange(1, channels + 1)
    np.testing.assert_allclose(out['img'], expected, atol=1e-4)
    assert boxes_of(out) == [[11, 7, 23, 17]]
    np.testing.assert_array_equal(out['gt_masks'].masks[0], square(40, 11, 7, 23, 17))


def test_quarter_turn_is_exact():
    img = np.zeros((40, 40, 2), np.float32)
    img[4:10, 20:36] = 1
    out = FixedAffine(rotation(90))(sample_of(img, [[20, 4, 36, 10]], [square(40, 20, 4, 36, 10)]))
    # x, y -> 40 - y, x
    expected = square(40, 30, 20, 36, 36)
    np.testing.assert_allclose(out['img'], np.repeat(expected[..., None], 2, -1), atol=1e-4)
    np.testing.assert_array_equal(out['gt_masks'].masks[0], expected)
    np.testing.assert_allclose(boxes_of(out), [[30, 20, 36, 36]], atol=1e-4)


def test_scale_about_the_center():
    results = sample_of(np.ones((40, 60, 1), np.float32), [[30, 20, 40, 30]])
    out = FixedAffine(np.diag([1.5, 1.5, 1]))(results)
    assert boxes_of(out) == [[30, 20, 45, 35]]


def test_box_without_mask_bounds_its_corners():
    results = sample_of(np.zeros((100, 100, 1), np.float32), [[40, 40, 60, 60]])
    half = 10 * math.sqrt(2)
    expected = [[50 - half, 50 - half, 50 + half, 50 + half]]
    np.testing.assert_allclose(boxes_of(FixedAffine(rotation(45))(results)), expected, atol=1e-4)


def test_box_follows_a_round_mask_with_its_margin():
    y, x = np.mgrid[:100, :100] + 0.5
    disk = ((x - 60) ** 2 + (y - 50) ** 2 < 15**2).astype(np.uint8)
    box = [40, 30, 80, 70]  # 5 px around the disk
    results = sample_of(np.zeros((100, 100, 1), np.float32), [box], [disk])
    out = FixedAffine(rotation(30), fit_boxes_to_masks=True)(results)
    center = 50 + 10 * np.array([math.cos(math.pi / 6), math.sin(math.pi / 6)])
    around = HorizontalBoxes.from_instance_masks(out['gt_masks']).tensor.numpy()[0]
    # The disk stays a disk; its own bounding square's corners would reach 5.5 px further.
    expected = np.concatenate([center - 15, center + 15])
    np.testing.assert_allclose(around, expected, atol=1)
    margins = (around - boxes_of(out)[0]) * [1, 1, -1, -1]
    corner = 5 * (math.cos(math.pi / 6) + math.sin(math.pi / 6))
    np.testing.assert_allclose(margins, corner, atol=1e-3)


def test_boxes_are_the_same_with_and_without_masks():
    # the first lesion leaves the image, the second is much smaller than its box, the third has none
    boxes = [[0, 0, 8, 8], [20, 20, 50, 44], [60, 60, 80, 70]]
    masks = [square(100, 1, 1, 3, 3), square(100, 30, 28, 40, 36), np.zeros((100, 100), np.uint8)]
    matrix = np.array(shift(-4, 0)) @ rotation(5)
    img = np.zeros((100, 100, 1), np.float32)
    plain, masked = (
        FixedAffine(matrix)(sample_of(img, boxes, some_masks)) for some_masks in (None, masks)
    )
    assert boxes_of(masked) == boxes_of(plain) and len(boxes_of(plain)) == 3
    assert masked['gt_masks'].areas.astype(bool).tolist() == [False, True, False]


def test_identity_changes_nothing():
    img = np.random.default_rng(0).normal(size=(30, 30, 5)).astype(np.float32)
    results = sample_of(img.copy(), [[3, 4, 17, 21]], [square(30, 6, 8, 12, 20)])
    out = FixedAffine(np.eye(3))(results)
    np.testing.assert_allclose(out['img'], img, atol=1e-5)
    assert boxes_of(out) == [[3, 4, 17, 21]]


def test_what_leaves_the_image_is_dropped():
    img = np.zeros((40, 40, 1), np.float32)
    boxes = [[0, 0, 8, 8], [10, 10, 20, 20], [4, 10, 14, 20]]
    masks = [square(40, 1, 1, 7, 7), square(40, 12, 12, 18, 18), square(40, 5, 11, 9, 19)]
    out = FixedAffine(shift(-10, 0))(sample_of(img, boxes, masks))
    assert out['gt_bboxes_labels'].tolist() == [1, 2]
    assert boxes_of(out) == [[0, 10, 10, 20], [0, 10, 4, 20]]
    assert len(out['gt_masks']) == len(out['gt_ignore_flags']) == 2
    # The third box still shows, but its lesion is gone.
    out = FixedAffine(shift(-10, 0), fit_boxes_to_masks=True)(sample_of(img, boxes, masks))
    assert out['gt_bboxes_labels'].tolist() == [1]
    assert boxes_of(out) == [[0, 10, 10, 20]]
    assert len(out['gt_masks']) == len(out['gt_ignore_flags']) == 1


def test_polygon_masks_become_bitmaps():
    results = sample_of(np.zeros((40, 40, 1), np.float32), [[5, 5, 15, 15]])
    polygon = np.array([5, 5, 15, 5, 15, 15, 5, 15], float)
    results['gt_masks'] = PolygonMasks([[polygon]], 40, 40)
    out = FixedAffine(shift(10, 0))(results)
    assert isinstance(out['gt_masks'], BitmapMasks)
    np.testing.assert_array_equal(out['gt_masks'].masks[0], square(40, 15, 5, 25, 15))


def test_no_instances_and_no_annotations():
    img = np.zeros((20, 20, 3), np.float32)
    results = sample_of(img, [])
    results['gt_masks'] = BitmapMasks(np.zeros((0, 20, 20), np.uint8), 20, 20)
    assert len(FixedAffine(rotation(5))(results)['gt_bboxes']) == 0
    assert FixedAffine(rotation(5))(dict(img=img))['img_shape'] == (20, 20)


@pytest.mark.parametrize(
    'low, border_val, expected', [(-1024, None, -1024), (0, None, 0), (0, 7, 7)]
)
def test_border_is_air(low, border_val, expected):
    img = np.full((20, 20, 9), 40, np.float32)
    img[0, 0] = low
    out = FixedAffine(shift(5, 0), border_val=border_val)(dict(img=img))
    assert (out['img'][:, :5] == expected).all()
    assert (out['img'][5:, 5:] == 40).all()


def test_channel_groups_equal_one_warp_a_channel():
    img = np.random.default_rng(0).normal(size=(50, 40, 11)).astype(np.float32)
    matrix = np.array([[1.05, 0.08, -3.2], [-0.06, 0.93, 2.7], [0, 0, 1]])
    plain = [warp_channels(img[..., c], matrix, -5.0)[..., 0] for c in range(11)]
    np.testing.assert_array_equal(warp_channels(img, matrix, -5.0), np.stack(plain, axis=-1))


def test_warp_equals_plain_resampling():
    """Against sampling a linear ramp at each pixel's pre-image."""
    y, x = np.mgrid[:60, :50].astype(np.float64)
    img = (3 * x + 2 * y)[..., None].astype(np.float32)
    matrix = np.array([[1.05, 0.08, -3.2], [-0.06, 0.93, 2.7], [0, 0, 1]])
    points = np.stack([x + 0.5, y + 0.5, np.ones_like(x)], axis=-1)
    source = points @ np.linalg.inv(matrix).T - 0.5
    inside = ((source[..., :2] >= 0) & (source[..., :2] <= [49, 59])).all(-1)
    expected = 3 * source[..., 0] + 2 * source[..., 1]
    out = warp_channels(img, matrix, -1000)[..., 0]
    assert inside.mean() > 0.8
    # OpenCV may round coordinates to 1/32 px; before 5.0 they are sums of two rounded to 1/1024.
    np.testing.assert_allclose(out[inside], expected[inside], atol=5 / 64 + 5 / 1024)


def test_random_maps_stay_in_range_and_follow_the_seed():
    transform = RandomCTAffine()
    corners = np.array([[0, 0, 1], [64, 0, 1], [32, 32, 1]], float).T
    set_random_seed(3)
    matrices = [transform._get_random_homography_matrix(64, 64) for _ in range(200)]
    centers = np.array([(m @ corners)[:2, 2] for m in matrices])
    assert np.abs(centers - 32).max() <= 6.4 + 1e-4
    assert np.abs(centers - 32).max() > 5
    scales = np.sqrt([np.linalg.det(m[:2, :2]) for m in matrices])
    assert 0.89 < scales.min() < 0.93 and 1.07 < scales.max() < 1.11
    set_random_seed(3)
    again = transform._get_random_homography_matrix(64, 64)
    np.testing.assert_array_equal(again, matrices[0])


def test_normalize_spacing_and_back():
    img = np.zeros((100, 120, 3), np.float32)
    results = sample_of(
        img, [[10, 20, 30, 60]], [square(120, 10, 20, 30, 60)[:100]], spacing=[0.6, 1.2]
    )
    out = NormalizeSpacing(0.8)(results)
    assert out['img'].shape == (150, 90, 3)
    assert out['scale_factor'] == (0.75, 1.5)
    assert boxes_of(out) == [[7.5, 30, 22.5, 90]]
    assert out['gt_masks'].masks.shape == (1, 150, 90)
    assert out['spacing'] == [0.6, 1.2] and out['ori_shape'] == (100, 120)
    back = scale_boxes(out['gt_bboxes'].tensor, [1 / s for s in out['scale_factor']])
    assert back.tolist() == [[10, 20, 30, 60]]


def test_shift_by_whole_px():
    options = dict.fromkeys(('max_rotate_degree', 'max_translate_ratio', 'max_shear_degree'), 0.0)
    transform = RandomCTAffine(scaling_ratio_range=(1.0, 1.0), max_translate_px=8, **options)
    img = np.random.default_rng(0).normal(size=(40, 50, 9)).astype(np.float32)
    shifts = set()
    set_random_seed(0)
    for _ in range(60):
        out = transform(sample_of(img.copy(), [[20, 15, 30, 25]]))
        x, y = (int(low - first) for low, first in zip(boxes_of(out)[0], (20, 15)))
        np.testing.assert_allclose(
            out['img'][9 + y : 31 + y, 9 + x : 41 + x], img[9:31, 9:41], atol=1e-5
        )
        assert boxes_of(out) == [[20 + x, 15 + y, 30 + x, 25 + y]]
        shifts.add((x, y))
    xs, ys = zip(*shifts)
    assert len(shifts) > 40 and set(map(abs, (min(xs), max(xs), min(ys), max(ys)))) <= {7, 8}


def test_normalize_spacing_by_a_random_ratio():
    transform = NormalizeSpacing(spacing=0.8, ratio_range=(0.8, 1.2))
    widths = []
    set_random_seed(0)
    for _ in range(50):
        sample = sample_of(
            np.zeros((100, 100, 3), np.float32), [[10, 20, 30, 60]], spacing=[0.8] * 2
        )
        out = transform(sample)
        (ratio, same), (x1, y1, x2, y2) = out['scale_factor'], boxes_of(out)[0]
        assert ratio == same and out['img'].shape[:2] == (round(100 * ratio),) * 2
        np.testing.assert_allclose([x1, y1, x2, y2], np.array([10, 20, 30, 60]) * ratio, rtol=1e-4)
        widths.append(ratio)
    assert 0.8 <= min(widths) < 0.85 and 1.15 < max(widths) <= 1.2
    with pytest.raises(ValueError, match='positive and ascending'):
        NormalizeSpacing(ratio_range=(1.2, 0.8))


@pytest.mark.parametrize('size, expected', [(1000, 512), (600, 450)])
def test_normalize_spacing_up_to_a_size(size, expected):
    img = np.zeros((size // 2, size, 1), np.float32)
    sample = sample_of(img, [[10, 20, 30, 60]], spacing=[0.6, 0.6])
    out = NormalizeSpacing(0.8, max_size=512)(sample)
    assert out['img'].shape[:2] == (expected // 2, expected)
    factor = expected / size
    assert boxes_of(out) == [pytest.approx([10 * factor, 20 * factor, 30 * factor, 60 * factor])]
    assert out['scale_factor'] == pytest.approx((factor, factor))


@pytest.mark.parametrize('spacing', [None, [0, 0.8]])
def test_normalize_spacing_needs_spacing(spacing):
    with pytest.raises(UserError, match='spacing'):
        NormalizeSpacing()(sample_of(np.zeros((4, 4, 1), np.float32), spacing=spacing))


def body_in_air(size=100):
    img = np.full((size, size, 3), -1000, np.float32)
    img[30:80, 20:90] = 40
    img[5:8, 10:95] = 100  # a thin table
    return img


def test_clip_black_border_round_trip():
    mask = square(100, 42, 37, 58, 53)
    results = sample_of(body_in_air(), [[40, 35, 60, 55]], [mask])
    out = ClipBlackBorder(margin=10)(results)
    assert out['border_offset'] == (10, 20)
    assert out['img'].shape == (70, 90, 3)
    assert out['img_shape'] == out['ori_shape'] == (70, 90)
    np.testing.assert_array_equal(out['img'], body_in_air()[20:90, 10:100])
    np.testing.assert_array_equal(out['gt_masks'].masks[0], mask[20:90, 10:100])
    assert boxes_of(out) == [[30, 15, 50, 35]]
    back = to_original_frame(out['gt_bboxes'].tensor, out)
    assert back.tolist() == [[40, 35, 60, 55]]


def test_clip_then_resize_then_back():
    out = ClipBlackBorder(margin=10)(sample_of(body_in_air(), [[40, 35, 60, 55]]))
    out = TRANSFORMS.build(dict(type='Resize', scale=(180, 180), keep_ratio=True))(out)
    predicted = out['gt_bboxes'].tensor
    assert predicted.tolist() == [[60, 30, 100, 70]]
    rescaled = scale_boxes(predicted, [1 / s for s in out['scale_factor']])
    assert to_original_frame(rescaled, out).tolist() == [[40, 35, 60, 55]]


def test_clip_black_border_of_air_alone():
    img = np.full((20, 30, 1), -1000, np.float32)
    out = ClipBlackBorder()(sample_of(img))
    assert out['border_offset'] == (0, 0) and out['img'].shape == (20, 30, 1)


@pytest.mark.parametrize('channels', [1, 9, 27])
@pytest.mark.parametrize(
    'config, mapped',
    [
        (dict(type='RandomFlip', prob=1.0), lambda img: img[:, ::-1]),
        (dict(type='RandomFlip', prob=1.0, direction='vertical'), lambda img: img[::-1]),
        (
            dict(type='Resize', scale=(48, 40)),
            lambda img: np.stack([cv2.resize(c, (48, 40)) for c in np.moveaxis(img, -1, 0)], -1),
        ),
    ],
)
def test_mmdet_transforms_take_any_channels(channels, config, mapped):
    img = np.random.default_rng(0).normal(size=(20, 24, channels)).astype(np.float32)
    out = TRANSFORMS.build(config)(sample_of(img.copy(), [[2, 3, 8, 9]]))
    result = out['img'].reshape(*out['img'].shape[:2], channels)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, mapped(img), atol=1e-5)


@pytest.mark.parametrize('channels', [1, 9, 27])
def test_mmdet_rotate_takes_any_channels(channels):
    y, x = np.mgrid[:20, :24]
    ramp = (3 * x - y).astype(np.float32)[..., None]
    factors = np.arange(1, channels + 1, dtype=np.float32)

    def rotate(img):
        set_random_seed(0)
        transform = dict(type='Rotate', prob=1.0, level=10, min_mag=20.0, max_mag=20.0)
        out = TRANSFORMS.build(transform)(sample_of(img, [[8, 8, 14, 14]]))['img']
        return out.reshape(20, 24, -1)[6:14, 8:16]

    rgb = rotate(np.repeat(ramp, 3, axis=-1))
    # OpenCV may round coordinates to 1/32 px.
    np.testing.assert_allclose(
        rotate(ramp * factors) / factors, np.repeat(rgb[..., :1], channels, -1), atol=4 / 64 + 1e-3
    )
    assert np.abs(rgb - np.repeat(ramp, 3, axis=-1)[6:14, 8:16]).max() > 1
