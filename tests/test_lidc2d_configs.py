"""The configs of LIDC-IDRI's windows: a training step, scoring, and the real data."""

import copy
import functools
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.runner import Runner, save_checkpoint
from pycocotools import mask as mask_utils

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs'
REAL = ROOT.parent / 'shared/data/lidc2d'
FOLDERS = (
    'baselines',
    'detectors',
    'elixirnet',
    'improved_retinanet',
    'lens',
    'slice_context',
)
NAMES = sorted(
    path.relative_to(CONFIGS).with_suffix('').as_posix()
    for folder in FOLDERS
    for path in (CONFIGS / folder).glob('*_lidc2d.py')
)
# with a loop of their own, and two optimizers
SEARCHES = [name for name in NAMES if 'alb-search_' in name]
SIDE = 96


def slice_of_a_nodule(index, radius, center):
    """HU of lung with noise and a nodule, and the nodule's mask."""
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = (x - center[0]) ** 2 + (y - center[1]) ** 2 <= radius**2
    lung = np.random.default_rng(index).normal(-800, 30, (SIDE, SIDE))
    return np.where(inside, 20, lung), inside


def box_of(mask):
    rows, columns = np.nonzero(mask)
    low = columns.min(), rows.min()
    return [*map(float, low), float(np.ptp(columns)) + 1, float(np.ptp(rows)) + 1]


def make_windows(root, patients, name):
    """Write three consecutive slices through a nodule of each patient, in lidc2d's layout."""
    images, annotations = [], []
    for patient in patients:
        series = f'LIDC-IDRI-{patient:04d}_n0'
        (root / 'Images_png' / series).mkdir(parents=True)
        for index, radius in enumerate((6, 9, 7), start=1):
            hu, mask = slice_of_a_nodule(10 * patient + index, radius, (40 + 3 * patient, 50))
            file_name = f'{series}/{index:03d}.png'
            path = root / 'Images_png' / file_name
            cv2.imwrite(str(path), np.round(hu + 32768).astype(np.uint16))
            number = len(images) + 1
            images.append(
                dict(id=number, file_name=file_name, height=SIDE, width=SIDE, spacing=[0.7, 0.7],
                     slice_interval=2.5, slice_index=index, slice_range=[1, 3],
                     patient_id=series[:-3], study_id=series[:-3], series_id=series,
                     windows=[[-1024, 400]])
            )  # fmt: skip
            rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
            annotations.append(
                dict(id=number, image_id=number, category_id=1, bbox=box_of(mask), iscrowd=0,
                     area=float(mask.sum()), ignore=0, noisy=0, lesion_id=f'{patient}:0',
                     segmentation=dict(rle, counts=rle['counts'].decode()))
            )  # fmt: skip
    content = dict(images=images, annotations=annotations,
                   categories=[dict(id=1, name='lesion')])  # fmt: skip
    (root / name).write_text(json.dumps(content))


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('lidc2d')
    make_windows(root, (1, 2, 3), 'train.json')
    (root / 'train_masks.json').write_bytes((root / 'train.json').read_bytes())
    make_windows(root, (4,), 'val.json')
    make_windows(root, (5, 6), 'held_out.json')
    return root


@functools.cache
def from_file(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def read(name, data, work_dir):
    """A config on this data, from random weights and without worker processes."""
    cfg = copy.deepcopy(from_file(name))
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = work_dir.name
    backbone = cfg.model.backbone.get('backbone', cfg.model.backbone)
    backbone.init_cfg = None
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.dataset.data_root = f'{data}/'
        loader.num_workers = 0
        for step in loader.dataset.pipeline:
            if step.type == 'Resize':
                step.scale_factor = 1.0  # a quarter of the pixels
    cfg.train_dataloader.batch_size = 2
    cfg.val_evaluator.ann_file = cfg.test_evaluator.ann_file = str(data / 'val.json')
    return cfg


def total_of(losses):
    return sum(value for name, value in losses.items() if name == 'loss').item()


@pytest.mark.parametrize('name', sorted({*NAMES} - {*SEARCHES}))
def test_a_training_step(name, data, tmp_path):
    cfg = read(name, data, tmp_path)
    runner = Runner.from_cfg(cfg)
    model = runner.model.train()
    optimizer = runner.build_optim_wrapper(cfg.optim_wrapper)
    before = {key: value.clone() for key, value in model.named_parameters() if value.requires_grad}
    losses = model.train_step(next(iter(runner.train_dataloader)), optimizer)
    assert np.isfinite(total_of(losses)) and total_of(losses) > 0
    heads = [key for key in before if 'head' in key]
    after = dict(model.named_parameters())
    assert sum(not torch.equal(before[key], after[key]) for key in heads) > len(heads) / 2


@pytest.mark.parametrize('name', SEARCHES)
def test_a_search_updates_the_architecture_and_leaves_what_is_frozen(name, data, tmp_path):
    cfg = read(name, data, tmp_path)
    cfg.load_from = None
    cfg.train_cfg.update(max_epochs=1, architecture_begin=0)
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()  # once: training begins with these
    before = {key: value.clone() for key, value in runner.model.named_parameters()}
    runner.train()
    after = dict(runner.model.named_parameters())
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert {key for key in before if 'architecture' in key} <= changed
    assert changed and all(key.startswith('roi_head.') for key in changed)
    assert set(Config.fromfile(tmp_path / 'genotypes.py').genotypes) == {'alb', 'reduction'}


def test_weights_of_imagenet_are_a_setting():
    for name in NAMES:
        cfg = from_file(name)
        backbone = cfg.model.backbone.get('backbone', cfg.model.backbone)
        assert backbone.init_cfg.type == 'Pretrained' and backbone.norm_eval
        assert backbone.init_cfg.checkpoint.startswith(('data/weights/', 'torchvision://'))


def test_a_checkpoint_is_scored_on_another_file(data, tmp_path, run_tool, monkeypatch):
    """As a user scores it: by three settings of tools/test.py."""
    name = 'baselines/faster-rcnn_r18_fpn_trpn_lidc2d'
    runner = Runner.from_cfg(read(name, data, tmp_path))
    checkpoint = tmp_path / 'weights.pth'
    save_checkpoint(dict(state_dict=runner.model.state_dict(), meta={}), str(checkpoint))
    monkeypatch.chdir(tmp_path)  # there is no data/lidc2d here
    (tmp_path / 'data/lidc2d').mkdir(parents=True)
    run_tool(
        'test.py', CONFIGS / f'{name}.py', checkpoint, '--work-dir', tmp_path, '--cfg-options',
        f'test_dataloader.dataset.data_root={data}/',
        'test_dataloader.dataset.ann_file=held_out.json', 'test_dataloader.num_workers=0',
        'test_dataloader.persistent_workers=False', f'test_evaluator.ann_file={data}/held_out.json',
        f'test_evaluator.outfile_prefix={tmp_path}/froc',
    )  # fmt: skip
    scored = json.loads((tmp_path / 'froc.json').read_text())
    assert scored['num_lesions'] == 6 and scored['num_items'] == 6
    assert scored['items_without_predictions'] == scored['unknown_items'] == 0


@pytest.mark.skipif(not REAL.is_dir(), reason='needs ../shared/data/lidc2d')
@pytest.mark.parametrize('split', ['train', 'val'])
def test_boxes_of_the_pipeline_lie_on_real_nodules(split, tmp_path):
    """The middle of a box is brighter than the ring around it: nodules stand out of the lung."""
    cfg = from_file('baselines/faster-rcnn_r18_fpn_lidc2d')
    options = cfg[f'{split}_dataloader'].dataset.to_dict()
    options['data_root'] = f'{REAL}/'
    dataset = DATASETS.build(options)
    np.random.seed(0)  # flips
    differences = []
    for sample in (dataset[index] for index in range(0, len(dataset), len(dataset) // 60)):
        assert sample['inputs'].shape == (3, 192, 192)
        middle = sample['inputs'][1].numpy()
        boxes = sample['data_samples'].gt_instances.bboxes.tensor
        if split == 'val':  # the truth stays in the original image's px
            boxes = boxes * 2
        for x1, y1, x2, y2 in boxes.round().int().tolist():
            ring = middle[max(y1 - 10, 0) : y2 + 10, max(x1 - 10, 0) : x2 + 10]
            inner = middle[y1:y2, x1:x2]
            outer = (ring.sum() - inner.sum()) / (ring.size - inner.size)
            differences.append(inner.mean() - outer)
    assert len(differences) >= 60
    assert np.mean(np.array(differences) > 0) > 0.9


@pytest.mark.skipif(not REAL.is_dir(), reason='needs ../shared/data/lidc2d')
def test_half_a_pixel_of_real_boxes():
    """A box reaches to the outer edges of its pixels: nodules' borders are symmetric in it."""
    content = json.loads((REAL / 'val.json').read_text())
    images = {image['id']: image['file_name'] for image in content['images']}
    first, last = [], []
    for ann in content['annotations']:
        x, y, w, h = ann['bbox']
        if min(w, h) < 10 or x < 4 or x + w > SIDE - 4 or any(v % 1 for v in ann['bbox']):
            continue
        hu = cv2.imread(str(REAL / 'Images_png' / images[ann['image_id']]), -1) - 32768.0
        x, y, w, h = map(int, ann['bbox'])
        profile = hu[y + h // 3 : y + h - h // 3].clip(-1000, 100).mean(0)
        first.append(profile[x])
        last.append(profile[x + w - 1])
    assert len(first) > 50
    assert abs(np.mean(first) - np.mean(last)) < 60


def test_weights_where_the_folded_ones_are_not(tmp_path, monkeypatch):
    base = shutil.copy(CONFIGS / '_base_' / 'models' / 'resnet18_lidc2d.py', tmp_path)
    monkeypatch.chdir(tmp_path)
    assert Config.fromfile(base).resnet18.init_cfg.checkpoint == 'torchvision://resnet18'
    folded = Path('data/weights/resnet18_imagenet_folded_c2c4.pth')
    folded.parent.mkdir(parents=True)
    folded.touch()
    assert Config.fromfile(base).resnet18.init_cfg.checkpoint == str(folded)
