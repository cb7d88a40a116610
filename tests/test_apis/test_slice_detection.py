from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmlesion.apis import LesionInferencer, inference_slice
from mmlesion.apis.slice_detection import slice_detections
from mmlesion.utils import UserError

KEYS = ('img_id', 'ori_shape', 'border_offset', 'scale_factor')


class Whole(torch.nn.Module):
    """A detector that finds the whole image that it is given, and remembers it."""

    def __init__(self, num_slices=3):
        super().__init__()
        pipeline = [
            dict(type='LoadCTSlices', num_slices=num_slices, slice_interval=2.0),
            dict(type='ClipBlackBorder', threshold=-360, margin=1),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='PackDetInputs', meta_keys=KEYS),
        ]
        dataset = dict(type='CTSliceDataset', pipeline=pipeline)
        self.cfg = Config(dict(test_dataloader=dict(dataset=dataset)))

    def test_step(self, data):
        (self.image,) = data['inputs']
        height, width = self.image.shape[1:]
        box = torch.tensor([[0.0, 0, width, height]])
        found = InstanceData(bboxes=box, scores=torch.ones(1), labels=torch.zeros(1, dtype=int))
        metainfo = data['data_samples'][0].metainfo
        return [DetDataSample(metainfo=metainfo, pred_instances=found)]


@pytest.fixture
def series(ramp_dataset):
    image = ramp_dataset.add_image(key=6, first=3, last=9)
    return (ramp_dataset.images_dir / image['file_name']).parent


def test_neighbors_come_from_the_files_beside_it(series):
    model = Whole()
    sample = inference_slice(model, series / '006.png', slice_interval=1.0)
    # HU of a ramp rises by 100 a slice; neighbors at 2 mm are two slices away
    middle = model.image[1]
    assert torch.equal(model.image[0], middle - 200) and torch.equal(model.image[2], middle + 200)
    # everything above -360 HU is a corner of the slice, and the box lies there
    x1, y1, x2, y2 = sample.pred_instances.bboxes[0].tolist()
    assert (x2, y2) == (32, 24) and x1 + y1 > 0


def test_the_last_slice_has_its_neighbor_twice(series):
    model = Whole()
    inference_slice(model, series / '009.png', slice_interval=2.0)
    assert torch.equal(model.image[2], model.image[1])


def test_what_is_missing(series):
    with pytest.raises(UserError, match="has no 'slice_interval'"):
        inference_slice(Whole(), series / '006.png')
    with pytest.raises(UserError, match='numbered slice'):
        inference_slice(Whole(), series / 'none.png', slice_interval=1.0)


"""Detections on a slice in its own frame, with their masks."""


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
