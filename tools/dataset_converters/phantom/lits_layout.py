"""Synthetic patients in the files of LiTS: ``volume-*.nii`` and ``segmentation-*.nii``.

Each case is one scan around the liver. The segmentation has 0 background, 1 liver, 2 tumor. Slices
run from inferior to superior, and the header of a segmentation says nothing of its place, as that
of some of LiTS'. Cases without one are named ``test-volume-<n>.nii``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from mmlesion.io.image_writing import write_image
from mmlesion.io.segmentation_labels import LITS_LIVER, LITS_TUMOR

from .layout import OrganLayout, make_organ_phantom, turned, upright_image
from .patient import Study

_TURNED = 3  # the rows and columns of every third volume run the other way


def _write_case(
    root: Path,
    number: int,
    segmented: int,
    volume: np.ndarray,
    labels: np.ndarray,
    study: Study,
    first: int,
    last: int,
) -> None:
    images = [upright_image(array, study, last) for array in (volume, labels)]
    scan, segmentation = map(turned, images) if number % _TURNED == 0 else images
    if number >= segmented:
        write_image(scan, root / f'test-volume-{number - segmented}.nii')
        return
    write_image(scan, root / f'volume-{number}.nii')
    # without the header
    segmentation = sitk.GetImageFromArray(sitk.GetArrayFromImage(segmentation))
    write_image(segmentation, root / f'segmentation-{number}.nii')


_LITS = OrganLayout(
    lesion_type=4,
    organs=('liver',),
    labels=(LITS_LIVER, LITS_TUMOR),
    patients={'sites': (2, 4)},
    write=_write_case,
)
make_lits_phantom = partial(make_organ_phantom, _LITS)
