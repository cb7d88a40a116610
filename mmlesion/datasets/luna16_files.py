"""Reading LUNA16's folders: scans in subset0 to subset9, and masks of their lungs."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from mmlesion.evaluation.files import read_luna16_ground_truth
from mmlesion.io.atomic import atomic_write
from mmlesion.io.ct import read_ct, read_image
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError

SUBSETS = 10
LUNG_LABELS = (3, 4)  # of the masks; 5 is the trachea


class LunaScan(NamedTuple):
    """A scan of LUNA16.

    Args:
        uid (str): Its series.
        path (Path): The ``.mhd`` file.
        fold (int): Its subset, 0 to 9.
    """

    uid: str
    path: Path
    fold: int


def find_luna16_scans(root):
    """Find the scans of all subsets that are there, in the order of their series.

    Args:
        root (str | Path): The folder with ``subset0`` to ``subset9``.

    Returns:
        list[LunaScan]: The scans.

    Raises:
        UserError: If there are none, or a scan is in two subsets.
    """
    scans = {}
    for fold in range(SUBSETS):
        for path in Path(root, f'subset{fold}').glob('*.mhd'):
            scan = LunaScan(path.stem, path, fold)
            if scan.uid in scans:
                raise UserError(
                    f'scan {scan.uid} is in subset{scans[scan.uid].fold} and subset{fold}: '
                    'unpack the subsets again'
                )
            scans[scan.uid] = scan
    if not scans:
        raise UserError(f'{root} has no scan subset0/*.mhd to subset9/*.mhd: unpack LUNA16 there')
    return [scans[uid] for uid in sorted(scans)]


def read_luna16_scan(path):
    """Read a scan in the one orientation that all volumes have, :class:`CTVolume`'s.

    Scans whose rows and columns run the other way are thus flipped; a tilted one stays tilted.

    Args:
        path (str | Path): The ``.mhd`` file.

    Returns:
        sitk.Image: HU.

    Raises:
        UserError: If it cannot be read or is not CT.
    """
    return sitk.DICOMOrient(read_ct(path), CTVolume.ORIENTATION)


def read_luna16_findings(annotations, excluded, out, uids):
    """Read nodules and excluded findings of some scans, and write the list of these.

    Args:
        annotations (str | Path): ``annotations.csv``.
        excluded (str | Path): ``annotations_excluded.csv``.
        out (str | Path): Folder of ``seriesuids.csv``, the scans that there are, as
            ``eval_froc.py luna16`` reads it.
        uids (list[str]): The scans.

    Returns:
        list[list[dict]]: Of each scan ``center_mm``, ``diameter_mm`` and ``ignore``.
    """
    series = Path(out, 'seriesuids.csv')
    with atomic_write(series) as temporary, open(temporary, 'w', newline='') as file:
        csv.writer(file, lineterminator='\n').writerows([uid] for uid in uids)
    lesions = read_luna16_ground_truth(annotations, excluded, series).lesions
    findings = [[] for _ in uids]
    for case, (*center, diameter), ignore in zip(lesions.case, lesions.geometry, lesions.ignore):
        finding = {
            'center_mm': [float(mm) for mm in center],
            'diameter_mm': float(diameter),
            'ignore': int(ignore),
        }
        findings[case].append(finding)
    return findings


def read_lung_mask(path, image):
    """Read the lungs of a scan; mask and scan need not have the same grid.

    Args:
        path (str | Path): The mask, ``seg-lungs-LUNA16/<uid>.mhd``.
        image (sitk.Image): The scan.

    Returns:
        ndarray: (z, y, x) uint8 on the scan's grid, 3 and 4 in the lungs and 0 elsewhere.

    Raises:
        UserError: If the mask cannot be read, has no lungs, or they lie outside of the scan.
    """
    mask = sitk.Cast(read_image(path), sitk.sitkUInt8)
    if not np.isin(LUNG_LABELS, sitk.GetArrayViewFromImage(mask)).any():
        raise UserError(f'{path} has no lungs, labels 3 and 4: unpack the masks again')
    laid = sitk.Resample(mask, image, sitk.Transform(), sitk.sitkNearestNeighbor)
    labels = sitk.GetArrayFromImage(laid)
    labels[~np.isin(labels, LUNG_LABELS)] = 0
    if not labels.any():
        raise UserError(f'the lungs of {path} lie outside of their scan: unpack the masks again')
    return labels
