import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData, PixelData
from scipy import ndimage

from mmlesion.apis import LesionInferencer
from mmlesion.apis.inferencer import volume_pipeline
from mmlesion.apis.lesions import label_map
from mmlesion.models.utils import label_segments, overlap_with_segments
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError

REPO = Path(__file__).parents[2]
CONFIG = REPO / 'configs/phantom/baselines/faster-rcnn_r18_fpn_phantom.py'
DENSE = REPO / 'configs/phantom/improved_retinanet/retinanet_r18_ag-fpn_anchors-dense_phantom.py'
SMALL = {
    'test_dataloader.dataset.pipeline.2.scale': (64, 64),
    'model.test_cfg.rcnn.max_per_img': 4,
    'model.test_cfg.rpn.max_per_img': 50,
}
REAL_CT = REPO.parent / 'shared/data/ct/abdomen_ct_3mm.nii.gz'


@MODELS.register_module(force=True)
class ThresholdDetector(BaseDetector):
    """Detects what is brighter than a threshold: its boxes are known beforehand."""

    def predict(self, batch_inputs, batch_data_samples, rescale=True):
        found = []
        for image, sample in zip(batch_inputs, batch_data_samples):
            components, _ = ndimage.label(image[1].cpu().numpy() > 500)
            places = ndimage.find_objects(components)
            boxes = [[x.start, y.start, x.stop, y.stop] for y, x in places]
            boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
            boxes /= boxes.new_tensor(sample.scale_factor).repeat(2)
            scores = torch.full((len(boxes),), 0.75)
            found.append(InstanceData(bboxes=boxes, scores=scores, labels=scores.long() * 0))
        return self.add_pred_to_datasample(batch_data_samples, found)

    def loss(self, *args):
        raise NotImplementedError

    extract_feat = _forward = loss


@MODELS.register_module(force=True)
class ThresholdSegmenter(ThresholdDetector):
    """The same with masks, in boxes that exceed them by 2 px."""

    def predict(self, batch_inputs, batch_data_samples, rescale=True):
        samples = super().predict(batch_inputs, batch_data_samples, rescale)
        for image, sample in zip(batch_inputs, samples):
            height, width = sample.ori_shape
            probability = (image[1, :height, :width] > 500).float()
            numbers, boxes = label_segments(probability)
            sample.pred_sem_seg = PixelData(sem_seg=probability[None], segments=numbers[None])
            found = sample.pred_instances
            found.bboxes += torch.tensor([-2.0, -2, 2, 2])
            found.segment_ids = overlap_with_segments(found.bboxes, boxes)[1]
        return samples


def threshold_config(*transforms, detector='ThresholdDetector'):
    pipeline = [
        dict(type='LoadCTSlices', num_slices=3, slice_interval=None),
        *transforms,
        dict(type='LoadAnnotations', with_bbox=True),
        dict(
            type='PackDetInputs',
            meta_keys=('ori_shape', 'img_shape', 'scale_factor', 'border_offset'),
        ),
    ]
    dataset = dict(type='CTSliceDataset', ann_file='none.json', pipeline=pipeline)
    return Config(
        dict(
            model=dict(type=detector, data_preprocessor=dict(type='DetDataPreprocessor')),
            test_dataloader=dict(dataset=dataset),
        )
    )


@pytest.fixture
def body():
    """A body in air with two bright blocks; axes to left, posterior and superior."""
    array = np.full((12, 60, 50), -1000, np.int16)
    array[:, 12:52, 8:44] = 0
    array[3:7, 20:30, 10:18] = 1000
    array[9, 40:44, 30:36] = 1000
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.6, 1.6, 3.0))
    image.SetOrigin((-40.0, -47.5, 300.25))
    return image


@pytest.fixture(scope='module')
def inferencer():
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match='random'):
        return LesionInferencer(CONFIG, device='cpu', cfg_options=SMALL, show_progress=False)


def threshold_inferencer(*transforms, **options):
    with pytest.warns(UserWarning, match='random'):
        cfg = threshold_config(*transforms, **options)
        return LesionInferencer(cfg, device='cpu', show_progress=False)


TRANSFORMS = [
    [dict(type='NormalizeSpacing', spacing=0.8)],
    [dict(type='ClipBlackBorder'), dict(type='NormalizeSpacing', spacing=0.8)],
    [dict(type='ClipBlackBorder', margin=3), dict(type='Resize', scale=(200, 200))],
]


@pytest.mark.parametrize('transforms', TRANSFORMS)
def test_known_blocks_at_their_place(body, transforms):
    lesions = threshold_inferencer(*transforms)(body, batch_size=5)
    # Blocks x 10:18, y 20:30, z 3:7 and x 30:36, y 40:44, z 9:10; half a voxel is their faces'.
    expected = [[29.5, 39.5, 8.5, 35.5, 43.5, 9.5], [9.5, 19.5, 2.5, 17.5, 29.5, 6.5]]
    found = sorted((lesion.bbox_voxel for lesion in lesions), reverse=True)
    atol = 1e-4 if transforms[-1]['type'] == 'NormalizeSpacing' else 0.5
    np.testing.assert_allclose(found, expected, atol=atol)
    assert {lesion.slice_range for lesion in lesions} == {(3, 6), (9, 9)}
    assert {lesion.score for lesion in lesions} == {0.75}
    if atol < 0.5:
        large = max(lesions, key=lambda lesion: lesion.diameter_mm)
        assert large.diameter_mm == pytest.approx(10 * 1.6, abs=1e-3)


@pytest.mark.parametrize(
    'config, margin',
    [
        (CONFIG, 4),
        (REPO / 'configs/lens/lens_densenet121_1xb4-8e_deeplesion.py', 4),
        (REPO / 'configs/baselines/faster-rcnn_r18_fpn_lidc2d.py', 0),
        (REPO / 'configs/elixirnet/faster-rcnn_r50_fpn_4xb2-1x_kits19.py', 0),
    ],
)
def test_margin_of_boxes_is_that_of_the_dataset(body, config, margin):
    detect = threshold_inferencer(dict(type='NormalizeSpacing', spacing=1.6))
    cfg = Config.fromfile(config)
    cfg.model = threshold_config().model
    with pytest.warns(UserWarning, match='random'):
        assert LesionInferencer(cfg, device='cpu').box_margin == margin
    detect.box_margin = margin
    large = max(detect(body), key=lambda lesion: lesion.diameter_mm)
    assert large.diameter_mm == pytest.approx(10 * 1.6 - 2 * margin, abs=1e-3)


def test_a_score_threshold_changes_no_lesion(body):
    """The second slice of the first block has a lower score than its others."""
    detect = threshold_inferencer(dict(type='NormalizeSpacing', spacing=1.6))
    whole = detect.model.predict

    def scored(inputs, samples, rescale=True):
        found = whole(inputs, samples, rescale)
        for image, sample in zip(inputs, found):
            # the neighbor below of a block's second slice has the block, that of its first not
            second = (image[0] > 500).any() and (image[2] > 500).any()
            sample.pred_instances.scores[:] = 0.5 if second else 0.9
        return found

    detect.model.predict = scored
    everything = detect(body)
    assert len(everything) == 2 and detect(body, pred_score_thr=0.8) == everything
    assert {lesion.slice_range for lesion in everything} == {(3, 6), (9, 9)}
    assert detect(body, pred_score_thr=0.91) == []


@pytest.mark.parametrize(
    'trained_on, message',
    [
        (dict(max_size=48), 'windows of 48 px, not slices of 50 x 60 px'),
        (dict(spacing=(0.5, 0.9)), 'pixels of 0.5 to 0.9 mm, not of 1.60 mm'),
        (dict(max_size=60, spacing=(0.5, 1.5)), None),
        ({}, None),
    ],
)
def test_a_scan_unlike_those_trained_on_is_refused(body, trained_on, message, caplog):
    cfg = threshold_config(dict(type='NormalizeSpacing', spacing=1.6))
    cfg.test_dataloader.dataset.metainfo = dict(trained_on=trained_on)
    with pytest.warns(UserWarning, match='random'):
        detect = LesionInferencer(cfg, device='cpu', show_progress=False)
    if message is None:
        assert len(detect(body)) == 2
        return
    with pytest.raises(UserError, match=f'{message}.*--any-scan'):
        detect(body)
    detect.any_scan = True
    assert len(detect(body)) == 2 and message in caplog.text


@pytest.mark.parametrize('order, flips', [((2, 0, 1), (1, 0, 1)), ((1, 2, 0), (0, 1, 0))])
@pytest.mark.parametrize('turn', [0, 15])
def test_world_points_do_not_depend_on_the_axes(body, order, flips, turn):
    body = sitk.Image(body)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    body.SetDirection((1, 0, 0, 0, c, -s, 0, s, c))
    detect = threshold_inferencer(dict(type='NormalizeSpacing'))
    other = sitk.Flip(sitk.PermuteAxes(body, order), [bool(flip) for flip in flips])
    world = [sorted(lesion.center_mm for lesion in detect(image)) for image in (body, other)]
    assert len(world[0]) == 2
    np.testing.assert_allclose(world[1], world[0], atol=1e-4)


@pytest.mark.parametrize('order, flips', [((0, 1, 2), (0, 0, 0)), ((2, 0, 1), (1, 0, 1))])
def test_masks_come_back_to_their_voxels(body, order, flips):
    """Through a clipped border, three slices a batch and any orientation of the volume."""
    array = sitk.GetArrayFromImage(body)
    array[5, 20:30, 18:20] = 1000  # the first block is longest there
    array[5, 19, 12:14] = array[5, 18, 12] = 1000  # and no rectangle
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(body)
    image = sitk.Flip(sitk.PermuteAxes(image, order), [bool(flip) for flip in flips])
    # Clipped at 1.6 mm, the pipeline keeps the px of the volume.
    clip = [dict(type='ClipBlackBorder', margin=3), dict(type='NormalizeSpacing', spacing=1.6)]
    lesions = threshold_inferencer(*clip, detector='ThresholdSegmenter')(image, batch_size=3)
    volume = CTVolume(image)
    bright = sitk.GetArrayFromImage(image) == 1000
    labels = label_map(volume, lesions)
    np.testing.assert_array_equal(labels > 0, bright)
    assert {lesion.diameter_source for lesion in lesions} == {'mask'}
    large, small = sorted(lesions, key=lambda lesion: -lesion.diameter_mm)
    assert (labels == small.id).sum() == 4 * 6 and (labels == large.id).sum() == 4 * 80 + 23
    assert small.diameter_mm == pytest.approx(1.6 * np.hypot(6, 3))
    # Across the diagonal, from the longer side to the longer side.
    assert small.short_diameter_mm == pytest.approx(1.6 * 4 * np.hypot(6, 3) / 6, abs=0.5)
    center = image.TransformContinuousIndexToPhysicalPoint(large.recist_voxel[0])
    assert center[2] == pytest.approx(300.25 + 5 * 3), 'the key slice is where it is longest'
    assert large.key_slice == round(large.recist_voxel[0][volume.slice_axis])
    ends = np.array([image.TransformContinuousIndexToPhysicalPoint(p) for p in large.recist_voxel])
    lengths = np.linalg.norm(ends[1::2] - ends[::2], axis=1)
    np.testing.assert_allclose(lengths, [large.diameter_mm, large.short_diameter_mm])


def test_masks_of_the_improved_retinanet(body, tmp_path):
    torch.manual_seed(0)
    scale = {'test_dataloader.dataset.pipeline.2.scale': (64, 64)}
    with pytest.warns(UserWarning, match='random'):
        dense = LesionInferencer(DENSE, device='cpu', cfg_options=scale, show_progress=False)
    volume = CTVolume(body)
    bias = dense.model.seg_head.segmentation.bias
    maps = []
    label = dense.model.seg_head.predict
    dense.model.seg_head.predict = lambda *a, **k: maps.append(label(*a, **k)) or maps[-1]
    dense.detect_slices(volume, 12, 0.0)
    bias.data -= torch.cat(maps[0]).logit().median()  # so that half of it is segments
    lesions = dense(body, out_dir=tmp_path, pred_score_thr=0.0, max_overlays=1)
    masked = [lesion for lesion in lesions if lesion.diameter_source == 'mask']
    assert masked
    for lesion in masked:
        for index, segment in lesion.segments.items():
            (x, y), (height, width) = segment.corner, segment.mask.shape
            probability = maps[1 + index // 4][index % 4][0]
            assert (probability[y : y + height, x : x + width][segment.mask] > 0.5).all()
    written = json.loads((tmp_path / 'lesions.json').read_text())['lesions']
    assert [one['diameter_source'] for one in written] == [one.diameter_source for one in lesions]


def test_a_mask_ends_at_its_box(body):
    detect = threshold_inferencer(dict(type='NormalizeSpacing', spacing=1.6))
    volume = CTVolume(body)
    found = detect.detect_slices(volume, 4, 0.0)
    assert found.segments == [None] * len(found.boxes), 'a model without masks'
    lesions = detect(body)
    assert {lesion.diameter_source for lesion in lesions} == {'box'}
    detect = threshold_inferencer(
        dict(type='NormalizeSpacing', spacing=1.6), detector='ThresholdSegmenter'
    )
    whole = detect.model.predict

    def shifted(*args, **kwargs):
        samples = whole(*args, **kwargs)
        for sample in samples:
            sample.pred_instances.bboxes += torch.tensor([6.0, 0, 6, 0])
        return samples

    detect.model.predict = shifted
    labels = label_map(volume, detect(body, iou_thr=0.3))
    # The boxes of columns 8 to 19 and 28 to 37 begin at 14 and 34.
    expected = sitk.GetArrayFromImage(body) == 1000
    expected[:, :, :14] = expected[:, :, 28:34] = False
    np.testing.assert_array_equal(labels > 0, expected)


def test_boxes_are_the_detectors_own(inferencer, body):
    found = inferencer.detect_slices(CTVolume(body), 4, 0.0)
    array = sitk.GetArrayFromImage(body)[::-1].astype(np.float32)
    image = np.stack([array[4], array[5], array[6]], axis=-1)
    # 2 mm steps on slices 3 mm apart: two thirds of the way to the neighbor.
    image[..., 0] = array[5] / 3 + array[4] * 2 / 3
    image[..., 2] = array[5] / 3 + array[6] * 2 / 3
    sample = dict(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
    for step in inferencer.pipeline.transforms[1:]:
        sample = step(sample)
    with torch.no_grad():
        expected = inferencer.model.test_step(pseudo_collate([sample]))[0].pred_instances
    here = found.slices == 5
    assert here.sum() == len(expected) == 4
    np.testing.assert_allclose(found.boxes[here], expected.bboxes.numpy(), atol=0.01)
    np.testing.assert_allclose(found.scores[here], expected.scores.numpy(), atol=1e-4)
    assert set(found.labels) == {0}


def test_batch_size_changes_nothing(inferencer, body):
    single = inferencer.detect_slices(CTVolume(body), 1, 0.0)
    for batch_size in (5, 100):
        batched = inferencer.detect_slices(CTVolume(body), batch_size, 0.0)
        for name in ('boxes', 'scores', 'slices', 'labels'):
            np.testing.assert_allclose(getattr(single, name), getattr(batched, name), atol=1e-3)


def test_score_threshold_and_written_results(inferencer, body, tmp_path):
    lesions = inferencer(body, out_dir=tmp_path / 'out', pred_score_thr=0.0, max_overlays=2)
    scores = [lesion.score for lesion in lesions]
    assert scores == sorted(scores, reverse=True) and len(scores) > 2
    content = json.loads((tmp_path / 'out/lesions.json').read_text())
    assert [lesion['score'] for lesion in content['lesions']] == scores
    assert content['detector']['config'] == str(CONFIG)
    assert len(list((tmp_path / 'out/overlays').iterdir())) == 2
    assert inferencer(body, pred_score_thr=1.01) == []


def test_weights_are_loaded(inferencer, body, tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=inferencer.model.state_dict()), path)
    torch.manual_seed(1)
    again = LesionInferencer(str(CONFIG), path, 'cpu', SMALL, show_progress=False)
    assert again(body, pred_score_thr=0.0) == inferencer(body, pred_score_thr=0.0)


def test_weights_that_do_not_fit(inferencer, tmp_path):
    state = inferencer.model.state_dict()
    state.pop('backbone.conv1.weight')
    torch.save(dict(state_dict=state), tmp_path / 'weights.pth')
    with pytest.raises(UserError, match='1 parameters .* backbone.conv1.weight'):
        LesionInferencer(CONFIG, tmp_path / 'weights.pth', 'cpu', SMALL)
    with pytest.raises(UserError, match='does not exist'):
        LesionInferencer(CONFIG, tmp_path / 'none.pth', 'cpu', SMALL)


def test_config_and_device_that_cannot_be_used(tmp_path):
    with pytest.raises(UserError, match='config .*none.py does not exist'):
        LesionInferencer(tmp_path / 'none.py')
    (tmp_path / 'base.py').write_text("_base_ = './missing.py'")
    with pytest.raises(UserError, match='missing.py'):
        LesionInferencer(tmp_path / 'base.py')
    (tmp_path / 'empty.py').write_text('a = 1')
    with pytest.raises(UserError, match='no test_dataloader'):
        LesionInferencer(tmp_path / 'empty.py')
    with pytest.warns(UserWarning), pytest.raises(UserError, match='cannot use the device'):
        LesionInferencer(threshold_config(), device='nonsense')


def test_pipeline_of_pictures_is_refused():
    steps = [dict(type='LoadAnnotations'), dict(type='mmdet.LoadCTSlices', num_slices=5)]
    assert volume_pipeline(steps) == [dict(type='LoadCTSlicesFromVolume', num_slices=5)]
    assert steps[1]['type'] == 'mmdet.LoadCTSlices'
    with pytest.raises(UserError, match='does not begin with LoadCTSlices or LoadVolume'):
        volume_pipeline([dict(type='LoadImageFromFile')])


def test_images_that_are_not_ct(inferencer):
    with pytest.raises(UserError, match='the image given has values from 0 to 0'):
        inferencer(sitk.Image(8, 8, 8, sitk.sitkInt16))


@pytest.mark.skipif(not REAL_CT.exists(), reason='needs ../shared/data/ct')
def test_real_volume(inferencer, tmp_path):
    lesions = inferencer(REAL_CT, out_dir=tmp_path / 'out', pred_score_thr=0.0, max_overlays=1)
    image = sitk.ReadImage(str(REAL_CT))
    labels = sitk.ReadImage(str(tmp_path / 'out/lesions.nii.gz'))
    assert labels.GetSize() == image.GetSize()
    for read in (sitk.Image.GetSpacing, sitk.Image.GetOrigin, sitk.Image.GetDirection):
        np.testing.assert_allclose(read(labels), read(image), atol=1e-5)
    centers = np.array([lesion.center_voxel for lesion in lesions])
    assert ((centers > -0.5) & (centers < np.array(image.GetSize()) - 0.5)).all()


def test_slices_that_are_far_apart_are_joined_by_those_between_them():
    """A lesion's section shrinks by half from a slice 5 mm apart to the next."""
    r = np.abs(np.mgrid[:60, :50] - np.array([30, 25]).reshape(2, 1, 1)).max(axis=0)
    array = np.full((8, 60, 50), -1000, np.int16)
    array[:, 4:56, 4:46] = 0
    for index, radius in ((3, 5), (4, 10), (5, 5)):
        array[index, 4:56, 4:46] = (550 + 100 * (radius - r)).clip(0, 700)[4:56, 4:46]
    image = sitk.GetImageFromArray(array[::-1])
    image.SetSpacing((1.6, 1.6, 5.0))
    cfg = threshold_config(dict(type='NormalizeSpacing', spacing=1.6))
    found = {}
    for max_interval in (None, 2.0):
        cfg.test_dataloader.dataset.max_interval = max_interval
        with pytest.warns(UserWarning, match='random'):
            detect = LesionInferencer(cfg, device='cpu', show_progress=False)
        found[max_interval] = detect(image)
    # from superior to inferior slices 3 to 5, of which the first is the last of the image
    assert sorted(lesion.slice_range for lesion in found[None]) == [(2, 2), (3, 3), (4, 4)]
    (lesion,) = found[2.0]
    assert lesion.slice_range == (2, 4) and lesion.key_slice == 3
    assert lesion.center_voxel == pytest.approx((25, 30, 3), abs=0.5)


def test_masks_are_those_of_the_volumes_own_slices(body):
    cfg = threshold_config(
        dict(type='NormalizeSpacing', spacing=1.6), detector='ThresholdSegmenter'
    )
    plain, between = [], []
    for lesions, max_interval in ((plain, None), (between, 1.5)):
        cfg.test_dataloader.dataset.max_interval = max_interval
        with pytest.warns(UserWarning, match='random'):
            lesions += LesionInferencer(cfg, device='cpu', show_progress=False)(body)
    volume = CTVolume(body)
    assert [lesion.slice_range for lesion in between] == [one.slice_range for one in plain]
    np.testing.assert_array_equal(label_map(volume, between), label_map(volume, plain))
