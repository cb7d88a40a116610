"""Convert NIH-LN, TCIA's CT Lymph Nodes, to slices, with lymph nodes or without."""

from __future__ import annotations

import math
import re
from itertools import chain
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from mmlesion.io.ct import read_labels
from mmlesion.io.schema import LESION_TYPES
from mmlesion.structures import Grid
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError

from .base import Case, SplitRun
from .regions import SliceOptions, lesion_regions, sphere_regions, write_slices
from .slices import SliceConverter, copy_geometry, read_scan, set_case_fields

_PATIENT = re.compile(r'(ABD|MED)_LYMPH_\d+', re.ASCII)
_REGIONS = {'ABD': 'abdomen', 'MED': 'mediastinum'}
_MASKS, _MARKERS = 'MED_ABD_LYMPH_MASKS', 'MED_ABD_LYMPH_ANNOTATIONS'


def convert(
    root: str | Path,
    out: str | Path,
    *,
    masks: str | Path | None = None,
    markers: str | Path | None = None,
    min_area: float = SliceOptions.min_area,
    **run_options: Any,
) -> dict[str, dict]:
    """Convert NIH-LN to ``{train,val}.json`` and slices, all of them.

    A patient's mask is taken or, where there is none, the list of centers and sizes.

    Args:
        root: Folder with the patients' DICOM series, however deep.
        out: Folder for ``Images_png`` and the JSON files.
        masks: Defaults to ``<root>/MED_ABD_LYMPH_MASKS``.
        markers: Folder of the lists. Defaults to
            ``<root>/MED_ABD_LYMPH_ANNOTATIONS``.
        min_area: mm² below which a region is ignored.
        **run_options: Of :class:`~mmlesion.converters.base.SplitRun`: seed, val_share, test_share,
            workers, strict, allow_skipped.

    Returns:
        dict[str, dict]: COCO content by file name.

    Raises:
        UserError: If the input cannot be used, or more is skipped than allowed.
    """
    cases = find_cases(
        root, Path(masks or Path(root, _MASKS)), Path(markers or Path(root, _MARKERS))
    )
    options = SliceOptions(min_area=min_area, every_slice=True)
    converter = SliceConverter('NIH-LN', slice_case)
    return converter.convert(cases, options, SplitRun(out, **run_options))


def find_cases(root: str | Path, masks: Path, markers: Path) -> list[Case]:
    """Find the patients with DICOM series.

    Args:
        root: The patients' folders are in it, or up to three levels below.
        masks: Has ``<patient>/<patient>_mask.nii.gz``.
        markers: Has ``<patient>/<patient>_lymphnodes_physicalPoints.txt`` and ``_sizes``.

    Returns:
        list[Case]: Their sources are the DICOM files and, last, the mask or the two lists.

    Raises:
        UserError: If there is no patient.
    """
    cases = {}
    # Folders at several depths: releases of the download differ in how deep patients lie.
    for depth in ('', '*/', '*/*/', '*/*/*/'):
        for patient in sorted(Path(root).glob(f'{depth}*_LYMPH_*')):
            if _PATIENT.fullmatch(patient.name) and (slices := find_slices(patient)):
                marks = find_annotation(patient.name, masks, markers)
                cases[patient.name] = Case(patient.name, tuple(slices + marks))
    if not cases:
        raise UserError(
            f'{root} has no folder ABD_LYMPH_001, MED_LYMPH_001 and so on with DICOM slices: give '
            "that of the NBIA Data Retriever's download"
        )
    return [cases[name] for name in sorted(cases)]


def find_slices(patient: Path) -> list[Path]:
    """Find the DICOM slices of a patient; a segmentation in DICOM, a single file, is left out."""
    series: dict[Path, list[Path]] = {}
    for path in sorted(patient.rglob('*.dcm')):
        series.setdefault(path.parent, []).append(path)
    slices: list[Path] = []
    for paths in series.values():
        if len(paths) > 1:
            slices += paths
    return slices


def find_annotation(name: str, masks: Path, markers: Path) -> list[Path]:
    """Find the patient's mask or, if there is none, its lists of centers and of sizes."""
    # Without both, the mask that is missing is named when the case is converted.
    mask = masks / name / f'{name}_mask.nii.gz'
    points = markers / name / f'{name}_lymphnodes_physicalPoints.txt'
    sizes = markers / name / f'{name}_lymphnodes_sizes.txt'
    return [points, sizes] if points.is_file() and not mask.is_file() else [mask]


def slice_case(case: Case, folder: Path, options: SliceOptions) -> list[dict]:
    """Write all slices of a scan to ``folder``, and describe them.

    Raises:
        UserError: If the scan or its annotation cannot be read, or they do not belong together.
    """
    # Sources are DICOM files and, last, the annotation: a mask, or the lists in text.
    series = {path.parent for path in case.sources if path.suffix == '.dcm'}
    if len(series) > 1:
        raise UserError(f'{case.name} has several series: {", ".join(map(str, sorted(series)))}')
    scan = read_scan(series.pop())
    volume = CTVolume(scan)
    if case.sources[-1].suffix == '.txt':
        points, sizes = case.sources[-2:]
        findings = read_markers(points, sizes, volume.grid)
        regions = sphere_regions(findings, volume.grid, options.min_area)
    else:
        mask = read_mask(case.sources[-1], scan)
        nodes = volume.oriented(sitk.GetArrayFromImage(mask))
        regions = lesion_regions(nodes, volume.spacing[:2], options.min_area)
    images = write_slices(volume, regions, folder, options)
    region = _REGIONS[case.name.split('_')[0]]
    return set_case_fields(images, LESION_TYPES.index(region) + 1, patient_id=case.name)


def read_mask(path: Path, scan: sitk.Image) -> sitk.Image:
    """Read a mask with a label for each lymph node, with the geometry of its scan.

    Its axes are flipped to those of the scan; its own origin and spacing are not used.
    """
    labels = read_labels(path)
    orientation = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(
        scan.GetDirection()
    )
    labels = sitk.DICOMOrient(labels, orientation)
    copy_geometry(scan, labels, f'{path} and its scan')
    return labels


def read_markers(points: Path, sizes: Path, grid: Grid) -> list[dict]:
    """Read lymph nodes as spheres.

    Args:
        points: x, y, z of a center in a line, world mm, LPS.
        sizes: Diameters in mm, a line each: the shortest or, in the abdomen, the longest and
            the shortest. The longest one there is is the sphere's.
        grid: The scan's.

    Returns:
        list[dict]: ``center_mm``, ``diameter_mm``, ``ignore``.

    Raises:
        UserError: If a line is none of these, their numbers differ, or a center is not in the scan.
    """
    centers, diameters = read_lines(points), list(map(max, read_lines(sizes)))
    if len(centers) != len(diameters) or set(map(len, centers)) - {3}:
        raise UserError(f'{points} and {sizes.name} do not have three numbers and a size per line')
    if min(diameters, default=1.0) <= 0:
        raise UserError(f'{sizes} has a size that is not positive: give diameters in mm')
    if not grid.contains(centers).all():
        raise UserError(f'{points} has a point outside of its scan: give the lists of this scan')
    findings = []
    for center, diameter in zip(centers, diameters):
        findings.append({'center_mm': center, 'diameter_mm': diameter, 'ignore': 0})
    return findings


def read_lines(path: Path) -> list[list[float]]:
    """Read the numbers of each line that is not blank."""
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
        # numbers are parted by blanks, in some of the lists by commas
        rows = [list(map(float, line.replace(',', ' ').split())) for line in lines]
    except (OSError, ValueError) as error:
        raise UserError(f'{path} is not a list of numbers ({error})') from None
    if not all(map(math.isfinite, chain.from_iterable(rows))):
        raise UserError(f'{path} has a number that is not finite')
    return list(filter(None, rows))
