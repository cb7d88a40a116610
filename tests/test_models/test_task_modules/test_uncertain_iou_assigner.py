import pytest
import torch
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

import mmlesion  # noqa: F401

PRIORS = [[0, 0, 10, 10], [0, 0, 10, 20], [40, 40, 50, 50], [20, 20, 30, 30]]


def assign(truths, uncertain, kind='UncertainIoUAssigner', **options):
    defaults = dict(pos_iou_thr=0.5, neg_iou_thr=0.5, match_low_quality=False, ignore_iof_thr=0.6)
    settings = dict(defaults, type=kind, **options)
    boxes = torch.tensor(truths, dtype=torch.float32).reshape(-1, 4)
    truth = InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long))
    ignored = uncertain and InstanceData(bboxes=torch.tensor(uncertain, dtype=torch.float32))
    priors = InstanceData(priors=torch.tensor(PRIORS, dtype=torch.float32))
    return TASK_UTILS.build(settings).assign(priors, truth, ignored or None).gt_inds.tolist()


def test_uncertain_regions_are_ignored_in_an_image_without_lesions():
    # the first lies in the region whole, half of the second, the others not at all
    assert assign([], [[0, 0, 12, 10]]) == [-1, 0, 0, 0]
    assert assign([], [[0, 0, 12, 10]], kind='MaxIoUAssigner') == [0, 0, 0, 0]


def test_the_share_of_the_region_is_an_option():
    assert assign([], [[0, 0, 10, 14]], ignore_wrt_candidates=False) == [-1, -1, 0, 0]
    assert assign([], [[0, 0, 12, 10]], ignore_iof_thr=0.4) == [-1, -1, 0, 0]


def test_positives_win():
    # the region covers the lesion and the two priors on it, of which one matches it
    lesion, region = [[0, 0, 10, 11]], [[0, 0, 30, 30]]
    assert assign(lesion, region) == [1, 1, 0, -1]
    assert assign(lesion, region, kind='MaxIoUAssigner') == [-1, -1, 0, -1]
    assert assign(lesion, region, ignore_iof_thr=-1) == [1, 1, 0, 0]


def test_the_best_prior_of_a_lesion_wins():
    lesion, region = [[0, 0, 10, 40]], [[0, 0, 40, 40]]
    low_quality = dict(match_low_quality=True, pos_iou_thr=0.7, neg_iou_thr=0.3)
    assert assign(lesion, region, **low_quality) == [-1, 1, 0, -1]


@pytest.mark.parametrize('uncertain', [[], [[0, 0, 12, 10]]])
def test_otherwise_it_is_mmdets(uncertain):
    lesions = [[20, 20, 30, 30]]
    assert assign(lesions, uncertain) == assign(lesions, uncertain, kind='MaxIoUAssigner')
    assert assign([], []) == [0, 0, 0, 0]
