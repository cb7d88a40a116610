"""Convert KiTS19's volumes to slices and {train,val,test}.json, COCO with CT fields.

The schema is described in docs/datasets.md. A broken run goes on where it stopped.
"""

import argparse
import re
from pathlib import Path

from mmlesion.datasets.slice_conversion import (
    Benchmark,
    SliceCase,
    add_slice_options,
    check_labels,
    convert_benchmark,
    identify,
    read_scan,
)
from mmlesion.datasets.volume_slices import SliceOptions, write_key_slices
from mmlesion.evaluation.functional import LESION_TYPES
from mmlesion.io.ct import check_same_grid, read_labels
from mmlesion.io.segmentation_labels import KITS19_TUMOR
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError, cli

_CASE = re.compile(r'case_(\d+)', re.ASCII)
_FILES = 'imaging.nii.gz', 'segmentation.nii.gz'
_LESION_TYPE = LESION_TYPES.index('kidney') + 1
_TEST_SHARE = 0.2  # ElixirNet


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', help="KiTS19's folder data, of case_00000 and so on")
    add_slice_options(parser, val_share=0.1)
    parser.add_argument(
        '--context-mm',
        type=float,
        default=SliceOptions.context_mm,
        help='height of the slices kept above and below a tumour; nine at 2 mm need 8 (10)',
    )
    return parser.parse_args()


@cli
def main():
    args = parse_args()
    options = SliceOptions(min_area=args.min_area, context_mm=args.context_mm)
    cases, unsegmented = find_cases(args.root)
    missing = "fetch it with KiTS19's get_imaging"
    benchmark = Benchmark('KiTS19', slice_case, _TEST_SHARE, missing)
    convert_benchmark(args, benchmark, cases, options, {'without a segmentation': unsegmented})


def find_cases(root):
    """Find the cases with a segmentation.

    Returns:
        tuple[list[SliceCase], int]: They, and how many there are without.

    Raises:
        UserError: If there is no folder, or no case with a segmentation in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: give KiTS19's folder data")
    folders = sorted(path for path in root.iterdir() if _CASE.fullmatch(path.name))
    cases = [folder for folder in folders if (folder / _FILES[1]).exists()]
    if not cases:
        raise UserError(
            f"{root} has no case_*/{_FILES[1]}: give KiTS19's folder data, in which case_00000 lies"
        )
    cases = [SliceCase(case.name, tuple(case / name for name in _FILES)) for case in cases]
    return cases, len(folders) - len(cases)


def slice_case(case, folder, options):
    """Write the slices of a case with tumours to ``folder``, and describe them.

    Raises:
        UserError: If a volume cannot be read, or the two do not belong together.
    """
    imaging, segmentation = case.sources
    scan, labels = read_scan(imaging), read_labels(segmentation)
    check_same_grid(scan, labels, f'{imaging} and {segmentation.name}')
    check_labels(labels, KITS19_TUMOR, segmentation)
    tumours = CTVolume(labels).array == KITS19_TUMOR
    images = write_key_slices(CTVolume(scan), tumours, folder, options)
    return identify(images, _LESION_TYPE, patient_id=int(_CASE.fullmatch(case.name)[1]))


if __name__ == '__main__':
    main()
