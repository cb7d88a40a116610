import pytest

from mmlesion.converters.base import Run, Skipped, print_skipped, split_patients


def test_split_by_patients():
    names = [f'case_{i:05d}' for i in range(210)]
    splits = split_patients(names, seed=0, val_share=0.1)
    assert [len(splits[name]) for name in ('train', 'val', 'test')] == [147, 21, 42]
    assert sorted(splits['train'] + splits['val'] + splits['test']) == names
    assert splits == split_patients(names[::-1], seed=0, val_share=0.1)
    assert splits['test'] != split_patients(names, seed=1, val_share=0.1)['test']


@pytest.mark.parametrize('val_share', [0.0, 0.25, 0.8])
def test_test_patients_do_not_depend_on_the_validation(val_share):
    names = list(range(30))
    splits = split_patients(names, seed=3, val_share=val_share)
    assert splits['test'] == split_patients(names, seed=3, val_share=0.1)['test']
    assert len(splits['val']) == {0.0: 0, 0.25: 8, 0.8: 24}[val_share]


def test_few_patients_are_tested_on_first():
    assert [len(split_patients('a', 0, 0.1)[name]) for name in ('train', 'val', 'test')] == [
        0,
        0,
        1,
    ]


def test_skipped_names_cannot_control_a_terminal(tmp_path, capsys):
    skipped = [Skipped('\x1b]0;owned\x07 caf\udce9 cannot be read')]
    print_skipped(skipped)
    Run(tmp_path).write({}, skipped)
    told = r'\x1b]0;owned\x07 caf\udce9 cannot be read' + '\n'
    assert capsys.readouterr().err == f'skipped: {told}'
    assert (tmp_path / 'skipped.txt').read_text() == told
