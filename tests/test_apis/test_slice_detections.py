"""Detections on a slice in its own frame, with their masks."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmlesion.apis import LesionInferencer
from mmlesion.apis.slice_detections import slice_detections

REPO = Path(__file__).parents[2]
CONFIG = REPO / 'configs/detectors/mask-rcnn_r18_fpn_lidc2d.py'


def test_masks_of_a_mask_head_belong_to_their_boxes():
    masks = torch.zeros(3, 20, 30, dtype=torch.bool)
    masks[0, 4:8, 10:16] = True
    masks[0, 15, 25] = True  # outside the box
    masks[1, 2:4, 2:4] = True  # below the threshold
    found = InstanceData(
        bboxes=torch.tensor([[9.0, 3, 18, 10], [2, 2, 4, 4], [20, 10, 25, 15]]),
        scores=torch.tensor([0.9, 0.1, 0.5]),
        labels=torch.tensor([0, 0, 0]),
        masks=masks,
    )
    sample = DetDataSample(metainfo=dict(border_offset=(100, 50)), pred_instances=found)
    detections = slice_detections(sample, 7, 0.3)
    assert detections.boxes.tolist() == [[109, 53, 118, 60], [120, 60, 125, 65]]
    assert detections.slices.tolist() == [7, 7]
    first, second = detections.segments
    slice_mask = np.zeros((80, 140))
    first.paste(slice_mask, 1)
    assert slice_mask.sum() == 24 and slice_mask[54:58, 110:116].all()
    assert second is None, 'an empty mask is none'


@pytest.mark.filterwarnings('ignore:no weights')
def test_lesions_of_mask_rcnn_are_measured_on_their_masks():
    torch.manual_seed(0)
    array = np.random.default_rng(0).integers(-200, 200, (2, 64, 64)).astype(np.int16)
    inferencer = LesionInferencer(CONFIG, device='cpu', show_progress=False)
    inferencer.model.roi_head.mask_head.conv_logits.bias.data += 5  # the whole box
    lesions = inferencer(sitk.GetImageFromArray(array), pred_score_thr=0.0)
    assert {lesion.diameter_source for lesion in lesions} == {'mask'}
    for lesion in lesions:
        i1, j1, _, i2, j2, _ = lesion.bbox_voxel
        diagonal = np.hypot(i2 - i1 + 1, j2 - j1 + 1)
        assert 0 < lesion.short_diameter_mm <= lesion.diameter_mm <= diagonal
