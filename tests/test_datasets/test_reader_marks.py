import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import TASK_UTILS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.structures import InstanceData

from mmlesion.converters.regions import sphere_regions
from mmlesion.datasets import CTSliceDataset, VolumeDataset
from mmlesion.datasets.ct_slices import without_marks
from mmlesion.io.luna16 import read_luna16_findings
from mmlesion.io.volumes import write_annotations
from mmlesion.structures import Grid

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / 'shared' / 'data'
LUNA16 = SHARED / 'luna16'
LIDC = SHARED / 'lidc2d'
SCANS = 25  # of 601 with nodules
DIRECTION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

needs_luna16 = pytest.mark.skipif(not LUNA16.is_dir(), reason=f'{LUNA16} is not there')
needs_lidc = pytest.mark.skipif(not LIDC.is_dir(), reason=f'{LIDC} is not there')


def kept(centers, sizes, ignored):
    instances = [dict(ignore_flag=int(flag), number=n) for n, flag in enumerate(ignored)]
    centers, sizes = np.array(centers, float), np.array(sizes, float)
    return [one['number'] for one in without_marks(instances, centers, sizes)]


def test_a_mark_has_its_center_in_a_ball():
    centers = [[0, 0, 0], [0, 0, 2.9], [0, 0, 3.0], [2, 2, 2], [0, 0, 3.5]]
    # a mark in it, one right on its surface, one in the corner of its cube, one that covers it
    assert kept(centers, [[6], [5], [6], [6], [20]], [0, 1, 1, 1, 1]) == [0, 2, 3, 4]


def test_a_mark_has_its_center_in_an_ellipse():
    centers = [[10, 10], [18, 10], [10, 14], [10, 16]]
    assert kept(centers, [[20, 10], [4, 4], [4, 4], [4, 4]], [0, 1, 1, 1]) == [0, 3]


def test_lesions_stay_and_marks_mark_no_other_mark():
    same = [[5, 5], [5, 5], [5, 5]]
    assert kept(same, [[4, 4]] * 3, [0, 0, 1]) == [0, 1]
    assert kept(same, [[4, 4]] * 3, [1, 1, 1]) == [0, 1, 2]
    assert kept(np.zeros((0, 3)), np.zeros((0, 1)), []) == []


def test_it_is_a_loop_over_pairs():
    rng = np.random.default_rng(0)
    for _ in range(20):
        centers, diameters = rng.uniform(0, 20, (30, 3)), rng.uniform(3, 12, (30, 1))
        ignored = rng.random(30) < 0.8
        expected = [
            n
            for n in range(30)
            if not ignored[n]
            or not any(
                np.linalg.norm(centers[n] - centers[lesion]) < diameters[lesion, 0] / 2
                for lesion in np.flatnonzero(~ignored)
            )
        ]
        assert kept(centers, diameters, ignored) == expected


@needs_lidc
def test_nodules_of_one_reader_stay_ignored():
    dataset = CTSliceDataset(
        ann_file='train.json',
        data_root=str(LIDC),
        data_prefix=dict(img='Images_png/'),
        lazy_init=True,
    )
    flags = [i['ignore_flag'] for sample in dataset.load_data_list() for i in sample['instances']]
    assert len(flags) == 4912 and sum(flags) == 23


@pytest.fixture(scope='module')
def official(tmp_path_factory):
    """Findings of some scans with nodules, every one of whose nodules has marks on the list."""
    root = tmp_path_factory.mktemp('luna16')
    lists = LUNA16 / 'annotations.csv', LUNA16 / 'annotations_excluded.csv'
    uids = (LUNA16 / 'seriesuids.csv').read_text().split()
    findings = read_luna16_findings(*lists, root, uids)
    positive = [found for found in findings if not all(one['ignore'] for one in found)]
    return positive[:: len(positive) // SCANS]


def grid_about(findings, spacing, reach):
    """A grid that holds the nodules, and ``reach`` mm around them."""
    centers = np.array([one['center_mm'] for one in findings if not one['ignore']])
    low, high = centers.min(0) - reach, centers.max(0) + reach
    size = np.ceil((high - low) / spacing).astype(int)[::-1]
    return Grid(size.tolist(), spacing, low.tolist(), DIRECTION)


def volume_entry(number, findings):
    grid = grid_about(findings, (1.0, 1.0, 1.0), 80)
    names = ('size', 'spacing', 'origin', 'direction')
    fields = {name: np.asarray(getattr(grid, name)).tolist() for name in names}
    return dict(fields, file_name='volumes/none.npy', series_uid=f'scan {number}')


def targets(sample):
    """Of an (un)packed sample's boxes, those to find and those to ignore."""
    ignored = torch.from_numpy(np.asarray(sample['gt_ignore_flags'], bool))
    parts = (sample['gt_bboxes'][chosen] for chosen in (~ignored, ignored))
    return [
        InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long))
        for boxes in parts
    ]


@needs_luna16
def test_official_nodules_have_positives_in_crops(official, tmp_path):
    """The best anchor of each nodule, and its good proposals, by the config's own assigners."""
    cfg = Config.fromfile(
        ROOT / 'configs/aggregated_rcnn3d/aggregated-rcnn3d_dense-unet_da_4xb2-50e_luna16.py'
    )
    write_annotations(
        tmp_path / 'a.json',
        map(volume_entry, range(len(official)), official),
        official,
        'nodule',
        'Test',
    )
    dataset = VolumeDataset(
        ann_file='a.json', data_root=str(tmp_path), metainfo=dict(classes=('nodule',))
    )
    load = next(t for t in cfg.train_pipeline if t.type == 'LoadSphereAnnotations')
    crop = next(t for t in cfg.train_pipeline if t.type == 'RandomLesionCrop')
    crop = dict(crop, lesion_share=1.0, scale_range=None)
    pipeline = Compose([TRANSFORMS.build(step) for step in (load, crop)])
    rpn, rcnn = (TASK_UTILS.build(cfg.model.train_cfg[head].assigner) for head in ('rpn', 'rcnn'))
    generator = TASK_UTILS.build(cfg.model.rpn_head.anchor_generator)
    sizes = [tuple(np.array(crop['crop_size']) // stride) for stride in generator.strides]
    anchors = torch.cat(generator.grid_priors(sizes, device='cpu'))
    np.random.seed(0)
    nodules, marks, proposals_positive = 0, 0, []
    for sample in dataset:
        marks += len(sample['instances'])
        sample['volume'] = np.broadcast_to(np.int16(0), sample['size'])
        truth, ignored = targets(pipeline(sample))
        assigned = rpn.assign(InstanceData(priors=anchors), truth, ignored).gt_inds
        overlaps = rpn.iou_calculator(truth.bboxes, anchors)
        best = overlaps == overlaps.amax(1, keepdim=True)
        assert ((assigned > 0) & best).any(1).all()
        nodules += len(truth)

        proposals = truth.bboxes.tensor.repeat_interleave(10, 0)
        proposals[:, :3] += torch.from_numpy(np.random.uniform(-0.5, 0.5, (len(proposals), 3)))
        proposals[:, 3] *= torch.from_numpy(np.random.uniform(0.9, 1.1, len(proposals)))
        assigned = rcnn.assign(InstanceData(priors=proposals), truth, ignored).gt_inds
        proposals_positive += (assigned > 0).tolist()
    assert nodules > SCANS and np.mean(proposals_positive) > 0.99
    assert marks > 10 * nodules, 'findings beside the nodules stay on the list'


@needs_luna16
def test_official_nodules_have_positives_on_slices(official, tmp_path):
    """Proposals that fit a nodule are positives of LENS' RoI head, on every slice."""
    images, annotations = [], []
    for findings in official:
        grid = grid_about(findings, (0.7, 0.7, 1.25), 40)
        for regions in sphere_regions(findings, grid, min_area=3.0).values():
            image_id = len(images) + 1
            shape = dict(height=grid.size[1], width=grid.size[2])
            images.append(dict(id=image_id, file_name=f'{image_id}.png', **shape))
            for region in regions:
                ids = dict(id=len(annotations) + 1, image_id=image_id, category_id=1)
                annotations.append(dict(ids, **region))
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name='lesion')])
    (tmp_path / 'slices.json').write_text(json.dumps(content))
    options = dict(
        ann_file='slices.json', data_root=str(tmp_path), data_prefix=dict(img='Images_png/')
    )
    cfg = Config.fromfile(ROOT / 'configs/lens/lens_densenet121_1xb4-8e_4datasets.py')
    assigner = TASK_UTILS.build(cfg.model.train_cfg.rcnn.assigner)
    numbers = dict(boxes=0, trained=0, tested=0)
    for trained, tested in zip(
        CTSliceDataset(**options), CTSliceDataset(**options, test_mode=True)
    ):
        boxes = [one['bbox'] for one in trained['instances']]
        flags = [one['ignore_flag'] for one in trained['instances']]
        sample = dict(gt_bboxes=torch.tensor(boxes).reshape(-1, 4), gt_ignore_flags=flags)
        truth, ignored = targets(sample)
        proposals = InstanceData(priors=truth.bboxes + 0.25)
        fit = assigner.iou_calculator(proposals.priors, truth.bboxes, is_aligned=True) >= 0.5
        assert (assigner.assign(proposals, truth, ignored).gt_inds > 0)[fit].all()
        numbers['boxes'] += int(fit.sum())
        numbers['trained'] += sum(flags)
        numbers['tested'] += sum(one['ignore_flag'] for one in tested['instances'])
    assert numbers['boxes'] > 5 * SCANS
    assert 0 < numbers['trained'] < numbers['tested'], 'marks are left out of training alone'
