"""What the layouts share: output folder, checks of options, scans around an organ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from mmlesion.io.atomic import atomic_folder
from mmlesion.utils import UserError, check_range, run_parallel

from .patient import PatientOptions, Study, draw_patient, organ_mask, render, slices_around

MOST_PATIENTS = 1_000_000
MARGIN = 10.0  # mm of a scan above and below its organs


@contextmanager
def new_data_folder(out: Path | str, overwrite: bool, options: PatientOptions) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``out`` if the block succeeds, and vanishes if not.

    Raises:
        UserError: If ``out`` is a file, or is not empty and ``overwrite`` is not set, or an option
            makes no sense.
    """
    check_range('the share of unannotated lesions', options.unannotated, 0, 1)
    check_range('the image size in px', options.size, 128, 1024)
    check_range('the lesion scale', options.lesion_scale, 0.01, 10)
    for interval in options.slice_intervals:
        check_range('one of the slice intervals in mm', interval, 0.5, 100)
    out = Path(out)
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f'{out} is not a folder: give another one')
    if out.exists() and any(out.iterdir()) and not overwrite:
        raise UserError(f'{out} is not empty: give another folder, or --overwrite to replace it')
    with atomic_folder(out) as root:
        yield root


def check_counts(name: str, counts: Sequence[int], meaning: Sequence[str]) -> None:
    """Check numbers of patients, one for each part of ``meaning``.

    Raises:
        UserError: If there are more or fewer, or one is negative or over :data:`MOST_PATIENTS`.
    """
    good = len(counts) == len(meaning) and all(0 <= count <= MOST_PATIENTS for count in counts)
    if not good:
        raise UserError(
            f'{name} is {counts}: give {len(meaning)} counts of 0 to {MOST_PATIENTS}, '
            f'{" and ".join(meaning)}'
        )


class OrganScan(NamedTuple):
    """A case to write.

    Args:
        number: The case's, from 0.
        segmented: How many cases have a segmentation.
        volume: (z, y, x) HU.
        labels: (z, y, x), 0 for the background.
        study: Of these slices.
        first: Number of the uppermost slice, 0-based.
        last: Number of the lowest.
    """

    number: int
    segmented: int
    volume: np.ndarray
    labels: np.ndarray
    study: Study
    first: int
    last: int


class OrganLayout(NamedTuple):
    """A benchmark of tumors of one organ, a scan a patient.

    Args:
        lesion_type: DeepLesion's.
        organs: That are labeled; scans are around the first one.
        labels: Of the organs and of tumors.
        patients: Fields of :class:`PatientOptions`.
        write: Takes the folder and the scan.
    """

    lesion_type: int
    organs: tuple[str, ...]
    labels: tuple[int, int]
    patients: dict
    write: Callable[[Path, OrganScan], None]


def make_organ_phantom(
    layout: OrganLayout,
    out: Path | str,
    cases: Sequence[int] = (20, 2),
    seed: int = 0,
    workers: int = 1,
    overwrite: bool = False,
    options: PatientOptions | None = None,
) -> None:
    """Write a synthetic dataset of scans around an organ, with tumors.

    Vessels look like a tumor in a single slice. The same ``seed`` and options give the same
    volumes, whatever ``workers`` is.

    Args:
        layout: The benchmark.
        out: Folder to make; it appears when all is written.
        cases: Cases with a segmentation and, after them, without one.
        seed: Of everything.
        workers: Processes.
        overwrite: Whether to replace an existing folder that is not empty.
        options: Image size, lesion sizes, intervals. Which lesions there are, and how many scans of
            a patient, is the benchmark's.

    Raises:
        UserError: If ``out`` is not empty and ``overwrite`` is not set, or a number makes no sense.
    """
    own = {'lesion_types': (layout.lesion_type,), 'unannotated': 0.0, 'studies': (1.0,)}
    options = replace(options or PatientOptions(), **own, **layout.patients)
    check_counts('cases', cases, ('with a segmentation', 'without'))
    with new_data_folder(out, overwrite, options) as root:
        write = partial(
            _write_case, layout=layout, root=root, seed=seed, segmented=cases[0], options=options
        )
        run_parallel(write, range(sum(cases)), workers, 'cases', 'case')


def _write_case(
    number: int,
    layout: OrganLayout,
    root: Path,
    seed: int,
    segmented: int,
    options: PatientOptions,
) -> None:
    patient = draw_patient(np.random.SeedSequence(seed, spawn_key=(number,)), options)
    (study,) = patient.studies
    first, last = slices_around(patient, study, layout.organs[:1], MARGIN)
    volume, tumors = render(patient, study, first, last, options)
    mask = organ_mask(patient, study, first, last, options, layout.organs)
    organ, tumor = layout.labels
    labels = np.where(tumors > 0, tumor, organ * mask).astype(np.uint8)
    layout.write(root, OrganScan(number, segmented, volume, labels, study, first, last))


def upright_image(
    array: np.ndarray, study: Study, last: int, shift: Sequence[float] = (0.0, 0.0, 0.0)
) -> sitk.Image:
    """Return an image of a (z, y, x) array whose slices run from inferior to superior.

    Args:
        array: Of consecutive slices, as :func:`render` makes it.
        study: Of these slices.
        last: Number of the lowest, 0-based.
        shift: x, y, z in mm, of the patient in the world.

    Returns:
        sitk.Image: Its voxel axes run to the left, to posterior and to superior.
    """
    image = sitk.GetImageFromArray(array[::-1])
    image.SetSpacing((study.spacing, study.spacing, study.interval))
    # heights grow to inferior, world z to superior
    lowest = (*study.origin, -(study.top + last * study.interval))
    image.SetOrigin(np.add(lowest, shift).tolist())
    return image


def turned(image: sitk.Image) -> sitk.Image:
    """Return an image whose rows and columns run the other way."""
    return sitk.Flip(image, (True, True, False))
