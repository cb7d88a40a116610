"""Synthetic patients in the files of KiTS19: ``case_*/imaging.nii.gz``, ``segmentation.nii.gz``.

Each case is one scan around the kidneys with one to four tumors. The segmentation has 0 background,
1 kidney, 2 tumor. Cases without one are as KiTS19's test cases are published.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from mmlesion.io.ct import write_image
from mmlesion.io.schema import KITS19_KIDNEY, KITS19_TUMOR

from .layout import OrganLayout, OrganScan, make_organ_phantom

# KiTS19's first voxel axis runs to inferior, the second to posterior, the third to the left.
_DIRECTION = (0, 0, 1, 0, 1, 0, -1, 0, 0)


def _write_case(root: Path, scan: OrganScan) -> None:
    folder = root / f'case_{scan.number:05d}'
    folder.mkdir()
    files = {'imaging': scan.volume}
    if scan.number < scan.segmented:
        files['segmentation'] = scan.labels
    study = scan.study
    for name, array in files.items():
        # SimpleITK reads arrays backwards: x, y, z make i, j, k of inferior, posterior, left
        image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
        image.SetSpacing((study.interval, study.spacing, study.spacing))
        # heights grow to inferior, world z to superior
        image.SetOrigin((*study.origin, -(study.top + scan.first * study.interval)))
        image.SetDirection(_DIRECTION)
        write_image(image, folder / f'{name}.nii.gz', compress=True)


_KITS19 = OrganLayout(
    lesion_type=6,
    organs=('kidney', 'renal pelvis'),
    labels=(KITS19_KIDNEY, KITS19_TUMOR),
    patients={'sites': (1, 2), 'lesions_per_site': (0.8, 0.2)},
    write=_write_case,
)
make_kits19_phantom = partial(make_organ_phantom, _KITS19)
