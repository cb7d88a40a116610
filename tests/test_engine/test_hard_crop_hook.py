import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import distributed, nn

from mmlesion.engine import HardCropHook
from mmlesion.engine.hooks.hard_crop_hook import find_errors
from mmlesion.io.volumes import write_annotations, write_volume
from mmlesion.structures import Grid
from mmlesion.utils import UserError
from mmlesion.utils.processes import leave_process_group

SIZE = (20, 20, 20)
LESION = [6.0, 7.0, 8.0, 6.0]
EXCLUDED = [15.0, 15.0, 15.0, 4.0]
FALSE = [3.0, 15.0, 12.0, 5.0]
# what the detector says of every volume: a score each
FOUND = [[*LESION, 0.9], [*EXCLUDED, 0.8], [*FALSE, 0.7], [12.0, 3.0, 3.0, 5.0, 0.3]]

TEST = [dict(type='LoadVolume'), dict(type='LoadSphereAnnotations'), dict(type='PackVolumeInputs')]
CROP = dict(type='RandomLesionCrop', crop_size=(8, 8, 8), lesion_share=0.0, hard_share=1.0)
TRAIN = [*TEST[:2], CROP, TEST[2]]


class Detector(BaseModel):
    """It notes where its training crops are from, and always finds the same."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.crops, self.scanned = [], []

    def forward(self, inputs, data_samples, mode='tensor'):
        if mode == 'loss':
            assert self.training
            self.crops += [(s.volume_id, s.crop_offset) for s in data_samples]
            return dict(loss=self.layer(torch.ones(1)).sum())
        assert not self.training
        found = torch.tensor(FOUND)
        for sample in data_samples:
            self.scanned.append(sample.volume_id)
            sample.pred_instances = InstanceData(bboxes=found[:, :4], scores=found[:, 4])
        return data_samples


@pytest.fixture
def root(tmp_path):
    """Three volumes: one as found, one whose lesion is elsewhere, one without."""
    grid = Grid(SIZE, (1.0, 1.0, 1.0), (0.5, 0.5, 0.5), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    entries = [
        write_volume(tmp_path, f'2.25.{i}', np.zeros(SIZE, np.int16), grid) for i in range(3)
    ]

    def finding(sphere, ignore):
        z, y, x, diameter = sphere
        return {'center_mm': [x, y, z], 'diameter_mm': diameter, 'ignore': ignore}

    excluded = finding(EXCLUDED, 1)
    lesions = [
        [finding(LESION, 0), excluded],
        [finding([16.0, 4.0, 4.0, 5.0], 0), finding(LESION, 1), excluded],
        [finding(LESION, 1), finding(FALSE, 1), excluded],
    ]
    write_annotations(tmp_path / 'volumes.json', entries, lesions, 'lesion', 'Test')
    return tmp_path


def dataloader(root, pipeline, **options):
    dataset = dict(
        type='VolumeDataset', ann_file='volumes.json', data_root=str(root), pipeline=pipeline
    )
    return dict(
        batch_size=1,
        num_workers=0,
        dataset=dict(dataset, **options),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )


def make_runner(root, max_epochs, loader=None, resume=False, runner_options=None, **options):
    hook = HardCropHook(dataloader(root, TEST, test_mode=True), **options)
    return Runner(
        Detector(),
        str(root / 'work'),
        train_dataloader=loader or dataloader(root, TRAIN),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=[hook],
        default_scope='mmdet',
        experiment_name=f'{root.name}-{max_epochs}',
        resume=resume,
        **(runner_options or {}),
    )


def spots_of(runner):
    return {
        k: np.round(v, 4).tolist() for k, v in runner.message_hub.get_info('hard_spots').items()
    }


EXPECTED = {1: [FALSE], 2: [[16.0, 4.0, 4.0, 5.0], FALSE]}


def crops_hold_spots(crops):
    """Of each crop whether it holds the center of a hard spot of its volume."""
    return [
        any(
            all(o <= c < o + 8 for c, o in zip(spot, offset))
            for spot in EXPECTED.get(volume_id, [])
        )
        for volume_id, offset in crops
    ]


def test_errors():
    lesions, ignored = np.array([LESION, [1.0, 1.0, 1.0, 2.0]]), np.array([EXCLUDED])
    errors = find_errors(np.array(FOUND)[:, :4], lesions, ignored)
    np.testing.assert_array_equal(errors, [lesions[1], FALSE, FOUND[3][:4]])
    assert len(find_errors(np.array(FOUND)[:, :4], lesions, ignored, max_false=1)) == 2
    none = np.empty((0, 4))
    np.testing.assert_array_equal(find_errors(none, lesions, none), lesions)
    assert find_errors(none, none, none).shape == (0, 4)


def test_crops_go_to_where_the_detector_is_wrong(root):
    runner = make_runner(root, 3, epochs=[2])
    runner.train()
    assert spots_of(runner) == EXPECTED
    assert runner.model.scanned == [1, 2, 3]
    held = crops_hold_spots(runner.model.crops)
    assert held[6:] == [True, True, False]  # the last epoch; the third volume has no spot
    assert not all(held[i] for i in (0, 1, 3, 4))


def test_resumed(root):
    make_runner(root, 2, epochs=[2]).train()
    runner = make_runner(root, 3, resume=True, epochs=[2])
    runner.train()
    assert runner.model.scanned == []
    assert spots_of(runner) == EXPECTED
    assert crops_hold_spots(runner.model.crops) == [True, True, False]


def test_score_and_number(root):
    runner = make_runner(root, 1, epochs=[1], score_thr=0.2, max_per_volume=1)
    runner.train()
    assert spots_of(runner)[1] == [FALSE] and spots_of(runner)[3] == [FOUND[3][:4]]
    runner = make_runner(root, 1, epochs=[1], score_thr=0.95)
    runner.train()
    assert spots_of(runner) == {1: [LESION], 2: [[16.0, 4.0, 4.0, 5.0]]}


def test_within_wrappers(root):
    loader = dataloader(root, TRAIN)
    loader['dataset'] = dict(type='RepeatDataset', times=2, dataset=loader['dataset'])
    runner = make_runner(root, 2, loader, epochs=[1])
    runner.train()
    assert crops_hold_spots(runner.model.crops[6:]) == [True, True, False] * 2


def test_training_data_that_cannot_use_it(root):
    loader = dataloader(root, TRAIN)
    loader.update(dataset=[dict(inputs=torch.ones(1))] * 3)
    with pytest.raises(UserError, match='is a list, which has no hard spots'):
        make_runner(root, 1, loader).train()
    loader = dict(dataloader(root, TRAIN), num_workers=1, persistent_workers=True)
    with pytest.raises(UserError, match='persistent workers'):
        make_runner(root, 1, loader).train()


def test_two_processes_find_what_one_does(launch, root):
    """Three scans for two processes: one is run twice."""
    launch(__file__, root)
    first, second = (json.loads((root / f'{rank}.json').read_text()) for rank in range(2))
    assert first['spots'] == second['spots'] == {str(k): v for k, v in EXPECTED.items()}
    scanned = first['scanned'] + second['scanned']
    assert len(scanned) == 4 and set(scanned) == {1, 2, 3}
    crops = first['crops'][2:] + second['crops'][2:]  # of the second epoch
    assert crops_hold_spots(crops) == [volume_id in EXPECTED for volume_id, _ in crops]


def main(root):
    """Train in one of two processes, and write down what it saw."""
    distributed.init_process_group('gloo')
    wrapper = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    cfg = Config(dict(model_wrapper_cfg=wrapper))
    runner = make_runner(root, 2, epochs=[1], runner_options=dict(launcher='pytorch', cfg=cfg))
    runner.train()
    detector = runner.model.module
    seen = dict(spots=spots_of(runner), scanned=detector.scanned, crops=detector.crops)
    (root / f'{distributed.get_rank()}.json').write_text(json.dumps(seen))


if __name__ == '__main__':
    main(Path(sys.argv[1]))
    leave_process_group()
