import numpy as np
import pytest

from mmlesion.evaluation.groups import group_lesions
from mmlesion.io.checks import lesion_attributes
from mmlesion.utils import UserError

ANNOTATIONS = [
    dict(id=1, organ='liver', stage=2, volume_ml=0.5, bbox=[0, 0, 1, 1], lesion_type=4),
    dict(id=2, organ='lung', stage=1.0, volume_ml=1, lesion_type=-1),
    dict(id=3, organ='liver', stage=10, volume_ml=10.0, lesion_type=5),
    dict(id=4, organ=None, stage=float('nan'), volume_ml=30),
    dict(id=5, stage=1),
]


def groups(*names, annotations=ANNOTATIONS):
    found = group_lesions(lesion_attributes(annotations), names, 'ann.json')
    return {name: np.flatnonzero(member).tolist() for name, member in found.items()}


def test_each_value_is_a_group():
    """In their order; lesions without a value are in none."""
    by_organ = {'organ=liver': [0, 2], 'organ=lung': [1]}
    by_stage = {'stage=1': [1, 4], 'stage=2': [0], 'stage=10': [2]}
    both = groups('organ', 'stage')
    assert list(both.items()) == [*by_organ.items(), *by_stage.items()]
    assert groups('stage') == by_stage


def test_cut_points():
    """A value at a cut point is above it."""
    assert groups('volume_ml:1,10') == {
        'volume_ml<1': [0],
        '1<=volume_ml<10': [1],
        'volume_ml>=10': [2, 3],
    }
    assert groups('volume_ml:10.5') == {'volume_ml<10.5': [0, 1, 2], 'volume_ml>=10.5': [3]}


def test_a_field_may_have_a_colon_in_its_name():
    annotations = [{'roi:1': 'a'}, {'roi:1': 'b'}]
    assert groups('roi:1', annotations=annotations) == {'roi:1=a': [0], 'roi:1=b': [1]}


def test_names_of_lesion_types_and_diameters_stay():
    assert groups('lesion_type') == {'liver': [0], 'lung': [2]}
    attributes = dict(diameter=np.array([9.9, 10, 30, 31, np.nan]))
    found = group_lesions(attributes, 'diameter', 'ann.json')
    assert {name: np.flatnonzero(member).tolist() for name, member in found.items()} == {
        '<10 mm': [0],
        '10-30 mm': [1, 2],
        '>30 mm': [3],
    }
    named = [dict(lesion_type='cyst'), dict(lesion_type='metastasis')]
    assert list(groups('lesion_type', annotations=named)) == [
        'lesion_type=cyst',
        'lesion_type=metastasis',
    ]


def test_a_field_that_no_lesion_has():
    with pytest.raises(
        UserError, match='ann.json: no lesion has the field organ; .*: lesion_type, stage$'
    ):
        bare = [dict(stage=1, lesion_type=2, organ=None, bbox=[0, 0, 1, 1])]
        groups('organ', annotations=bare)
    with pytest.raises(UserError, match='no lesion has the field bbox'):
        groups('bbox')
    with pytest.raises(UserError, match='group by: none$'):
        groups('organ', annotations=[])


def test_too_many_values():
    many = [dict(volume_ml=n / 4, name=f'n{n}') for n in range(21)]
    with pytest.raises(UserError, match='volume_ml has 21 .* at most 20: .* volume_ml:10,30'):
        groups('volume_ml', annotations=many)
    assert len(groups('volume_ml', annotations=many[:20])) == 20
    with pytest.raises(UserError, match='name has 21 different values.*fewer values'):
        groups('name', annotations=many)


@pytest.mark.parametrize('cuts', ['', 'a', '1,x', '10,1', '1,1', 'nan', '1,inf'])
def test_bad_cut_points(cuts):
    with pytest.raises(UserError, match='cut points are ascending numbers, as in volume_ml:1,10'):
        groups(f'volume_ml:{cuts}')


def test_cut_points_are_for_numbers():
    with pytest.raises(UserError, match='organ has values that are no numbers'):
        groups('organ:1,2')
