import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmlesion.apis import inference_slice
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
