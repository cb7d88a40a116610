"""Convert LUNA16's scans to slices, with nodules or without."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

from mmlesion.io.luna16 import find_luna16_scans, read_luna16_findings, read_luna16_scan
from mmlesion.io.schema import LESION_TYPES
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError

from .base import Case, SplitRun
from .luna16 import find_lists
from .regions import SliceOptions, sphere_regions, write_slices
from .slices import SliceConverter, set_case_fields

_LESION_TYPE = LESION_TYPES.index('lung') + 1
_LUNG_WINDOW = (-1500.0, 500.0)  # HU, DeepLesion's for the lungs
# LUNA16's smallest nodules have 3 mm, a section of 7 mm2 at most.
_MIN_AREA = 3.0


def convert(
    root: str | Path,
    out: str | Path,
    *,
    annotations: str | Path | None = None,
    excluded: str | Path | None = None,
    min_area: float = _MIN_AREA,
    **run_options: Any,
) -> dict[str, dict]:
    """Convert LUNA16 to ``{train,val}.json`` and slices, all of them.

    A nodule has a box on each slice that its sphere cuts.

    Args:
        root: The folder with ``subset0`` to ``subset9``.
        out: Folder for ``Images_png`` and the JSON files.
        annotations: Defaults to ``<root>/annotations.csv``.
        excluded: Defaults to ``<root>/annotations_excluded.csv``.
        min_area: mm² below which a section is ignored.
        **run_options: Of :class:`~mmlesion.converters.base.SplitRun`: seed, val_share, test_share,
            workers, strict, allow_skipped.

    Returns:
        dict[str, dict]: COCO content by file name.

    Raises:
        UserError: If the input cannot be used, or more is skipped than allowed.
    """
    lists = find_lists(root, annotations, excluded)
    scans = find_luna16_scans(root)
    findings = read_luna16_findings(*lists, out, [scan.uid for scan in scans])
    cases = []
    for scan, found in zip(scans, findings):
        # a change of a list makes the scan's slices anew too
        cases.append(Case(scan.uid, (scan.path, *lists), tuple(found)))
    options = SliceOptions(min_area=min_area, every_slice=True)
    converter = SliceConverter('LUNA16', slice_case)
    return converter.convert(cases, options, SplitRun(out, **run_options))


def slice_case(case: Case, folder: Path, options: SliceOptions) -> list[dict]:
    """Write all slices of a scan to ``folder``, and describe them.

    Raises:
        UserError: If the scan cannot be read, or a nodule lies outside of it.
    """
    volume = CTVolume(read_luna16_scan(case.sources[0]))
    regions = sphere_regions(case.findings, volume.grid, options.min_area)
    # A region's lesion_id is the number of its finding, from 1.
    lost = {number for number, one in enumerate(case.findings, 1) if not one['ignore']}
    lost -= {region['lesion_id'] for region in chain.from_iterable(regions.values())}
    if lost:
        raise UserError(f'{len(lost)} nodules of {case.name} lie outside of the scan')
    images = write_slices(volume, regions, folder, options, _LUNG_WINDOW)
    return set_case_fields(images, _LESION_TYPE, patient_id=case.name)
