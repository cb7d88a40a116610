import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmlesion.io.json_files import read_json
from mmlesion.io.slices import list_series
from mmlesion.mining.proposals import Proposals, detect, pipeline_sample, slice_samples
from mmlesion.utils import UserError


def test_results_of_a_pass_that_lack_an_array():
    arrays = {'pooled_boxes': np.zeros((1, 4)), 'pooled_slices': np.zeros(1, int)}
    with pytest.raises(UserError, match="the results of a pass lack 'pooled_scores'"):
        Proposals.from_arrays(arrays)
    whole = Proposals.from_arrays({**arrays, 'pooled_scores': np.ones(1)})
    assert whole.pooled.scores.tolist() == [1] and not len(whole.expert)


def test_samples_between_slices_that_are_far_apart(two_studies):
    coco = read_json(two_studies / 'train.json')
    (volume, _) = list_series(coco, two_studies / 'images')
    for interval, per_slice in ((2.0, 1), (5.0, 3)):
        for image in coco['images']:
            image['slice_interval'] = interval
        samples = slice_samples(volume, two_studies / 'images', max_interval=2.0)
        positions = [sample['slice_index'] for sample in samples]
        assert positions == pytest.approx(1 + np.arange(9 * per_slice + 1) / per_slice)


def test_boxes_keep_the_grid_that_they_were_found_on(two_studies):
    """Each position's boxes come with it, from the file's slices to the miner's arrays."""

    class Model:
        def test_step(self, batch):
            for sample in batch:
                sample.pred_instances = InstanceData(
                    bboxes=torch.tensor([[0.0, 0, 4, 4]]), scores=torch.ones(1)
                )
            return batch

    coco = read_json(two_studies / 'train.json')
    for image in coco['images']:
        image['slice_interval'] = 5.0
    (volume, _) = list_series(coco, two_studies / 'images')
    samples = slice_samples(volume, two_studies / 'images', max_interval=2.0)[:4]
    batch = [DetDataSample(metainfo=sample) for sample in samples]
    found = detect(Model(), 0.5, batch)
    arrays = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
    proposals = Proposals.from_arrays(arrays)
    assert proposals.grid_steps == 3
    np.testing.assert_allclose(proposals.pooled.slices, [1, 4 / 3, 5 / 3, 2])


def test_sample_is_that_of_the_dataset(two_studies):
    from mmdet.registry import DATASETS

    dataset = DATASETS.build(
        dict(
            type='CTSliceDataset',
            ann_file=str(two_studies / 'train.json'),
            data_prefix=dict(img=str(two_studies / 'images')),
            test_mode=True,
        )
    )
    expected = dataset.get_data_info(0)
    coco = read_json(two_studies / 'train.json')
    volume = list_series(coco, two_studies / 'images')[0]
    sample = pipeline_sample(volume.image(4), two_studies / 'images')
    assert {**sample, 'instances': None} == {
        key: None if key == 'instances' else expected[key] for key in sample
    }
