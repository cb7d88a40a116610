"""The same seed gives the same bytes; another one has other patients, to test on."""

import hashlib

import pytest
from phantom import (
    LUNA16_OPTIONS,
    PatientOptions,
    make_kits19_phantom,
    make_lits_phantom,
    make_luna16_phantom,
    make_nih_ln_phantom,
)

SMALL = PatientOptions(size=128, slice_intervals=(5.0,))


@pytest.mark.parametrize(
    'make, options',
    [
        (make_kits19_phantom, SMALL),
        (make_lits_phantom, SMALL),
        (make_luna16_phantom, LUNA16_OPTIONS),
        (make_nih_ln_phantom, SMALL),
    ],
)
def test_no_file_is_in_both(make, options, tmp_path):
    for name, seed in (('train', 0), ('again', 0), ('test', 1)):
        make(tmp_path / name, (1, 1), seed=seed, options=options)
    train, again, test = (contents(tmp_path / name) for name in ('train', 'again', 'test'))
    assert train == again
    assert train and not train & test


def contents(root):
    files = [path for path in root.rglob('*.*') if path.is_file()]
    return {hashlib.sha256(path.read_bytes()).digest() for path in files}
