"""Noisy and ignored boxes are no background to the detectors that the configs describe."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import Config
from mmengine.structures import InstanceData

import mmlesion  # noqa: F401

ROOT = Path(__file__).parents[1] / 'configs'
SIZE = 128
LESION, IGNORED = [16.0, 16.0, 48.0, 48.0], [72.0, 72.0, 120.0, 120.0]
MARK = [14.0, 12.0, 52.0, 50.0]  # to be ignored, over the lesion


def instances(boxes):
    boxes = torch.tensor(boxes).reshape(-1, 4)
    return InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long))


def anchor_head(name):
    """The head with anchors of a config, and its anchors in an image (n, 4)."""
    cfg = Config.fromfile(ROOT / name)
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    head = model.rpn_head if 'rpn_head' in cfg.model else model.bbox_head
    strides = [stride for stride, _ in head.prior_generator.strides]
    sizes = [(SIZE // stride + (SIZE % stride > 0),) * 2 for stride in strides]
    meta = dict(img_shape=(SIZE, SIZE), pad_shape=(SIZE, SIZE))
    return head, *head.get_anchors(sizes, [meta], 'cpu'), meta


@pytest.fixture(
    scope='module',
    params=[
        'phantom/baselines/retinanet_r18_fpn_phantom.py',
        'phantom/baselines/faster-rcnn_r18_fpn_phantom.py',
        'phantom/improved_retinanet/retinanet_r18_fpn_anchors_phantom.py',
    ],
)
def label_weights(request):
    """Labels and label weights (n,) of all anchors, by boxes to find and to ignore."""
    head, anchors, flags, meta = anchor_head(request.param)
    head.sampler = TASK_UTILS.build(dict(type='PseudoSampler'))  # all anchors, not a few at random

    def weigh(lesions, ignored):
        labels, weights, *_ = head._get_targets_single(
            torch.cat(anchors[0]), torch.cat(flags[0]), instances(lesions), meta, instances(ignored)
        )
        return labels, weights

    weigh.anchors = torch.cat(anchors[0])
    return weigh


@pytest.mark.parametrize('lesions', [[LESION], []])
def test_anchors_on_an_ignored_box_have_no_weight(label_weights, lesions):
    labels, weights = label_weights(lesions, [IGNORED])
    labels_without, weights_without = label_weights(lesions, [])
    region = instances([IGNORED]).bboxes
    on_it = bbox_overlaps(label_weights.anchors, region, mode='iof')[:, 0] > 0.5
    assert (weights[on_it] == 0).all() and (weights_without[on_it] > 0).any()
    assert torch.equal(weights[~on_it], weights_without[~on_it])
    assert torch.equal(labels[~on_it], labels_without[~on_it])


def test_an_ignored_box_over_a_lesion_takes_none_of_its_positives(label_weights):
    labels, weights = label_weights([LESION], [MARK])
    labels_without, weights_without = label_weights([LESION], [])
    positive = (labels == 0) & (weights > 0)
    assert positive.any()
    assert torch.equal(positive, (labels_without == 0) & (weights_without > 0))


@pytest.mark.parametrize('model', ['faster-rcnn_r50_fpn.py', 'faster-rcnn_r50_c4.py'])
def test_proposals_on_an_ignored_box(model):
    settings = Config.fromfile(ROOT / '_base_' / 'models' / model).model.train_cfg.rcnn.assigner
    priors = InstanceData(priors=torch.tensor([LESION, IGNORED, [90.0, 0, 120, 30]]))
    assign = TASK_UTILS.build(settings).assign
    with_lesion = assign(priors, instances([LESION]), instances([IGNORED, MARK]))
    without = assign(priors, instances([]), instances([IGNORED]))
    assert with_lesion.gt_inds.tolist() == [1, -1, 0]
    assert without.gt_inds.tolist() == [0, -1, 0]
