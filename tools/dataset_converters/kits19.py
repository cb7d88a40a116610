"""Convert KiTS19's volumes to slices and {train,val,test}.json, COCO with CT fields.

The schema is described in docs/datasets.md. A broken run goes on where it stopped.
"""

import argparse
import json
import os
import re
import sys
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple, Optional

import SimpleITK as sitk
from terminaltables import AsciiTable

from mmlesion.datasets.conversion import as_coco, convert_once, split_patients
from mmlesion.datasets.phantom.kits19_layout import TUMOUR
from mmlesion.datasets.volume_slices import SliceOptions, write_key_slices
from mmlesion.evaluation.functional import LESION_TYPES
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError, atomic_write, cli, run_parallel
from mmlesion.utils.volume_io import check_same_grid, read_ct, read_labels

_CASE = re.compile(r'case_(\d+)', re.ASCII)
_FILES = 'imaging.nii.gz', 'segmentation.nii.gz'
_LESION_TYPE = LESION_TYPES.index('kidney') + 1


class Done(NamedTuple):
    """A converted case: its images, or why there are none."""

    case: str
    images: list
    problem: Optional[str] = None


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', help="KiTS19's folder data, of case_00000 and so on")
    parser.add_argument('--out', required=True, help='folder for Images_png and the JSON files')
    parser.add_argument('--seed', type=int, default=0, help='of the split of the patients (0)')
    parser.add_argument(
        '--val-share',
        type=float,
        default=0.1,
        help='of all patients, taken from the 0.8 that are not for testing (0.1)',
    )
    parser.add_argument(
        '--min-area',
        type=float,
        default=SliceOptions.min_area,
        help='mm2 below which a region is marked to be ignored (10)',
    )
    parser.add_argument(
        '--context-mm',
        type=float,
        default=SliceOptions.context_mm,
        help='height of the slices kept above and below a tumour; nine at 2 mm need 8 (10)',
    )
    parser.add_argument(
        '--workers',
        type=int,
        default=os.cpu_count() or 1,
        help='processes, each with a whole volume in memory (one a core)',
    )
    parser.add_argument(
        '--strict', action='store_true', help='stop at the first case that cannot be used'
    )
    return parser.parse_args()


@cli
def main():
    args = parse_args()
    if not 0 <= args.val_share <= 0.8:
        raise UserError(f'--val-share is {args.val_share}: give 0 to 0.8')
    options = SliceOptions(min_area=args.min_area, context_mm=args.context_mm)
    cases, unsegmented = find_cases(args.root)
    convert = partial(convert_case, out=Path(args.out), options=options, strict=args.strict)
    done = {
        result.case: result
        for result in run_parallel(convert, cases, args.workers, 'KiTS19', 'case')
    }
    splits = split_patients([case.name for case in cases], args.seed, args.val_share)
    converted = {
        split: as_coco(
            [image for name in names for image in done[name].images],
            ('lesion',),
            {'description': f'KiTS19, {split} split', 'seed': args.seed},
        )
        for split, names in splits.items()
    }
    problems = [result.problem for result in done.values() if result.problem]
    write(args.out, converted, problems)
    report(splits, converted, problems, done, unsegmented)


def find_cases(root):
    """Find the cases with a segmentation.

    Returns:
        tuple[list[Path], int]: Their folders, and how many there are without.

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
    return cases, len(folders) - len(cases)


def convert_case(folder, out, options, strict=False):
    """Write a case's slices, and describe them.

    Args:
        folder (Path): Of imaging and segmentation.
        out (Path): Of the data set.
        options (SliceOptions): Which slices and regions.
        strict (bool): Whether a case that cannot be used is an error.

    Returns:
        Done: With its images, or the problem.
    """
    sources = [folder / name for name in _FILES]
    try:
        if not sources[0].exists():
            raise UserError(f"there is no {sources[0]}: fetch it with KiTS19's get_imaging")
        images = convert_once(
            out / 'cases' / f'{folder.name}.json',
            sources,
            options,
            lambda: slice_case(*sources, out / 'Images_png' / folder.name, options),
        )
    except UserError as error:
        if strict:
            raise UserError(f'{error}. Without --strict such cases are skipped') from None
        return Done(folder.name, [], str(error))
    return Done(folder.name, images)


def slice_case(imaging, segmentation, folder, options):
    """Write the slices of a case with tumours to ``folder``, and describe them.

    Raises:
        UserError: If a volume cannot be read, or the two do not belong together.
    """
    scan, labels = read_ct(imaging), read_labels(segmentation)
    check_same_grid(scan, labels, f'{imaging} and {segmentation.name}')
    if (highest := sitk.GetArrayViewFromImage(labels).max()) > TUMOUR:
        raise UserError(f'{segmentation} has the label {highest}, but KiTS19 has only 0, 1 and 2')
    if scan.GetPixelID() in (sitk.sitkFloat32, sitk.sitkFloat64):  # KiTS19 has whole HU as float64
        scan = sitk.Cast(sitk.Round(scan), sitk.sitkInt16)
    tumours = CTVolume(labels).array == TUMOUR
    images = write_key_slices(CTVolume(scan), tumours, folder, options)
    patient = int(_CASE.fullmatch(folder.name)[1])
    for image in images:
        image.update(patient_id=patient, study_id=1, series_id=1)
        for annotation in image['annotations']:
            annotation.update(category_id=1, lesion_type=_LESION_TYPE)
    return images


def write(out, converted, problems):
    """Write all files or, if one fails, none; ``skipped.txt`` names every skipped case."""
    out = Path(out)
    files = {f'{split}.json': json.dumps(coco) for split, coco in converted.items()}
    if problems:
        files['skipped.txt'] = ''.join(f'{problem}\n' for problem in problems)
    with ExitStack() as stack:
        for name, text in files.items():
            stack.enter_context(atomic_write(out / name)).write_text(text, encoding='utf-8')
    if not problems:
        (out / 'skipped.txt').unlink(missing_ok=True)


def report(splits, converted, problems, done, unsegmented):
    """Print what was skipped and why, and what is in the files."""
    for problem in problems:
        print(f'skipped: {problem}', file=sys.stderr)
    rows = [['split', 'patients', 'images', 'tumour regions', 'ignored regions']]
    for split, coco in converted.items():
        ignored = sum(annotation['ignore'] for annotation in coco['annotations'])
        patients = len({image['patient_id'] for image in coco['images']})
        found = len(coco['annotations']) - ignored
        rows.append([split, patients, len(coco['images']), found, ignored])
    print(AsciiTable(rows).table)
    left_out = Counter({'without a segmentation': unsegmented, 'unusable': len(problems)})
    left_out['without a tumour'] = sum(not (one.images or one.problem) for one in done.values())
    rows = [['left out', 'cases'], *((+left_out).items())]
    print(AsciiTable(rows).table if len(rows) > 1 else 'No case was left out.')
    for split, coco in converted.items():
        if not coco['images']:
            print(f'warning: {split}.json has no image', file=sys.stderr)


if __name__ == '__main__':
    main()
