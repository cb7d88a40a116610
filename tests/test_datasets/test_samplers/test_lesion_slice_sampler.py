from collections import Counter

import pytest
from mmdet.registry import DATA_SAMPLERS

from mmlesion.datasets.samplers import epoch_sampler as module
from mmlesion.utils import UserError


class Slices:
    """What a sampler asks of a ConcatDataset: slices of several sources."""

    def __init__(self, *sources):
        self.samples = [sample for source in sources for sample in source]
        self.cumulative_sizes = [sum(map(len, sources[: i + 1])) for i in range(len(sources))]

    def __len__(self):
        return len(self.samples)

    def get_data_info(self, index):
        return self.samples[index]


def lesion(*lesion_ids, series=1):
    """A slice with a lesion, or one of each identity."""
    instances = [dict(ignore_flag=0)] * max(1, len(lesion_ids))
    return dict(instances=instances, lesion_ids=list(lesion_ids), series_id=series)


EMPTY = dict(instances=[], lesion_ids=[])
UNCERTAIN = dict(instances=[dict(ignore_flag=1)], lesion_ids=[])
# 12 lesions on 12 slices, 20 slices without; 3 lesions on 7 slices, 4 slices without
FIRST = [lesion() for _ in range(12)] + [EMPTY] * 19 + [UNCERTAIN]
SECOND = [lesion('a'), lesion('a', 'b'), lesion('a'), lesion('b')]
SECOND += [lesion('a', series=2)] * 3 + [EMPTY] * 4


def sampler(*sources, **options):
    cfg = {'type': 'LesionSliceSampler', 'dataset': Slices(*sources), 'seed': 0, **options}
    return DATA_SAMPLERS.build(cfg)


def epoch(slices, number):
    slices.set_epoch(number)
    return list(slices)


def on(monkeypatch, rank, world_size):
    monkeypatch.setattr(module, 'get_dist_info', lambda: (rank, world_size))


def test_two_to_one():
    slices = sampler(FIRST)
    for number in range(5):
        indices = epoch(slices, number)
        assert sorted(i for i in indices if i < 12) == list(range(12))
        negatives = [i for i in indices if i >= 12]
        assert len(negatives) == len(set(negatives)) == 6
    assert len(slices) == 18


def test_every_negative_has_its_turn_and_uncertain_lesions_are_negative():
    slices = sampler(FIRST)
    assert {i for number in range(20) for i in epoch(slices, number)} == set(range(32))


def test_the_ratio_is_an_option_and_few_negatives_are_all_taken():
    assert len(sampler(FIRST, positive_ratio=1)) == 24
    assert len(sampler([lesion()] * 10 + [EMPTY] * 2)) == 12


def test_one_slice_of_each_lesion():
    slices, seen = sampler(SECOND), Counter()
    for number in range(60):
        indices = epoch(slices, number)
        assert len(indices) == len(slices) == 3 + 2
        positives = [i for i in indices if i < 7]
        # lesion a of series 1 is on slices 0 to 2, b on 1 and 3, a of series 2 on 4 to 6
        assert len(positives) == 3 and sum(i >= 4 for i in positives) == 1
        assert any(i < 3 for i in positives) and any(i in (1, 3) for i in positives)
        seen.update(positives)
    assert set(seen) == set(range(7)) and min(seen.values()) >= 10


def test_datasets_one_after_another():
    slices = sampler(FIRST, SECOND)
    first, second = slices.source_indices()
    assert max(first) < 32 <= min(second)
    assert (len(first), len(second)) == tuple(slices.source_lengths) == (18, 5)
    assert list(slices) == first + second


def test_seed_and_epoch_decide_what_is_drawn():
    assert epoch(sampler(FIRST, SECOND), 3) == epoch(sampler(FIRST, SECOND), 3)
    assert epoch(sampler(FIRST, SECOND), 3) != epoch(sampler(FIRST, SECOND), 4)
    assert epoch(sampler(FIRST, SECOND), 3) != epoch(sampler(FIRST, SECOND, seed=1), 3)


def test_a_resumed_run_goes_on_as_it_was():
    unbroken = sampler(FIRST, SECOND)
    epochs = [epoch(unbroken, number) for number in range(4)]
    resumed = sampler(FIRST, SECOND)
    assert [epoch(resumed, number) for number in (2, 3)] == epochs[2:]


def test_without_shuffling_the_order_is_the_datasets():
    slices = sampler(FIRST, shuffle=False)
    assert epoch(slices, 0) == epoch(slices, 1) == list(range(18))


@pytest.mark.parametrize('world_size', [2, 3, 4])
def test_processes_share_what_one_would_see(monkeypatch, world_size):
    alone = sampler(FIRST, SECOND).source_indices()
    shares = []
    for rank in range(world_size):
        on(monkeypatch, rank, world_size)
        slices = sampler(FIRST, SECOND)
        shares.append(slices.source_indices())
        assert [len(indices) for indices in shares[-1]] == slices.source_lengths
    for source, indices in enumerate(alone):
        together = [i for group in zip(*(share[source] for share in shares)) for i in group]
        assert together[: len(indices)] == indices
        repeated = len(together) - len(indices)
        assert 0 <= repeated < world_size and together[len(indices) :] == indices[:repeated]


def test_more_processes_than_slices(monkeypatch):
    on(monkeypatch, 4, 5)
    assert sampler([lesion()] * 2).source_indices() in ([[0]], [[1]])


def test_a_dataset_without_lesions_is_refused():
    with pytest.raises(UserError, match='slices 32 to 35 of the training data'):
        sampler(FIRST, [EMPTY] * 4)
    with pytest.raises(UserError, match='positive_ratio=0'):
        sampler(FIRST, positive_ratio=0)
