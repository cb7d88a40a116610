import numpy as np
import pytest
from mmdet.datasets.samplers import AspectRatioBatchSampler
from mmdet.registry import DATA_SAMPLERS
from mmengine.dataset import sampler as mmengine_sampler

from mmlesion.datasets import PatientHalfSampler
from mmlesion.datasets.samplers.patient_samplers import split_by_patient
from mmlesion.utils import UserError

PATIENTS = [7, 7, 1, 3, 3, 3, 9, 9, 2, 5, 5, 8]


class Slices:
    """What a sampler asks of a data set."""

    def __init__(self, patients):
        self.patients = patients

    def __len__(self):
        return len(self.patients)

    def get_data_info(self, index):
        patient = self.patients[index]
        known = {} if patient is None else dict(patient_id=patient)
        return dict(width=32 + index % 2, height=32 + (index + 1) % 2, **known)


def sampler(half, patients=PATIENTS, **options):
    options = {'seed': 0, **options}
    cfg = dict(type='PatientHalfSampler', half=half, dataset=Slices(patients), **options)
    return DATA_SAMPLERS.build(cfg)


def test_halves_are_disjoint_by_patient_and_cover_all():
    for split_seed in range(20):
        first, second = (list(sampler(half, split_seed=split_seed)) for half in (0, 1))
        assert sorted(first + second) == list(range(len(PATIENTS)))
        of_first, of_second = ({PATIENTS[index] for index in half} for half in (first, second))
        assert of_first and of_second and not of_first & of_second


def test_halves_are_as_equal_as_the_order_of_patients_allows():
    first, second = split_by_patient(np.repeat(np.arange(100), 3), seed=0)
    assert len(first) == len(second) == 150
    first, second = split_by_patient(['a', 'b', 'b', 'b', 'b', 'b'], seed=0)
    assert {len(first), len(second)} == {1, 5}


def test_the_split_seed_decides_the_split_and_the_seed_the_order():
    assert list(sampler(0)) == list(sampler(0))
    assert set(sampler(0)) == set(sampler(0, seed=1))
    assert list(sampler(0)) != list(sampler(0, seed=1))
    assert any(set(sampler(0)) != set(sampler(0, split_seed=seed)) for seed in range(1, 4))
    assert list(sampler(0, shuffle=False)) == sorted(sampler(0))


def test_every_epoch_has_its_order():
    half = sampler(0)
    first = list(half)
    half.set_epoch(1)
    assert list(half) != first and set(half) == set(first)
    half.set_epoch(0)
    assert list(half) == first


def test_two_processes_share_a_half(monkeypatch):
    whole = set(sampler(0))
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr(mmengine_sampler, 'get_dist_info', lambda rank=rank: (rank, 2))
        share = sampler(0)
        assert len(share) == len(list(share)) == -(-len(whole) // 2)
        shares.append(list(share))
    assert set(shares[0]) | set(shares[1]) == whole
    assert len(set(shares[0]) & set(shares[1])) == len(whole) % 2


def test_batches_of_one_aspect_ratio():
    half = sampler(1)
    batches = list(AspectRatioBatchSampler(half, 2))
    assert sorted(sum(batches, [])) == sorted(half)
    assert all((a - b) % 2 == 0 for a, b in batches[:-2])


@pytest.mark.parametrize(
    'patients, half, says',
    [([1, None, 2], 0, 'sample 1 '), ([1, 1], 0, 'needs two'), ([1, 2], 2, 'half=2')],
)
def test_errors(patients, half, says):
    with pytest.raises(UserError, match=says):
        PatientHalfSampler(Slices(patients), half)
