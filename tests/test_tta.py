"""Test-time augmentation of clipped slices, by the dataset base of LENS."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, METRICS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModel
from mmengine.structures import InstanceData

from mmlesion.utils import UserError

BASE = Path(__file__).parents[1] / 'configs/_base_/datasets/lens.py'
LESION = [50, 30, 12, 8]  # x, y, w, h px


class BrightestBox(BaseModel):
    """Find the box around all bright px: a flipped image has it flipped."""

    def forward(self, inputs, data_samples=None, mode='predict'):
        for image, sample in zip(inputs, data_samples):
            rows, columns = torch.nonzero(image[4] > 70, as_tuple=True)
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            factor = torch.tensor([*sample.scale_factor, *sample.scale_factor])
            boxes = torch.stack(box).float()[None] / factor
            found = dict(bboxes=boxes, scores=torch.ones(1), labels=torch.zeros(1, dtype=int))
            sample.pred_instances = InstanceData(**found)
        return data_samples


@pytest.fixture
def cfg(ramp_dataset):
    """A body away from the middle, in air, with a lesion; the base's pipelines at 0.8 mm."""
    image = ramp_dataset.add_image(size=(80, 120))
    hu = np.full((80, 120), -1000)
    hu[20:70, 30:90] = 0
    x, y, width, height = LESION
    hu[y : y + height, x : x + width] = 600
    for path in (ramp_dataset.images_dir / image['file_name']).parent.iterdir():
        cv2.imwrite(str(path), (hu + 32768).astype(np.uint16))
    ramp_dataset.add_lesion(image['id'], LESION)
    path = ramp_dataset.write('test.json')
    cfg = Config.fromfile(BASE, import_custom_modules=False)
    cfg.test_dataloader.dataset.update(ann_file='test.json', data_root=str(ramp_dataset.root))
    cfg.test_evaluator.ann_file = str(path)
    return cfg


def run_on(cfg, pipeline, model):
    dataset = DATASETS.build(dict(cfg.test_dataloader.dataset, pipeline=pipeline))
    batch = pseudo_collate([dataset[0]])
    (sample,) = model.test_step(batch)
    return dataset, sample


def score(cfg, dataset, sample):
    metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta = dataset.metainfo
    metric.process({}, [sample.to_dict()])
    return metric.evaluate(1)['froc/mean']


def test_the_flipped_view_says_the_same(cfg):
    toy = BrightestBox()
    dataset, plain = run_on(cfg, cfg.test_pipeline, toy)
    assert plain.border_offset != (0, 0) and tuple(plain.ori_shape) != (80, 120)
    augmented = MODELS.build(dict(cfg.tta_model, module=toy))
    _, merged = run_on(cfg, cfg.tta_pipeline, augmented)
    # of the two views' equal boxes one is left
    assert torch.equal(merged.pred_instances.bboxes, plain.pred_instances.bboxes)
    assert merged.border_offset == plain.border_offset
    assert score(cfg, dataset, plain) == score(cfg, dataset, merged) == 1


def test_a_cropped_slice_whose_place_is_unknown_is_refused(cfg):
    """As mmdet's own default for --tta packs it."""
    pack = dict(type='PackDetInputs', meta_keys=('img_id', 'ori_shape', 'scale_factor'))
    dataset, sample = run_on(cfg, [*cfg.test_pipeline[:-1], pack], BrightestBox())
    with pytest.raises(UserError, match="annotated as 80 x 120 px: .*'border_offset'"):
        score(cfg, dataset, sample)
