import pytest
from mmdet.registry import DATA_SAMPLERS

from mmlesion.utils import UserError


class Labeled:
    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def get_data_info(self, index):
        label = self.labels[index]
        return {} if label is None else dict(proposal_label=label)


LABELS = [int(i % 10 == 3) for i in range(100)]


def build(labels=LABELS, **options):
    options = dict(seed=0, **options)
    return DATA_SAMPLERS.build(
        dict(type='ProposalRatioSampler', **options), default_args=dict(dataset=Labeled(labels))
    )


def test_all_lesions_and_twice_as_many_others():
    sampler = build()
    indices = list(sampler)
    assert len(sampler) == len(indices) == len(set(indices)) == 30
    assert sorted(i for i in indices if LABELS[i]) == list(range(3, 100, 10))
    assert indices != sorted(indices)


def test_false_positives_are_drawn_anew_by_the_epoch():
    sampler = build()
    first = list(sampler)
    assert list(sampler) == first  # by seed and epoch alone
    sampler.set_epoch(1)
    second = list(sampler)
    assert {i for i in first if not LABELS[i]} != {i for i in second if not LABELS[i]}
    assert {i for i in first if LABELS[i]} == {i for i in second if LABELS[i]}
    sampler.set_epoch(0)
    assert list(sampler) == first
    drawn = set()
    for epoch in range(30):
        sampler.set_epoch(epoch)
        drawn.update(sampler)
    assert len(drawn) == 100


def test_all_where_there_are_fewer():
    sampler = build([1, 1, 0, 0, 0])
    assert sorted(sampler) == [0, 1, 2, 3, 4]
    assert len(list(build(negative_ratio=0.5))) == 15


def test_processes_share_an_epoch(monkeypatch):
    whole = list(build())
    shares = []
    for rank in range(4):
        monkeypatch.setattr(
            'mmlesion.datasets.samplers.epoch_sampler.get_dist_info', lambda r=rank: (r, 4)
        )
        sampler = build()
        shares.append(list(sampler))
        assert len(sampler) == len(shares[-1]) == 8
    mixed = [index for row in zip(*shares) for index in row]
    assert mixed == whole + whole[:2]


def test_errors():
    with pytest.raises(UserError, match='none of the 3 proposals'):
        build([0, 0, None])
    with pytest.raises(UserError, match='negative_ratio'):
        build(negative_ratio=-1)
