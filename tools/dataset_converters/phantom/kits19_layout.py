"""Synthetic patients in the files of KiTS19: ``case_*/imaging.nii.gz``, ``segmentation.nii.gz``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from mmlesion.io.ct import write_image
from mmlesion.io.schema import KITS19_KIDNEY, KITS19_TUMOR

from .layout import write_cases
from .patient import PatientOptions, Study, draw_patient, organ_mask, render, slices_around

_KIDNEY_TYPE = 6  # DeepLesion's
_KIDNEY_ORGANS = ('kidney', 'renal pelvis')
_MARGIN = 10.0  # mm of the scan above and below the kidneys
# KiTS19's first voxel axis runs to inferior, the second to posterior, the third to the left.
_DIRECTION = (0, 0, 1, 0, 1, 0, -1, 0, 0)


def make_kits19_phantom(
    out: Path | str,
    cases: Sequence[int] = (20, 2),
    seed: int = 0,
    workers: int = 1,
    overwrite: bool = False,
    options: PatientOptions | None = None,
) -> None:
    """Write a synthetic dataset in KiTS19's layout.

    Each case is one scan around the kidneys with one to four tumors, and vessels that look like a
    tumor in a single slice. ``case_*/imaging.nii.gz`` is in HU, ``case_*/segmentation.nii.gz`` has
    0 background, 1 kidney, 2 tumor; both have KiTS19's order of axes. The same ``seed`` and
    options give the same volumes, whatever ``workers`` is.

    Args:
        out: Folder to make; it appears when all is written.
        cases: Cases with a segmentation and, after them, without one, as KiTS19's
            test cases are published.
        seed: Of everything.
        workers: Processes.
        overwrite: Whether to replace an existing folder that is not empty.
        options: Image size, lesion sizes, intervals. Which lesions there
            are, and how many scans of a patient, is KiTS19's.

    Raises:
        UserError: If ``out`` is not empty and ``overwrite`` is not set, or a number makes no sense.
    """
    options = replace(
        options or PatientOptions(),
        lesion_types=(_KIDNEY_TYPE,),
        sites=(1, 2),
        lesions_per_site=(0.8, 0.2),
        unannotated=0.0,
        studies=(1.0,),
    )
    write_cases(_write_case, out, cases, seed, workers, overwrite, options)


def _write_case(
    number: int, root: Path, seed: int, segmented: int, options: PatientOptions
) -> None:
    patient = draw_patient(np.random.SeedSequence(seed, spawn_key=(number,)), options)
    (study,) = patient.studies
    first, last = slices_around(patient, study, ('kidney',), _MARGIN)
    volume, tumors = render(patient, study, first, last, options)
    folder = root / f'case_{number:05d}'
    folder.mkdir()
    _write_volume(folder / 'imaging.nii.gz', volume, study, first)
    if number < segmented:
        kidneys = organ_mask(patient, study, first, last, options, _KIDNEY_ORGANS)
        labels = np.where(tumors > 0, KITS19_TUMOR, KITS19_KIDNEY * kidneys).astype(np.uint8)
        _write_volume(folder / 'segmentation.nii.gz', labels, study, first)


def _write_volume(path: Path, array: np.ndarray, study: Study, first: int) -> None:
    """Write a (z, y, x) array with KiTS19's axes and its place in the patient, mm."""
    # SimpleITK reads arrays backwards: x, y, z make i, j, k of inferior, posterior, left
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing((study.interval, study.spacing, study.spacing))
    x, y = study.origin
    # heights grow to inferior, world z to superior
    image.SetOrigin((x, y, -(study.top + first * study.interval)))
    image.SetDirection(_DIRECTION)
    write_image(image, path, compress=True)
