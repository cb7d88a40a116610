"""Output folder and option checks that the layouts share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mmlesion.io.atomic import atomic_folder
from mmlesion.utils import UserError, run_parallel

from .patient import PatientOptions

MOST_PATIENTS = 1_000_000


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


def write_cases(
    write_case: Callable[..., None],
    out: Path | str,
    cases: Sequence[int],
    seed: int,
    workers: int,
    overwrite: bool,
    options: PatientOptions,
) -> None:
    """Write cases of one patient each, those with a segmentation first.

    Args:
        write_case: Takes a case's number, and by keyword ``root``, ``seed``,
            ``segmented`` (how many cases have a segmentation) and ``options``.
        out: Folder to make; it appears when all is written.
        cases: Cases with a segmentation and without.
        seed: Of everything.
        workers: Processes.
        overwrite: Whether to replace an existing folder that is not empty.
        options: Of each patient.

    Raises:
        UserError: If ``out`` is not empty and ``overwrite`` is not set, or a number makes no sense.
    """
    check_counts('cases', cases, 'with a segmentation and without')
    check_options(options)
    with new_data_folder(out, overwrite) as root:
        write = partial(write_case, root=root, seed=seed, segmented=cases[0], options=options)
        run_parallel(write, range(sum(cases)), workers, 'cases', 'case')


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
            f'the lesion scale is {options.lesion_scale}: give 0.01 to 10': (
                0.01 <= options.lesion_scale <= 10
            ),
            f'the slice intervals are {options.slice_intervals} mm: give 0.5 to 100': all(
                0.5 <= interval <= 100 for interval in options.slice_intervals
            ),
        }
    )


def check_counts(name: str, counts: Sequence[int], meaning: str) -> None:
    """Check numbers of patients, one for each part of a comma-separated ``meaning``.

    Raises:
        UserError: If there are more or fewer, or one is negative or over :data:`MOST_PATIENTS`.
    """
    number = meaning.count(' and ') + meaning.count(', ') + 1
    good = len(counts) == number and all(0 <= count <= MOST_PATIENTS for count in counts)
    complaint = f'{name} is {counts}: give {number} counts of 0 to {MOST_PATIENTS}, {meaning}'
    check_rules({complaint: good})


def check_rules(rules: Mapping[str, bool]) -> None:
    """Raise a :class:`UserError` with the first of the complaints whose rule does not hold."""
    for complaint, holds in rules.items():
        if not holds:
            raise UserError(complaint)
