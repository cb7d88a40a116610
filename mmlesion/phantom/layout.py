"""Output folder and option checks that the layouts share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mmlesion.io.atomic import atomic_folder
from mmlesion.utils import UserError

from .patient import PatientOptions


@contextmanager
def new_data_folder(out: Path | str, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``out`` if the block succeeds, and vanishes if not.

    Raises:
        UserError: If ``out`` is a file, or is not empty and ``overwrite`` is not set.
    """
    out = Path(out)
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f'{out} is not a folder: give another one')
    if out.exists() and any(out.iterdir()) and not overwrite:
        raise UserError(f'{out} is not empty: give another folder, or --overwrite to replace it')
    with atomic_folder(out) as root:
        yield root


def check_options(options: PatientOptions) -> None:
    """Check a :class:`PatientOptions`.

    Raises:
        UserError: If a number makes no sense.
    """
    check_rules(
        {
            f'the share of unannotated lesions is {options.unannotated}: give 0 to 1': (
                0 <= options.unannotated <= 1
            ),
            f'the image size is {options.size} px: give 128 to 1024': 128 <= options.size <= 1024,
            f'the lesion scale is {options.lesion_scale}: give more than 0': (
                0 < options.lesion_scale < np.inf
            ),
            f'the slice intervals are {options.slice_intervals} mm: give at least 0.5': (
                min(options.slice_intervals) >= 0.5 and max(options.slice_intervals) < np.inf
            ),
        }
    )


def check_rules(rules: Mapping[str, bool]) -> None:
    """Raise a :class:`UserError` with the first of the complaints whose rule does not hold."""
    for complaint, holds in rules.items():
        if not holds:
            raise UserError(complaint)
