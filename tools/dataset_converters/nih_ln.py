"""Convert NIH-LN, TCIA's CT Lymph Nodes, to slices and {train,val}.json, COCO with CT fields.

Every slice is an image, with lymph nodes or without. A patient's mask is taken or, where there is
none, the list of centres and sizes. The schema is described in docs/datasets.md. A broken run goes
on where it stopped.
"""

import argparse
import re
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from mmlesion.datasets.slice_conversion import (
    Benchmark,
    SliceCase,
    add_slice_options,
    convert_benchmark,
    identify,
    lay_on,
    read_scan,
)
from mmlesion.datasets.volume_slices import (
    SliceOptions,
    sphere_regions,
    write_key_slices,
    write_slices,
)
from mmlesion.evaluation.functional import LESION_TYPES
from mmlesion.io.ct import read_labels
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError, cli

_PATIENT = re.compile(r'(ABD|MED)_LYMPH_\d+', re.ASCII)
_REGIONS = {'ABD': 'abdomen', 'MED': 'mediastinum'}
_MASKS, _MARKERS = 'MED_ABD_LYMPH_MASKS', 'MED_ABD_LYMPH_ANNOTATIONS'


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', help="folder with the patients' DICOM series, however deep")
    add_slice_options(parser)
    parser.add_argument('--masks', help=f'the folder of masks (<root>/{_MASKS})')
    parser.add_argument(
        '--markers', help=f'the folder of lists of centres and sizes (<root>/{_MARKERS})'
    )
    return parser.parse_args()


@cli
def main():
    args = parse_args()
    masks = Path(args.masks or Path(args.root, _MASKS))
    markers = Path(args.markers or Path(args.root, _MARKERS))
    cases = find_cases(args.root, masks, markers)
    options = SliceOptions(min_area=args.min_area, every_slice=True)
    convert_benchmark(args, Benchmark('NIH-LN', slice_case), cases, options)


def find_cases(root, masks, markers):
    """Find the patients with DICOM series.

    Args:
        root (str | Path): The patients' folders are in it, or up to three levels below.
        masks (Path): Has ``<patient>/<patient>_mask.nii.gz``.
        markers (Path): Has ``<patient>/<patient>_lymphnodes_physicalPoints.txt`` and ``_sizes``.

    Returns:
        list[SliceCase]: Their sources are the DICOM files and, last, the mask or the two lists.

    Raises:
        UserError: If there is no patient.
    """
    cases = {}
    for depth in ('', '*/', '*/*/', '*/*/*/'):
        for patient in sorted(Path(root).glob(f'{depth}*_LYMPH_*')):
            if _PATIENT.fullmatch(patient.name) and (slices := find_slices(patient)):
                marks = find_annotation(patient.name, masks, markers)
                cases[patient.name] = SliceCase(patient.name, (*slices, *marks))
    if not cases:
        raise UserError(
            f'{root} has no folder ABD_LYMPH_001, MED_LYMPH_001 and so on with DICOM slices: give '
            "that of the NBIA Data Retriever's download"
        )
    return [cases[name] for name in sorted(cases)]


def find_slices(patient):
    """The DICOM slices of a patient; a segmentation in DICOM, a single file, is left out."""
    series = {}
    for path in sorted(patient.rglob('*.dcm')):
        series.setdefault(path.parent, []).append(path)
    return [path for paths in series.values() if len(paths) > 1 for path in paths]


def find_annotation(name, masks, markers):
    """The patient's mask or, if there is none, its lists of centres and of sizes."""
    mask = masks / name / f'{name}_mask.nii.gz'
    lists = [
        markers / name / f'{name}_lymphnodes_{kind}.txt' for kind in ('physicalPoints', 'sizes')
    ]
    return lists if lists[0].is_file() and not mask.is_file() else [mask]


def slice_case(case, folder, options):
    """Write all slices of a scan to ``folder``, and describe them.

    Raises:
        UserError: If the scan or its annotation cannot be read, or they do not belong together.
    """
    series = {path.parent for path in case.sources if path.suffix == '.dcm'}
    if len(series) > 1:
        raise UserError(f'{case.name} has several series: {", ".join(map(str, sorted(series)))}')
    scan = read_scan(series.pop())
    volume = CTVolume(scan)
    if case.sources[-1].suffix == '.txt':
        findings = read_markers(*case.sources[-2:], volume.grid)
        regions = sphere_regions(findings, volume.grid, options.min_area)
        images = write_slices(volume, regions, folder, options)
    else:
        nodes = CTVolume(read_mask(case.sources[-1], scan)).array
        images = write_key_slices(volume, nodes, folder, options)
    region = _REGIONS[case.name.split('_')[0]]
    return identify(images, LESION_TYPES.index(region) + 1, patient_id=case.name)


def read_mask(path, scan):
    """A mask with a label for each lymph node, in the place of its scan.

    Its axes are taken to the scan's; its origin and spacing are not looked at.
    """
    labels = read_labels(path)
    orientation = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(
        scan.GetDirection()
    )
    labels = sitk.DICOMOrient(labels, orientation)
    lay_on(labels, scan, f'{path} and its scan')
    return labels


def read_markers(points, sizes, grid):
    """Lymph nodes as spheres.

    Args:
        points (Path): x, y, z of a centre in a line, world mm, LPS.
        sizes (Path): Diameters in mm, a line each: the shortest or, in the abdomen, the longest and
            the shortest. The longest one there is is the sphere's.
        grid (Grid): The scan's.

    Returns:
        list[dict]: ``center_mm``, ``diameter_mm``, ``ignore``.

    Raises:
        UserError: If a line is none of these, their numbers differ, or a centre is not in the scan.
    """
    centers, diameters = read_lines(points), [max(line) for line in read_lines(sizes)]
    if len(centers) != len(diameters) or any(len(center) != 3 for center in centers):
        raise UserError(f'{points} and {sizes.name} do not have three numbers and a size per line')
    if not grid.contains(centers).all():
        raise UserError(f'{points} has a point outside of its scan: give the lists of this scan')
    return [
        {'center_mm': center, 'diameter_mm': diameter, 'ignore': 0}
        for center, diameter in zip(centers, diameters)
    ]


def read_lines(path):
    """The numbers of each line that is not blank."""
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
        rows = [[float(number) for number in line.replace(',', ' ').split()] for line in lines]
    except (OSError, ValueError) as error:
        raise UserError(f'{path} is not a list of numbers ({error})') from None
    rows = [row for row in rows if row]
    if not all(np.isfinite(number) for row in rows for number in row):
        raise UserError(f'{path} has a number that is not finite')
    return rows


if __name__ == '__main__':
    main()
