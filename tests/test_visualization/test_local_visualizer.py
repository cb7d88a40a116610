import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import HOOKS, VISUALIZERS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData

from mmlesion.engine.hooks import LesionVisualizationHook
from mmlesion.engine.hooks.visualization_hook import in_original_frame
from mmlesion.utils import UserError
from mmlesion.visualization import LesionLocalVisualizer, slice_to_rgb


def sample_with(boxes, **meta):
    instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32),
        labels=torch.zeros(len(boxes), dtype=torch.long),
        scores=torch.linspace(0.9, 0.5, len(boxes)),
    )
    return DetDataSample(metainfo=meta, pred_instances=instances)


def draw(image, data_sample=None, window=None, **options):
    visualizer = LesionLocalVisualizer(window=window, alpha=1.0)
    visualizer.dataset_meta = dict(classes=('lesion',), palette=[(255, 0, 0)])
    visualizer.add_datasample('slice', image, data_sample, draw_gt=False, **options)
    return visualizer.get_image()


HU = np.array([[-1000, -175, 50, 275, 3000]])
GRAY = [0, 0, 128, 255, 255]


@pytest.mark.parametrize(
    'image',
    [
        HU.astype(np.float32),
        HU.astype(np.int16),
        (HU + 32768).astype(np.uint16),
        np.stack([HU * 0, HU, HU * 0], axis=-1).astype(np.float32),
        np.stack([HU * 0] * 4 + [HU] + [HU * 0] * 4, axis=-1),
    ],
)
def test_hu_of_any_type_and_channels(image):
    picture = slice_to_rgb(image)
    assert picture.dtype == np.uint8 and picture.shape == (1, 5, 3)
    for channel in range(3):
        np.testing.assert_allclose(picture[0, :, channel], GRAY, atol=1)


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_windowed_pictures_stay(dtype):
    image = np.array([[0, 17, 255]], dtype)
    assert slice_to_rgb(image)[0, :, 1].tolist() == [0, 17, 255]


def test_boxes_are_drawn_over_the_slice():
    image = np.full((60, 80, 3), 50, np.float32)
    image[..., 0] = -1000
    picture = draw(image, sample_with([[20, 30, 60, 50]]))
    assert picture.shape == (60, 80, 3)
    red = (picture[..., 0] > 180) & (picture[..., 1] < 90)
    y, x = np.nonzero(red)
    np.testing.assert_allclose([x.min(), x.max(), y.min(), y.max()], [20, 60, 30, 50], atol=1)
    # The inside is free of labels, and the middle slice shows.
    assert (np.abs(picture[33:48, 23:58].astype(int) - 128) <= 1).all()
    assert not red[33:48, 23:58].any()


def test_low_scores_are_left_out():
    image = np.full((60, 80), 50, np.float32)
    image[0, 0] = -1000
    data_sample = sample_with([[20, 30, 60, 50], [2, 30, 12, 50]])
    both, one = (draw(image, data_sample, pred_score_thr=thr) for thr in (0.3, 0.7))
    assert (both[35:45, 1:14, 0] > 200).any() and not (one[35:45, 1:14, 0] > 200).any()


@pytest.mark.parametrize(
    'window, windows, expected',
    [
        (None, None, (50 + 175) / 450),
        (None, [[-1000, 200], [0, 100]], 1050 / 1200),
        ((0, 100), [[-1000, 200]], 0.5),
    ],
)
def test_window_of_the_option_the_sample_or_soft_tissue(window, windows, expected):
    meta = {} if windows is None else dict(windows=windows)
    image = np.full((40, 40), 50 + 32768, np.uint16)
    picture = draw(image, sample_with([[1, 1, 5, 5]], **meta), window)
    np.testing.assert_allclose(picture[20:, 20:], expected * 255, atol=1)


def test_bad_window():
    with pytest.raises(ValueError, match='a window is'):
        LesionLocalVisualizer(window=(5, 5))


def test_registered_with_mmdet():
    assert VISUALIZERS.get('LesionLocalVisualizer') is LesionLocalVisualizer
    assert HOOKS.get('LesionVisualizationHook') is LesionVisualizationHook


class Runner:
    iter = 0
    timestamp = 'now'

    def __init__(self, work_dir):
        self.work_dir = str(work_dir)


@pytest.fixture
def hook():
    visualizer = LesionLocalVisualizer.get_instance('hook_test', alpha=1.0)
    visualizer.dataset_meta = dict(classes=('lesion',), palette=[(255, 0, 0)])
    return HOOKS.build(dict(type='LesionVisualizationHook', draw=True, test_out_dir='show'))


def test_hook_draws_the_key_slice(ramp_dataset, ramp, hook):
    image = ramp_dataset.add_image(size=(48, 64))
    data_sample = sample_with([[10, 15, 30, 30]], border_offset=(8, 5))
    data_sample.set_metainfo(dict(img_path=ramp_dataset.sample(image)['img_path']))
    hook.after_test_iter(Runner(ramp_dataset.root), 0, {}, [data_sample])
    picture = cv2.imread(str(ramp_dataset.root / 'now/show/000001_01_02_006.png'))[..., ::-1]
    # mmdet's layout: annotations at the left, predictions at the right.
    assert picture.shape == (48, 128, 3)
    picture = picture[:, 64:]
    red = (picture[..., 0] > 180) & (picture[..., 1] < 90)
    y, x = np.nonzero(red)
    np.testing.assert_allclose([x.min(), x.max(), y.min(), y.max()], [18, 38, 20, 35], atol=1)
    expected = (ramp(6, 48, 64) + 175) * 255 / 450
    np.testing.assert_allclose(picture[40:, :15, 1], expected[40:, :15].clip(0, 255), atol=1)
    assert data_sample.pred_instances.bboxes.tolist() == [[10, 15, 30, 30]]


def test_hook_draws_at_its_interval(ramp_dataset, hook):
    image = ramp_dataset.add_image()
    data_sample = sample_with([[1, 1, 5, 5]])
    data_sample.set_metainfo(dict(img_path=ramp_dataset.sample(image)['img_path']))
    steps = []
    hook._visualizer.add_datasample = lambda *args, step, **kwargs: steps.append(step)
    try:
        for batch_idx in range(0, 101):
            hook.after_val_iter(Runner(ramp_dataset.root), batch_idx, {}, [data_sample])
        hook.draw = False
        hook.after_val_iter(Runner(ramp_dataset.root), 0, {}, [data_sample])
        hook.after_test_iter(Runner(ramp_dataset.root), 0, {}, [data_sample])
    finally:
        del hook._visualizer.add_datasample
    assert steps == [0, 50, 100]


def test_hook_refuses_3d_proposals(hook, tmp_path):
    data_sample = DetDataSample(metainfo=dict(proposal_box=[1, 2, 3, 4, 5, 6]))
    with pytest.raises(UserError, match='3D proposals are not drawn'):
        hook.after_test_iter(Runner(tmp_path), 0, {}, [data_sample])


def test_masks_move_with_their_boxes():
    data_sample = sample_with([[1, 2, 4, 5]], border_offset=(3, 2))
    masks = torch.zeros(1, 6, 7, dtype=torch.bool)
    masks[0, 2:5, 1:4] = True
    data_sample.pred_instances.masks = masks
    moved = in_original_frame(data_sample, (10, 12)).pred_instances
    expected = torch.zeros(1, 10, 12, dtype=torch.bool)
    expected[0, 4:7, 4:7] = True
    assert torch.equal(moved.masks, expected) and moved.bboxes.tolist() == [[4, 4, 7, 7]]


@pytest.mark.parametrize('dtype', [torch.float32, torch.int64])
def test_lesion_map_is_laid_over_the_picture(dtype):
    lesion = torch.zeros(1, 40, 60, dtype=dtype)
    lesion[0, 10:20, 30:50] = 1
    if dtype == torch.int64:
        lesion[0, 30:] = 255
    sample = DetDataSample(pred_sem_seg=PixelData(sem_seg=lesion))
    picture = draw(np.full((40, 60), 50, np.float32), sample)
    assert (picture[0, 0] == picture[35, 35]).all()
    gray, hot = picture[0, 0].astype(int), picture[15, 40].astype(int)
    assert np.ptp(gray) == 0
    # Certain is the dark red end of the map, (128, 0, 0), by half.
    np.testing.assert_allclose(hot, (gray + [128, 0, 0]) / 2, atol=2)


def test_lesion_map_of_a_clipped_image_is_moved_back():
    sample = DetDataSample(
        metainfo=dict(border_offset=(3, 2)), pred_sem_seg=PixelData(sem_seg=torch.ones(1, 4, 5))
    )
    moved = in_original_frame(sample, (10, 12)).pred_sem_seg.sem_seg
    assert moved.shape == (1, 10, 12) and moved.sum() == 20 and moved[0, 2:6, 3:8].min() == 1
    numbers = torch.ones(1, 4, 5, dtype=torch.int32)
    sample.pred_sem_seg.segments = numbers
    moved = in_original_frame(sample, (10, 12)).pred_sem_seg.segments
    assert moved.dtype == torch.int32 and moved.sum() == 20 and moved[0, 2:6, 3:8].min() == 1


def segmented_sample(**meta):
    """Two detections on a map with a segment of 21 x 11 px, which the first meets."""
    sample = sample_with([[20, 30, 60, 50], [90, 30, 100, 50]], **meta)
    numbers = torch.zeros(1, 80, 160, dtype=torch.int32)
    numbers[0, 35:46, 30:51] = 1
    sample.pred_sem_seg = PixelData(sem_seg=numbers.float(), segments=numbers)
    sample.pred_instances.segment_ids = torch.tensor([1, 0])
    return sample


@pytest.mark.parametrize(
    'meta, text', [(dict(spacing=(0.5, 0.5)), '11.6 x 6.1 mm'), ({}, '23.3 x 12.2 px')]
)
def test_diameters_of_the_segment_a_detection_meets(meta, text, monkeypatch):
    texts = []
    plain = LesionLocalVisualizer.draw_texts

    def record(self, said, positions, *args, **kwargs):
        texts.append(said)
        return plain(self, said, positions, *args, **kwargs)

    monkeypatch.setattr(LesionLocalVisualizer, 'draw_texts', record)
    image = np.full((80, 160), 50, np.float32)
    image[0, 0] = -1000
    sample = segmented_sample(**meta)
    picture = draw(image, sample)
    # 21 x 11 px: the long diameter is a diagonal of the outline through the px' edges
    assert texts == [f'lesion {text}: 90.0', 'lesion: 50.0']
    green = (picture[..., 1] > 180) & (picture[..., 0] < 100) & (picture[..., 2] < 100)
    y, x = np.nonzero(green)
    np.testing.assert_allclose([x.min(), x.max(), y.min(), y.max()], [30, 51, 35, 46], atol=1.5)
    hot = picture[36, 33].astype(int)
    np.testing.assert_allclose(hot, (picture[60, 140].astype(int) + [128, 0, 0]) / 2, atol=2)
    assert 'pred_sem_seg' in sample and 'recist' not in sample.pred_instances, 'left as it was'
    only_second = draw(image, sample, pred_score_thr=0.95)
    assert not ((only_second[..., 1] > 180) & (only_second[..., 0] < 100)).any()


def test_heat_map_without_detections():
    sample = segmented_sample()
    sample.pred_instances = sample.pred_instances[:0]
    picture = draw(np.full((80, 160), 50, np.float32), sample)
    assert picture[40, 40, 0] > picture[40, 40, 1]


def test_texts_stay_in_the_picture():
    sample = sample_with([[120, 30, 155, 70]])
    picture = draw(np.full((80, 160), 50, np.float32), sample)
    black = (picture.max(-1) < 40).nonzero()
    assert len(black[1]) and black[1].max() < 158
