import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.dataset import Compose
from pycocotools import mask as mask_api

from mmlesion.datasets import CTSliceDataset
from mmlesion.datasets.transforms import LesionMasksToSegMap, LoadLesionAnnotations

SHAPE = (24, 32)
OFFICIAL = Path(__file__).parents[4] / 'shared/data/deeplesion/deeplesion_val_coco.json'


def rectangle(x1, y1, x2, y2):
    mask = np.zeros(SHAPE, np.uint8)
    mask[y1:y2, x1:x2] = 1
    return mask


def rle(mask):
    encoded = mask_api.encode(np.asfortranarray(mask))
    return dict(size=list(SHAPE), counts=encoded['counts'].decode())


def make_results(boxes, masks, ignored=None):
    stack = np.array(masks, np.uint8).reshape(-1, *SHAPE)
    return dict(
        img_shape=SHAPE,
        gt_bboxes=HorizontalBoxes(torch.tensor(boxes).reshape(-1, 4)),
        gt_masks=BitmapMasks(stack, *SHAPE),
        gt_ignore_flags=np.array(ignored or [False] * len(boxes), bool),
    )


def test_known_map():
    lesion, empty = rectangle(4, 4, 9, 8), np.zeros(SHAPE, np.uint8)
    boxes = [[2.0, 2, 11, 10], [7.5, 6.2, 14.1, 12], [25, 20, 40, 30], [16, 1, 20, 5]]
    results = make_results(
        boxes,
        [lesion, empty, empty, rectangle(17, 2, 19, 4)],
        [False, False, False, True],
    )
    seg_map = LesionMasksToSegMap()(results)['gt_seg_map']
    expected = np.zeros(SHAPE, np.uint8)
    expected[6:12, 7:15] = 255  # without a mask
    expected[20:24, 25:32] = 255  # without a mask, cut off by the border
    expected[1:5, 16:20] = 255  # ignored, in spite of its mask
    expected[4:8, 4:9] = 1  # known to be lesion, also in the box of the unmasked one
    assert np.array_equal(seg_map, expected) and seg_map.dtype == np.uint8
    assert results['ignore_index'] == 255


def test_no_lesions():
    results = LesionMasksToSegMap(ignore_index=7)(make_results([], []))
    assert not results['gt_seg_map'].any() and results['ignore_index'] == 7


def make_dataset(ramp_dataset, pipeline, **second):
    image = ramp_dataset.add_image(size=SHAPE)
    lesion = rle(rectangle(6, 6, 12, 12))
    ramp_dataset.add_lesion(image['id'], [4, 4, 10, 10], segmentation=lesion)
    ramp_dataset.add_lesion(image['id'], [20, 10, 6, 6], **second)
    path = ramp_dataset.write()
    dataset = CTSliceDataset(
        ann_file=str(path), data_prefix=dict(img=str(ramp_dataset.images_dir)), pipeline=[]
    )
    return Compose(pipeline)(dataset.get_data_info(0))


@pytest.mark.parametrize(
    'second',
    [
        {},
        dict(segmentation=None),
        dict(segmentation=[]),
        dict(segmentation=[[]]),
        dict(segmentation=[[20, 10, 26, 16]]),
        dict(segmentation=[[20, 10, 23, 13, 26, 16]]),
        dict(segmentation=dict(size=list(SHAPE))),
    ],
    ids=str,
)
def test_from_annotations_of_which_one_has_no_mask(ramp_dataset, second):
    packed = make_dataset(
        ramp_dataset,
        [
            dict(type='LoadCTSlices'),
            dict(type='LoadLesionAnnotations', with_bbox=True, with_mask=True),
            dict(type='Resize', scale=(64, 48), keep_ratio=True),
            dict(type='RandomFlip', prob=1.0, direction='horizontal'),
            dict(type='LesionMasksToSegMap'),
            dict(type='PackDetInputs'),
        ],
        **second,
    )
    sample = packed['data_samples']
    assert sample.gt_instances.bboxes.tensor.tolist() == [[36, 8, 56, 28], [12, 20, 24, 32]]
    expected = np.zeros((1, 48, 64), np.uint8)
    expected[0, 12:24, 40:52] = 1
    expected[0, 20:32, 12:24] = 255
    assert np.array_equal(sample.gt_sem_seg.sem_seg.numpy(), expected)
    assert sample.gt_sem_seg.ignore_index == 255


def test_with_affine_maps(ramp_dataset):
    sample = make_dataset(
        ramp_dataset,
        [
            dict(type='LoadCTSlices'),
            dict(type='LoadLesionAnnotations', with_bbox=True, with_mask=True),
            dict(type='RandomCTAffine'),
            dict(type='LesionMasksToSegMap'),
            dict(type='PackDetInputs'),
        ],
    )['data_samples']
    seg_map = sample.gt_sem_seg.sem_seg[0]
    boxes = sample.gt_instances.bboxes.tensor
    assert len(boxes) == 2
    for box, value in zip(boxes, (1, 255)):
        rows, columns = torch.nonzero(seg_map == value, as_tuple=True)
        assert columns.min() >= box[0].floor() and columns.max() < box[2].ceil()
        assert rows.min() >= box[1].floor() and rows.max() < box[3].ceil()


@pytest.mark.skipif(not OFFICIAL.is_file(), reason=f'{OFFICIAL} is not there')
def test_every_published_lesion_stays_a_target():
    """The file has ``segmentation: [[]]`` on all of its 4,889 boxes; noisy ones are ignored."""
    dataset = CTSliceDataset(
        ann_file=str(OFFICIAL),
        data_prefix=dict(img=''),
        metainfo=dict(classes=('Lesion',)),
        pipeline=[],
    )
    load = LoadLesionAnnotations(with_bbox=True, with_mask=True)
    ignored = []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        # the maps themselves are not looked at: 4,793 of 512 x 512 px would take a minute
        load._load_bboxes(info)
        info['ori_shape'] = (1, 1)
        load._load_masks(info)
        ignored.extend(info['gt_ignore_flags'])
        assert not info['gt_masks'].masks.any()
    noisy = [lesion['noisy'] for lesion in json.loads(OFFICIAL.read_text())['annotations']]
    assert len(ignored) == 4889 and sum(ignored) == sum(noisy) < 100
