import pickle
from pathlib import Path

import mmdet.evaluation
import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from pycocotools import mask as mask_utils

from mmlesion.evaluation import DumpLesionResults

MMDET_TOOL = Path(mmdet.__file__).parent / '.mim' / 'tools' / 'test.py'
SIZE = 256


@pytest.fixture
def sample():
    """Three segments, of which detections have the first and the third as their own."""
    numbers = torch.zeros(1, SIZE, SIZE, dtype=torch.int32)
    numbers[0, 10:20, 30:50], numbers[0, 100:110, 5:9], numbers[0, 200:, 200:] = 1, 2, 3
    return dict(
        img_id=7,
        pred_instances=dict(
            bboxes=torch.rand(4, 4),
            scores=torch.rand(4),
            labels=torch.zeros(4, dtype=torch.long),
            segment_ids=torch.tensor([3, 0, 1, 3]),
        ),
        pred_sem_seg=dict(sem_seg=torch.rand(1, SIZE, SIZE), segments=numbers),
        gt_sem_seg=dict(sem_seg=torch.zeros(1, SIZE, SIZE)),
    )


def test_segments_become_rle_and_maps_go(sample, tmp_path):
    path = tmp_path / 'out.pkl'
    metric = METRICS.build(dict(type='DumpLesionResults', out_file_path=str(path)))
    numbers = sample['pred_sem_seg']['segments']
    metric.process({}, [sample])
    metric.evaluate(1)
    (dumped,) = pickle.loads(path.read_bytes())
    assert path.stat().st_size < SIZE * SIZE / 10 and 'gt_sem_seg' not in dumped
    assert torch.equal(dumped['pred_instances']['bboxes'], sample['pred_instances']['bboxes'])
    segments = dumped['pred_sem_seg'].pop('segments')
    assert dumped['pred_sem_seg'] == {} and segments.keys() == {1, 3}
    for number, rle in segments.items():
        np.testing.assert_array_equal(mask_utils.decode(rle), numbers[0] == number)
    # other metrics take the same samples
    assert sample['pred_sem_seg']['segments'] is numbers and 'gt_sem_seg' in sample


def test_results_without_maps_stay(sample):
    del sample['pred_sem_seg'], sample['pred_instances']['segment_ids']
    metric = DumpLesionResults('out.pkl')
    metric.process({}, [sample])
    (kept,) = metric.results
    assert kept.keys() == {'img_id', 'pred_instances'}
    # another model's map of classes is its result
    sample['pred_sem_seg'] = dict(sem_seg=torch.zeros(1, 4, 4))
    metric.process({}, [sample])
    assert metric.results[1]['pred_sem_seg']['sem_seg'].shape == (1, 4, 4)
