"""Convert LUNA16's scans to slices and {train,val}.json, COCO with CT fields.

Every slice is an image, with nodules or without; a nodule has a box on each slice that its sphere
cuts. The schema is described in docs/datasets.md. A broken run goes on where it stopped.
"""

import argparse
from pathlib import Path

from mmlesion.datasets.slice_conversion import (
    Benchmark,
    SliceCase,
    add_slice_options,
    convert_benchmark,
    identify,
)
from mmlesion.datasets.volume_slices import SliceOptions, sphere_regions, write_slices
from mmlesion.io.luna16 import find_luna16_scans, read_luna16_findings, read_luna16_scan
from mmlesion.io.schema import LESION_TYPES
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError, cli

_LESION_TYPE = LESION_TYPES.index('lung') + 1
_LUNG_WINDOW = [-1500.0, 500.0]  # HU, DeepLesion's for the lungs
# LUNA16's smallest nodules have 3 mm, a section of 7 mm2 at most.
_MIN_AREA = 3.0


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', help='the folder with subset0 to subset9')
    add_slice_options(parser, min_area=_MIN_AREA)
    parser.add_argument('--annotations', help='(<root>/annotations.csv)')
    parser.add_argument('--excluded', help='(<root>/annotations_excluded.csv)')
    args = parser.parse_args()
    args.annotations = args.annotations or Path(args.root, 'annotations.csv')
    args.excluded = args.excluded or Path(args.root, 'annotations_excluded.csv')
    return args


@cli
def main():
    args = parse_args()
    scans = find_luna16_scans(args.root)
    lists = Path(args.annotations), Path(args.excluded)
    findings = read_luna16_findings(*lists, args.out, [scan.uid for scan in scans])
    cases = [
        SliceCase(scan.uid, (scan.path, *lists), tuple(found))
        for scan, found in zip(scans, findings)
    ]
    options = SliceOptions(min_area=args.min_area, every_slice=True)
    convert_benchmark(args, Benchmark('LUNA16', slice_case), cases, options)


def slice_case(case, folder, options):
    """Write all slices of a scan to ``folder``, and describe them.

    Raises:
        UserError: If the scan cannot be read, or a nodule lies outside of it.
    """
    volume = CTVolume(read_luna16_scan(case.sources[0]))
    regions = sphere_regions(case.findings, volume.grid, options.min_area)
    found = {region['lesion_id'] for listed in regions.values() for region in listed}
    lost = [n for n, f in enumerate(case.findings, 1) if n not in found and not f['ignore']]
    if lost:
        raise UserError(f'{len(lost)} nodules of {case.name} lie outside of the scan')
    images = write_slices(volume, regions, folder, options)
    return identify(images, _LESION_TYPE, patient_id=case.name, windows=[_LUNG_WINDOW])


if __name__ == '__main__':
    main()
