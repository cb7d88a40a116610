"""Convert LiTS' volumes to slices and {train,val}.json, COCO with CT fields.

Every slice is an image, with tumours or without. The schema is described in docs/datasets.md. A
broken run goes on where it stopped.
"""

import argparse
import re
import sys
from pathlib import Path

from mmlesion.datasets.slice_conversion import (
    Benchmark,
    SliceCase,
    add_slice_options,
    check_labels,
    convert_benchmark,
    identify,
    lay_on,
    read_scan,
)
from mmlesion.datasets.volume_slices import SliceOptions, write_key_slices
from mmlesion.evaluation.functional import LESION_TYPES
from mmlesion.io.ct import read_labels
from mmlesion.io.segmentation_labels import LITS_TUMOR
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError, cli

_VOLUME = re.compile(r'volume-(\d+)(\.nii(?:\.gz)?)', re.ASCII)
_LESION_TYPE = LESION_TYPES.index('liver') + 1


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'root', help='folder with volume-*.nii and segmentation-*.nii, or of their folders'
    )
    add_slice_options(parser)
    return parser.parse_args()


@cli
def main():
    args = parse_args()
    cases, unsegmented = find_cases(args.root)
    options = SliceOptions(min_area=args.min_area, every_slice=True)
    benchmark = Benchmark('LiTS', slice_case, warn=warn_of_placeholders)
    left_out = {'without a segmentation': unsegmented}
    convert_benchmark(args, benchmark, cases, options, left_out)


def find_cases(root):
    """Find the volumes with a segmentation, in ``root`` and the folders below.

    Returns:
        tuple[list[SliceCase], int]: They, by number, and how many there are without.

    Raises:
        UserError: If there is no folder, none with a segmentation in it, or a volume twice.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f'{root} is not a folder: give that of volume-*.nii')
    volumes = {}
    for path in sorted(root.rglob('volume-*.nii*')):
        if match := _VOLUME.fullmatch(path.name):
            if int(match[1]) in volumes:
                raise UserError(f'{path} and {volumes[int(match[1])][0]} have one number')
            volumes[int(match[1])] = path, find_segmentation(root, *match.groups())
    cases = [
        SliceCase(f'volume-{number}', pair) for number, pair in sorted(volumes.items()) if pair[1]
    ]
    if not cases:
        raise UserError(
            f'{root} has no volume-*.nii with a segmentation-*.nii: unpack LiTS training batches '
            'there'
        )
    return cases, len(volumes) - len(cases)


def find_segmentation(root, number, suffix):
    """The segmentation of a volume; the training batches were published apart from each other."""
    return next(root.rglob(f'segmentation-{number}{suffix}'), None)


def slice_case(case, folder, options):
    """Write all slices of a volume to ``folder``, and describe them.

    Headers of volumes and segmentations differ in LiTS, so that the latter's is not looked at.

    Raises:
        UserError: If a volume cannot be read, or the two do not belong together.
    """
    volume, segmentation = case.sources
    scan, labels = read_scan(volume), read_labels(segmentation)
    lay_on(labels, scan, f'{volume} and {segmentation.name}')
    check_labels(labels, LITS_TUMOR, segmentation)
    tumours = CTVolume(labels).array == LITS_TUMOR
    images = write_key_slices(CTVolume(scan), tumours, folder, options)
    return identify(images, _LESION_TYPE, patient_id=int(_VOLUME.fullmatch(volume.name)[1]))


def warn_of_placeholders(converted):
    """Say which volumes have voxels of 1 mm, as LiTS has 20 whose header is a placeholder."""
    cubes = [
        one.case
        for one in converted
        if one.images
        and [*one.images[0]['spacing'], one.images[0]['slice_interval']] == [1.0, 1.0, 1.0]
    ]
    if cubes:
        print(
            f'warning: {len(cubes)} volumes have voxels of 1 mm in all directions, which in LiTS '
            f'stands for an unknown size and orientation ({", ".join(cubes)}): correct their '
            'headers or take them out',
            file=sys.stderr,
        )


if __name__ == '__main__':
    main()
