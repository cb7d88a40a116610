import pytest
from mmdet.structures import DetDataSample

from mmlesion.models.utils import batch_dataset
from mmlesion.utils import UserError

KNOWN = ('deeplesion', 'luna16')


def samples(*names):
    metas = [{} if name is None else dict(dataset_name=name) for name in names]
    return [DetDataSample(metainfo=meta) for meta in metas]


def test_the_dataset_of_all_samples():
    assert batch_dataset(samples('luna16', 'luna16'), KNOWN) == 'luna16'


@pytest.mark.parametrize(
    'names, message',
    [
        (('luna16', None), 'a sample has no dataset_name'),
        (('lits', 'lits'), 'from lits, but the datasets of the model are deeplesion, luna16'),
        (('luna16', 'deeplesion'), 'mixes deeplesion, luna16: set batch_sampler'),
    ],
)
def test_other_batches_are_refused(names, message):
    with pytest.raises(UserError, match=message):
        batch_dataset(samples(*names), KNOWN)
