"""Synthetic patients in the files of LiTS: ``volume-*.nii`` and ``segmentation-*.nii``.

Each case is one scan around the liver. The segmentation has 0 background, 1 liver, 2 tumor. Slices
run from inferior to superior, and the header of a segmentation says nothing of its place, as that
of some of LiTS'. Cases without one are named ``test-volume-<n>.nii``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import SimpleITK as sitk

from mmlesion.io.ct import write_image
from mmlesion.io.schema import LITS_LIVER, LITS_TUMOR

from .layout import OrganLayout, OrganScan, make_organ_phantom, turned, upright_image

_TURNED = 3  # the rows and columns of every third volume run the other way


def _write_case(root: Path, scan: OrganScan) -> None:
    arrays = scan.volume, scan.labels
    images = [upright_image(array, scan.study, scan.last) for array in arrays]
    volume, labels = map(turned, images) if scan.number % _TURNED == 0 else images
    if scan.number >= scan.segmented:
        write_image(volume, root / f'test-volume-{scan.number - scan.segmented}.nii')
        return
    write_image(volume, root / f'volume-{scan.number}.nii')
    # without the header
    labels = sitk.GetImageFromArray(sitk.GetArrayFromImage(labels))
    write_image(labels, root / f'segmentation-{scan.number}.nii')


_LITS = OrganLayout(
    lesion_type=4,
    organs=('liver',),
    labels=(LITS_LIVER, LITS_TUMOR),
    patients={'sites': (2, 4)},
    write=_write_case,
)
make_lits_phantom = partial(make_organ_phantom, _LITS)
