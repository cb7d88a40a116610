import pytest
from mmdet.registry import DATA_SAMPLERS
from mmengine.dataset import DefaultSampler

from mmlesion.datasets.samplers import epoch_sampler
from mmlesion.utils import UserError

LESION = dict(instances=[dict(ignore_flag=0)])
ENDS = [8, 20, 23]


class Slices:
    cumulative_sizes = ENDS

    def __len__(self):
        return ENDS[-1]

    def get_data_info(self, index):
        return LESION


def batches(monkeypatch, batch_size=4, rank=0, world_size=1, epoch=0, seed=0, **options):
    monkeypatch.setattr(epoch_sampler, 'get_dist_info', lambda: (rank, world_size))
    sampler = DATA_SAMPLERS.build(dict(type='LesionSliceSampler', dataset=Slices(), seed=seed))
    cfg = dict(type='SingleDatasetBatchSampler', sampler=sampler, batch_size=batch_size, **options)
    batch_sampler = DATA_SAMPLERS.build(cfg)
    batch_sampler.sampler.set_epoch(epoch)
    result = list(batch_sampler)
    assert len(batch_sampler) == len(result)
    return result


def source(index):
    return sum(index >= end for end in ENDS)


def test_a_batch_is_of_one_dataset(monkeypatch):
    result = batches(monkeypatch)
    assert sorted(index for batch in result for index in batch) == list(range(23))
    assert all(len({source(index) for index in batch}) == 1 for batch in result)
    assert sorted(map(len, result)) == [3, 4, 4, 4, 4, 4]
    assert len(batches(monkeypatch, drop_last=True)) == 5


def test_datasets_are_mixed_by_epoch_and_seed(monkeypatch):
    orders = [
        [source(batch[0]) for batch in batches(monkeypatch, epoch=epoch)] for epoch in range(6)
    ]
    assert len({tuple(order) for order in orders}) > 2
    assert batches(monkeypatch, epoch=2) == batches(monkeypatch, epoch=2)
    assert batches(monkeypatch, epoch=2) != batches(monkeypatch, epoch=2, seed=1)


@pytest.mark.parametrize('epoch', range(3))
def test_two_processes_have_together_the_batches_of_one(monkeypatch, epoch):
    alone = batches(monkeypatch, batch_size=4, epoch=epoch)
    pair = [
        batches(monkeypatch, batch_size=2, rank=rank, world_size=2, epoch=epoch)
        for rank in range(2)
    ]
    assert len(pair[0]) == len(pair[1]) == len(alone)
    for first, second, whole in zip(*pair, alone):
        assert {source(index) for index in first + second} == {source(whole[0])}
        assert set(first + second) == set(whole)


def test_another_sampler_is_refused():
    cfg = dict(type='SingleDatasetBatchSampler', sampler=DefaultSampler(Slices()), batch_size=4)
    with pytest.raises(UserError, match="sampler=dict\\(type='LesionSliceSampler'\\)"):
        DATA_SAMPLERS.build(cfg)
