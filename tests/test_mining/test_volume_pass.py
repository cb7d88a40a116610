import numpy as np
import pytest

from mmlesion.mining import VolumePass, VolumeStore
from mmlesion.mining import volume_pass as module
from mmlesion.structures import SliceSeries
from mmlesion.utils import UserError


def volumes_of(*counts):
    return [SliceSeries(f'v{i}', np.arange(n), [''] * n) for i, n in enumerate(counts)]


def samples_of(volume):
    return [dict(name=volume.name, number=int(n)) for n in volume.slices]


def double(sample):
    return dict(sample, number=2 * sample['number'])


class Recorder:
    """A model that says the doubled number once per 1 more than it; it can be killed."""

    def __init__(self, dies_at=None):
        self.seen = []
        self.dies_at = dies_at

    def __call__(self, batch):
        if self.dies_at is not None and len(self.seen) >= self.dies_at:
            raise KeyboardInterrupt
        assert len(set(batch['name'])) == 1  # what a run has finished changes no batch
        self.seen += list(zip(batch['name'], batch['number']))
        return [dict(found=np.full(number + 1, number)) for number in batch['number']]


def make(folder, predict, num_workers=0, fingerprint='a'):
    return VolumePass(VolumeStore(folder, fingerprint), samples_of, double, predict, 2, num_workers)


@pytest.mark.parametrize('num_workers', [0, 2])
def test_results_by_volume(tmp_path, num_workers):
    done = make(tmp_path, Recorder(), num_workers)
    done.run(volumes_of(3, 0, 1), 'test')
    assert done.store.load('v0')['found'].tolist() == [0, 2, 2, 2, 4, 4, 4, 4, 4]
    assert done.store.load('v1') == {}
    assert done.store.load('v2')['found'].tolist() == [0]


def test_a_killed_run_repeats_no_finished_volume(tmp_path):
    volumes = volumes_of(3, 2, 2)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, Recorder(dies_at=3)).run(volumes, 'test')
    second = Recorder()
    resumed = make(tmp_path, second)
    resumed.run(volumes, 'test')
    assert {name for name, _ in second.seen} == {'v1', 'v2'}
    whole = make(tmp_path / 'whole', Recorder())
    whole.run(volumes, 'test')
    for volume in volumes:
        one, other = (run.store.load(volume.name)['found'] for run in (resumed, whole))
        np.testing.assert_array_equal(one, other)


def test_no_more_volumes_in_memory_than_workers(tmp_path):
    held = []

    class Watched(VolumeStore):
        def save(self, name, arrays):
            super().save(name, arrays)
            held.append(len(started - {f'v{i}' for i in range(20) if self.path(f'v{i}').exists()}))

    started = set()

    def predict(batch):
        started.update(batch['name'])
        return [dict(found=np.zeros(1)) for _ in batch['name']]

    VolumePass(Watched(tmp_path, 'a'), samples_of, double, predict, 4, 0).run(
        volumes_of(*[5] * 20), 'test'
    )
    assert len(held) == 20 and max(held) == 0


def test_a_folder_of_another_run_is_refused(tmp_path):
    make(tmp_path, Recorder())
    with pytest.raises(UserError, match='another model'):
        make(tmp_path, Recorder(), fingerprint='b')


def test_processes_share_the_volumes(tmp_path, monkeypatch):
    volumes = volumes_of(1, 2, 1, 2, 1)
    make(tmp_path, Recorder()).run(volumes[:1], 'test')  # finished before
    todo = [[1, 2, 3, 4]]
    seen = []
    for rank in range(2):
        monkeypatch.setattr(module, 'get_dist_info', lambda rank=rank: (rank, 2))
        # what the first process saw, though volumes are finished meanwhile
        monkeypatch.setattr(
            module, 'broadcast_object_list', lambda data: data.__setitem__(slice(None), todo)
        )
        recorder = Recorder()
        make(tmp_path, recorder).run(volumes, 'test')
        seen.append({name for name, _ in recorder.seen})
    assert seen == [{'v1', 'v3'}, {'v2', 'v4'}]
