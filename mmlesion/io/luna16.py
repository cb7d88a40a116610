"""LUNA16's files: scans in subset0 to subset9, masks of their lungs, lists and submissions."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from mmlesion.structures import Detections, GroundTruth, Lesions, Predictions
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError

from .atomic import atomic_write
from .checks import find_names, name_cell, to_numbers
from .ct import read_ct, read_image

SUBSETS = 10
LUNG_LABELS = (3, 4)
"""Of the masks; 5 is the trachea."""
MARK_COLUMNS = ('coordX', 'coordY', 'coordZ')
EXCLUDED_DIAMETER = 10.0
"""LUNA16's diameter in mm of a finding that has none."""


class LunaScan(NamedTuple):
    """A scan of LUNA16.

    Args:
        uid: Its series.
        path: The ``.mhd`` file.
        fold: Its subset, 0 to 9.
    """

    uid: str
    path: Path
    fold: int


def find_luna16_scans(root: str | Path) -> list[LunaScan]:
    """Find the scans of all subsets that are there, in the order of their series.

    Args:
        root: The folder with ``subset0`` to ``subset9``.

    Returns:
        list[LunaScan]: The scans.

    Raises:
        UserError: If there are none, or a scan is in two subsets.
    """
    scans: dict = {}
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


def read_luna16_scan(path: str | Path) -> sitk.Image:
    """Read a scan in the one orientation that all volumes have, :class:`CTVolume`'s.

    Scans whose rows and columns run the other way are thus flipped; a tilted one stays tilted.

    Args:
        path: The ``.mhd`` file.

    Returns:
        sitk.Image: HU.

    Raises:
        UserError: If it cannot be read or is not CT.
    """
    return sitk.DICOMOrient(read_ct(path), CTVolume.ORIENTATION)


def read_luna16_findings(
    annotations: str | Path, excluded: str | Path, out: str | Path, uids: Sequence[str]
) -> list[list[dict]]:
    """Read nodules and excluded findings of some scans, and write the list of these.

    Args:
        annotations: ``annotations.csv``.
        excluded: ``annotations_excluded.csv``.
        out: Folder of ``seriesuids.csv``, the scans that there are, as
            ``eval_froc.py luna16`` reads it.
        uids: The scans.

    Returns:
        list[list[dict]]: Of each scan ``center_mm``, ``diameter_mm`` and ``ignore``.
    """
    series = Path(out, 'seriesuids.csv')
    with atomic_write(series) as temporary, open(temporary, 'w', newline='') as file:
        csv.writer(file, lineterminator='\n').writerows([name_cell(uid, 'a scan')] for uid in uids)
    lesions = read_luna16_ground_truth(annotations, excluded, series).lesions
    findings: list[list[dict]] = [[] for _ in uids]
    for case, sphere, ignore in zip(lesions.case, lesions.geometry, lesions.ignore):
        finding = {
            'center_mm': sphere[:3].tolist(),
            'diameter_mm': float(sphere[3]),
            'ignore': int(ignore),
        }
        findings[case].append(finding)
    return findings


def read_lung_mask(path: str | Path, image: sitk.Image) -> np.ndarray:
    """Read the lungs of a scan; mask and scan need not have the same grid.

    Args:
        path: The mask, ``seg-lungs-LUNA16/<uid>.mhd``.
        image: The scan.

    Returns:
        ndarray: (z, y, x) uint8 on the scan's grid, 3 and 4 in the lungs and 0 elsewhere.

    Raises:
        UserError: If the mask cannot be read, has no lungs, or they lie outside of the scan.
    """
    mask = sitk.Cast(read_image(path), sitk.sitkUInt8)
    if not np.isin(LUNG_LABELS, sitk.GetArrayViewFromImage(mask)).any():
        raise UserError(f'{path} has no lungs, labels 3 and 4: unpack the masks again')
    # on the scan's grid, and 0 where the mask does not reach
    laid = sitk.Resample(mask, image, sitk.Transform(), sitk.sitkNearestNeighbor)
    labels = sitk.GetArrayFromImage(laid)
    labels[~np.isin(labels, LUNG_LABELS)] = 0
    if not labels.any():
        raise UserError(f'the lungs of {path} lie outside of their scan: unpack the masks again')
    return labels


def read_luna16_ground_truth(
    annotations: str | Path, excluded: str | Path, series: str | Path
) -> GroundTruth:
    """Read LUNA16's three lists.

    Args:
        annotations: ``annotations.csv``, the nodules to find.
        excluded: ``annotations_excluded.csv``, findings that are ignored.
        series: ``seriesuids.csv``, the scans; findings in others are left out.

    Returns:
        GroundTruth: Items are series; x, y, z and diameter in mm, 10 mm where it is negative.
    """
    items = [row[0].strip() for row in read_csv(series)]
    items = [item for item in items if item != 'seriesuid']
    if len(set(items)) < len(items):
        raise UserError(f'{series}: a series is listed twice; name each once')
    nodules = _read_spheres(annotations, items, ignore=False)
    others = _read_spheres(excluded, items, ignore=True)
    return GroundTruth(items, Lesions.concat([nodules, others]), items)


def _read_spheres(path: str | Path, items: list[str], ignore: bool) -> Lesions:
    """Read the findings of one list that lie in listed scans."""
    names, rows = read_series_table(path, MARK_COLUMNS + ('diameter_mm',))
    # the lists have findings of all ten folds, the series perhaps those of one
    item, _ = find_names(names, items, path)
    is_listed = item >= 0
    item, spheres = item[is_listed], rows[is_listed]
    diameter = spheres[:, 3]
    # LUNA16 writes -1 where a finding was not measured
    is_unknown = diameter < 0
    attributes = {'diameter': np.where(is_unknown, np.nan, diameter)}
    spheres[:, 3] = np.where(is_unknown, EXCLUDED_DIAMETER, diameter)
    return Lesions(item, spheres, np.full(len(item), ignore), attributes=attributes)


def read_luna16_predictions(path: str | Path, items: list) -> Predictions:
    """Read a LUNA16 submission: ``seriesuid, coordX, coordY, coordZ, probability``.

    Args:
        path: The CSV file.
        items: Series of the ground truth.

    Returns:
        Predictions: Marks at x, y, z in mm.
    """
    names, rows = read_series_table(path, MARK_COLUMNS + ('probability',))
    item, unknown = find_names(names, items, path)
    return Predictions.of_listed(item, rows[:, :3], rows[:, 3], unknown)


def write_luna16_predictions(
    path: str | Path, items: Sequence[str], detections: Detections
) -> None:
    """Write a LUNA16 submission, in full precision.

    Args:
        path: The CSV file.
        items: Series.
        detections: x, y, z in mm first; ``case`` points into ``items``.

    Raises:
        OSError: If it cannot be written.
    """
    rows = []
    points, scores = detections.geometry[:, :3].tolist(), detections.score.tolist()
    for case, point, score in zip(detections.case, points, scores):
        rows.append([name_cell(items[case], 'a series')] + point + [score])
    with atomic_write(path) as temporary, open(temporary, 'w', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(('seriesuid', *MARK_COLUMNS, 'probability'))
        writer.writerows(rows)


def read_series_table(path: str | Path, columns: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Read columns of numbers of one of LUNA16's CSV files.

    Args:
        path: The file, with a header.
        columns: Names of k columns beside ``seriesuid``.

    Returns:
        tuple[list[str], ndarray]: Series of each of the n rows, and (n, k) float.

    Raises:
        UserError: If a column is missing, or a row is not of this kind.
    """
    lines = read_csv(path) or [[]]
    header, rows = [name.strip() for name in lines[0]], lines[1:]
    if missing := [name for name in ('seriesuid', *columns) if name not in header]:
        raise UserError(f'{path} has no column {", ".join(missing)}; its first line must name them')
    width = len(header)
    for number, row in enumerate(rows, 2):
        if len(row) != width:
            raise UserError(f'{path}: row {number} has {len(row)} columns, its header {width}')
    # columns are found by name: published lists have others between them
    places = [header.index(name) for name in columns]
    series = header.index('seriesuid')
    names, values = [], []
    for row in rows:
        names.append(row[series].strip())
        values.append(tuple(row[place] for place in places))
    return names, to_numbers(values, len(columns), f'{path}: row', first=2)


def read_csv(path: str | Path) -> list[list[str]]:
    """Return the lines of a CSV file that are not blank."""
    try:
        with open(path, newline='', encoding='utf-8-sig') as file:
            return [row for row in csv.reader(file) if row]
    except OSError as error:
        raise UserError(f'{path}: {error.strerror}') from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f'{path} is not a readable CSV file: {error}') from None
