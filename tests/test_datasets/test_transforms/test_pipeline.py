"""Whole pipelines, from files to the batch that a detector gets."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.registry import DATASETS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed

import mmlesion  # noqa: F401

CONFIGS = Path(__file__).parents[3] / 'configs'
DEEPLESION = CONFIGS / '_base_/datasets/deeplesion.py'
PHANTOM = CONFIGS / 'phantom/_base_/datasets/deeplesion.py'


@pytest.fixture(autouse=True)
def mmdet_scope():
    init_default_scope('mmdet')


@pytest.fixture
def dataset_files(ramp_dataset):
    ramp_dataset.add_image(interval=5.0)
    ramp_dataset.add_image(key=4, interval=1.0)
    ramp_dataset.add_lesion(1, [4, 5, 10, 8])
    ramp_dataset.add_lesion(2, [10, 6, 12, 9])
    for name in ('train.json', 'val.json', 'test.json'):
        ramp_dataset.write(name)
    return ramp_dataset


def load_config(path, root):
    cfg = Config.fromfile(path, import_custom_modules=False)
    for phase in ('train', 'val', 'test'):
        cfg[f'{phase}_dataloader'].dataset.data_root = str(root)
    return cfg


@pytest.mark.parametrize(
    'path, data_root, size',
    [(DEEPLESION, 'data/deeplesion/', 512), (PHANTOM, 'data/phantom/', 32)],
    ids=['deeplesion', 'phantom'],
)
@pytest.mark.parametrize('phase', ['train', 'val', 'test'])
def test_base_configs(dataset_files, path, data_root, size, phase):
    cfg = load_config(path, dataset_files.root)
    assert cfg.val_evaluator.type == cfg.test_evaluator.type == 'FROCMetric'
    assert cfg.data_root == data_root
    assert cfg.val_evaluator.ann_file == data_root + 'val.json'
    assert cfg.test_evaluator.ann_file == data_root + 'test.json'
    assert cfg[f'{phase}_dataloader'].dataset.ann_file == f'{phase}.json'
    dataset = DATASETS.build(cfg[f'{phase}_dataloader'].dataset)
    assert dataset.test_mode == (phase != 'train')
    sample = dataset[0]
    assert sample['inputs'].shape == (3, size * 24 // 32, size)
    assert 0 <= sample['inputs'].min() <= sample['inputs'].max() <= 255
    meta = sample['data_samples'].metainfo
    assert (meta['spacing'], meta['slice_interval'], meta['slice_index']) == ([0.8, 0.8], 5.0, 6)
    assert meta['ori_shape'] == (24, 32) and meta['windows'] == [[-600.0, 200.0]]
    assert ('flip' in meta) == (phase == 'train')


def test_flips_are_half_and_half():
    cfg = Config.fromfile(DEEPLESION, import_custom_modules=False)
    flip = TRANSFORMS.build(next(t for t in cfg.train_pipeline if t.type == 'RandomFlip'))
    set_random_seed(0)
    directions = [flip._choose_direction() for _ in range(2000)]
    for ways in (('horizontal', 'diagonal'), ('vertical', 'diagonal')):
        assert np.isin(directions, ways).mean() == pytest.approx(0.5, abs=0.05)


def test_training_samples_follow_the_seed(dataset_files):
    dataset = DATASETS.build(load_config(DEEPLESION, dataset_files.root).train_dataloader.dataset)
    samples = []
    for seed in (1, 1, 2):
        set_random_seed(seed)
        samples.append(dataset[0]['inputs'])
    assert torch.equal(samples[0], samples[1]) and not torch.equal(samples[0], samples[2])


@pytest.mark.parametrize('num_slices, windows', [(1, 1), (3, 1), (9, 1), (9, 3)])
def test_any_number_of_channels(dataset_files, num_slices, windows):
    hu_windows = ((-1000, 1000), (-200, 300), (-1350, 150))[:windows]
    steps = [
        dict(type='LoadCTSlices', num_slices=num_slices),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='ClipBlackBorder', threshold=-1.0, margin=2),
        dict(type='WindowHU', windows=hu_windows),
        dict(type='NormalizeSpacing', spacing=0.4),
        dict(type='RandomFlip', prob=1.0),
        dict(type='RandomCTAffine'),
        dict(type='PackDetInputs'),
    ]
    pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    loader = load_config(DEEPLESION, dataset_files.root).train_dataloader
    dataset = DATASETS.build({**loader.dataset, 'pipeline': []})
    batch = pseudo_collate([pipeline(dataset.get_data_info(i)) for i in range(2)])
    preprocessor = DetDataPreprocessor(mean=[127.5], std=[127.5], pad_size_divisor=32)
    data = preprocessor(batch, training=True)
    channels = num_slices * windows
    assert data['inputs'].shape[:2] == (2, channels)
    assert data['inputs'].shape[2] % 32 == data['inputs'].shape[3] % 32 == 0
    for image, normalized in zip(batch['inputs'], data['inputs']):
        height, width = image.shape[1:]
        expected = (image - 127.5) / 127.5
        torch.testing.assert_close(normalized[:, :height, :width], expected)
    boxes = data['data_samples'][0].gt_instances.bboxes
    assert isinstance(boxes, torch.Tensor) and boxes.shape == (1, 4)


def test_boxes_go_with_their_pixels(dataset_files):
    """Mark a lesion in a slice: wherever a training pipeline takes it, its box is there."""
    image = dataset_files.content['images'][0]
    path = dataset_files.images_dir / image['file_name']
    hu = np.full((24, 32), -1000)
    hu[5:13, 4:14] = 3000
    cv2.imwrite(str(path), (hu + 32768).astype(np.uint16))
    dataset = DATASETS.build(load_config(PHANTOM, dataset_files.root).train_dataloader.dataset)
    for seed in range(10):
        set_random_seed(seed)
        sample = dataset[0]
        y, x = torch.where(sample['inputs'][1] > 125)
        seen = [x.min(), y.min(), x.max() + 1, y.max() + 1]
        box = sample['data_samples'].gt_instances.bboxes.tensor[0]
        # interpolation widens an edge by half a pixel at most, and `seen` are whole ones
        torch.testing.assert_close(box, torch.tensor(seen).float(), atol=1, rtol=0)


@pytest.mark.parametrize('direction', ['horizontal', 'vertical', 'diagonal'])
@pytest.mark.parametrize('pixel_center, bbox', [(0.0, [9.5, 4.5, 10, 8]), (None, [10, 5, 10, 8])])
def test_a_box_stays_on_its_pixels_when_flipped(ramp_dataset, direction, pixel_center, bbox):
    """Of a lesion of 10 x 8 px whose outer edges a file has in either frame."""
    image = ramp_dataset.add_image()
    hu = np.zeros((24, 32), int)
    hu[5:13, 10:20] = 500
    cv2.imwrite(ramp_dataset.sample(image)['img_path'], (hu + 32768).astype(np.uint16))
    if pixel_center is not None:
        image['pixel_center'] = pixel_center
    ramp_dataset.add_lesion(image['id'], bbox)
    dataset = DATASETS.build(
        dict(
            type='CTSliceDataset',
            ann_file=str(ramp_dataset.write()),
            data_prefix=dict(img=str(ramp_dataset.images_dir)),
            pipeline=[
                dict(type='LoadCTSlices', num_slices=1),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='RandomFlip', prob=1.0, direction=direction),
            ],
        )
    )
    sample = dataset[0]
    rows, columns = np.nonzero(sample['img'][..., 0] == 500)
    shown = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_array_equal(sample['gt_bboxes'].tensor, [shown])
