"""Synthetic patients in the files of LiTS: ``volume-*.nii`` and ``segmentation-*.nii``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from mmlesion.io.ct import write_image
from mmlesion.io.schema import LITS_LIVER, LITS_TUMOR

from .layout import write_cases
from .patient import PatientOptions, Study, draw_patient, organ_mask, render, slices_around

_LIVER_TYPE = 4  # DeepLesion's
_MARGIN = 10.0  # mm of the scan above and below the liver
_FLIPPED = 3  # the rows and columns of every third volume run the other way


def make_lits_phantom(
    out: Path | str,
    cases: Sequence[int] = (20, 2),
    seed: int = 0,
    workers: int = 1,
    overwrite: bool = False,
    options: PatientOptions | None = None,
) -> None:
    """Write a synthetic dataset in LiTS' layout.

    Each case is one scan around the liver with tumors, and vessels that look like a tumor in a
    single slice. ``volume-<n>.nii`` is in HU, ``segmentation-<n>.nii`` has 0 background, 1 liver, 2
    tumor; slices run from inferior to superior, and the header of a segmentation says nothing of
    its place, as that of some of LiTS'. The same ``seed`` and options give the same volumes,
    whatever ``workers`` is.

    Args:
        out: Folder to make; it appears when all is written.
        cases: Cases with a segmentation and, after them, without one, which are named
            ``test-volume-<n>.nii``.
        seed: Of everything.
        workers: Processes.
        overwrite: Whether to replace an existing folder that is not empty.
        options: Image size, lesion sizes, intervals. Which lesions there
            are, and how many scans of a patient, is LiTS'.

    Raises:
        UserError: If ``out`` is not empty and ``overwrite`` is not set, or a number makes no sense.
    """
    options = replace(
        options or PatientOptions(),
        lesion_types=(_LIVER_TYPE,),
        sites=(2, 4),
        unannotated=0.0,
        studies=(1.0,),
    )
    write_cases(_write_case, out, cases, seed, workers, overwrite, options)


def _write_case(
    number: int, root: Path, seed: int, segmented: int, options: PatientOptions
) -> None:
    patient = draw_patient(np.random.SeedSequence(seed, spawn_key=(number,)), options)
    (study,) = patient.studies
    first, last = slices_around(patient, study, ('liver',), _MARGIN)
    volume, tumors = render(patient, study, first, last, options)
    scan = upright_image(volume, study, last)
    if number % _FLIPPED == 0:
        scan = sitk.Flip(scan, (True, True, False))
    if number >= segmented:
        write_image(scan, root / f'test-volume-{number - segmented}.nii')
        return
    liver = organ_mask(patient, study, first, last, options, ('liver',))
    labels = upright_image(
        np.where(tumors > 0, LITS_TUMOR, LITS_LIVER * liver).astype(np.uint8), study, last
    )
    if number % _FLIPPED == 0:
        labels = sitk.Flip(labels, (True, True, False))
    write_image(scan, root / f'volume-{number}.nii')
    labels = sitk.GetImageFromArray(sitk.GetArrayFromImage(labels))
    write_image(labels, root / f'segmentation-{number}.nii')


def upright_image(array: np.ndarray, study: Study, last: int) -> sitk.Image:
    """Return an image of a (z, y, x) array whose slices run from inferior to superior.

    Args:
        array: Of consecutive slices, as :func:`render` makes it.
        study: Of these slices.
        last: Number of the lowest, 0-based.

    Returns:
        sitk.Image: Its voxel axes run to the left, to posterior and to superior.
    """
    image = sitk.GetImageFromArray(array[::-1])
    image.SetSpacing((study.spacing, study.spacing, study.interval))
    x, y = study.origin
    # heights grow to inferior, world z to superior
    image.SetOrigin((x, y, -(study.top + last * study.interval)))
    return image
