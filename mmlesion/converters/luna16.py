"""Convert LUNA16 to volumes of 1 mm that are cropped to the lungs, and ``luna16.json``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from terminaltables import AsciiTable

from mmlesion.io.luna16 import (
    SUBSETS,
    find_luna16_scans,
    read_luna16_findings,
    read_luna16_scan,
    read_lung_mask,
)
from mmlesion.io.volumes import store_volume, write_annotations, write_volume
from mmlesion.structures import Grid
from mmlesion.utils import UserError

from .base import Case, Run, naming, print_skipped
from .lungs import LungRegion, cut_to_lungs

_MASKS = 'seg-lungs-LUNA16'


def convert(
    root: str | Path,
    out: str | Path,
    *,
    masks: str | Path | None = None,
    annotations: str | Path | None = None,
    excluded: str | Path | None = None,
    margin: float = LungRegion.margin,
    outside: str = LungRegion.outside,
    **run_options: Any,
) -> None:
    """Convert LUNA16 to ``luna16.json`` and volumes.

    Volumes of an earlier run are kept if their sources and options are unchanged.

    Args:
        root: The folder with ``subset0`` to ``subset9``.
        out: Folder for ``luna16.json`` and the volumes.
        masks: Folder of lung masks. Defaults to
            ``<root>/seg-lungs-LUNA16``.
        annotations: Defaults to ``<root>/annotations.csv``.
        excluded: Defaults to ``<root>/annotations_excluded.csv``.
        margin: mm that are kept around the lungs.
        outside: See :class:`~mmlesion.converters.lungs.LungRegion`.
        **run_options: Of :class:`~mmlesion.converters.base.Run`: workers, strict, allow_skipped.

    Raises:
        UserError: If the input cannot be used, or more is skipped than allowed.
    """
    region, run = LungRegion(margin, outside), Run(out, 'scan', **run_options)
    masks = Path(masks or Path(root, _MASKS))
    if not masks.is_dir():
        raise UserError(f'{masks} is not a folder: give that of the lung masks by --masks')
    lists = find_lists(root, annotations, excluded)
    cases = []
    for scan in find_luna16_scans(root):
        sources = scan.path, masks / f'{scan.uid}.mhd'
        cases.append(Case(scan.uid, sources, split=scan.fold))
    # Read before the long work too, so that a bad list is found at once.
    read_luna16_findings(*lists, out, [case.name for case in cases])
    convert_one = partial(convert_scan, out=out, region=region)
    made, skipped = run.convert(convert_one, cases, 'LUNA16')
    volumes = [{**made[case.name], 'fold': case.split} for case in cases if case.name in made]
    # Again, of the scans that could be used alone: findings[i] are those of volumes[i].
    findings = read_luna16_findings(*lists, out, [volume['series_uid'] for volume in volumes])
    run.write({}, skipped)
    preparation = {'lungs': asdict(region)}
    path = Path(out, 'luna16.json')
    write_annotations(path, volumes, findings, 'nodule', 'LUNA16', preparation)
    _report(volumes, findings)
    print_skipped(skipped)
    _warn(volumes, findings)
    run.check(len(skipped), len(cases))


def find_lists(
    root: str | Path, annotations: str | Path | None, excluded: str | Path | None
) -> tuple[Path, Path]:
    """Return LUNA16's lists of nodules and of ignored findings: the given ones, or its own."""
    return (
        Path(annotations or Path(root, 'annotations.csv')),
        Path(excluded or Path(root, 'annotations_excluded.csv')),
    )


def convert_scan(case: Case, out: str | Path, region: LungRegion) -> dict:
    """Make a scan's volume, if that is not done.

    Args:
        case: Its sources are the scan and the mask of its lungs.
        out: The converted dataset's folder.
        region: What is kept of the scan.

    Returns:
        dict: The volume's entry in the annotation file.

    Raises:
        UserError: If the scan cannot be used.
    """
    with naming(case.name):
        return store_volume(out, case.name, case.sources, region, partial(_cut, case, out, region))


def _cut(case: Case, out: str | Path, region: LungRegion) -> dict:
    """Cut a scan to its lungs, resample it to 1 mm and write it."""
    scan, mask = case.sources
    image = read_luna16_scan(scan)
    hu, grid = cut_to_lungs(image, read_lung_mask(mask, image), region)
    return write_volume(out, case.name, hu, grid)


def _report(volumes: Sequence[dict], findings: Sequence[list]) -> None:
    """Print how many scans, nodules and excluded findings each subset has."""
    # A row for each subset; the columns are those of the table but for the first.
    counts = np.zeros((SUBSETS, 3), int)
    for volume, found in zip(volumes, findings):
        excluded = sum(finding['ignore'] for finding in found)
        counts[volume['fold']] += (1, len(found) - excluded, excluded)
    table = np.column_stack([np.arange(SUBSETS), counts]).tolist()
    print(AsciiTable([['subset', 'scans', 'nodules', 'excluded']] + table).table)


def _warn(volumes: Sequence[dict], findings: Sequence[list]) -> None:
    """Warn about subsets without a scan, and nodules outside of the volumes."""
    missing = sorted(set(range(SUBSETS)) - {volume['fold'] for volume in volumes})
    if missing:
        print(f'warning: there is no scan of the subsets {missing}', file=sys.stderr)
    outside = sum(map(count_outside, volumes, findings))
    if outside:
        print(
            f'warning: {outside} nodules lie outside of the volumes and cannot be found; a larger '
            '--margin keeps more',
            file=sys.stderr,
        )


def count_outside(volume: dict, findings: Sequence[dict]) -> int:
    """Count the lesions, without the ignored, that have their center outside of a volume."""
    centers = [finding['center_mm'] for finding in findings if not finding['ignore']]
    return int((~Grid.from_annotation(volume).contains(centers)).sum())
