"""What converters of volumes to slices share: options, conversion, splits, files and report."""

import json
import os
import sys
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Callable, NamedTuple, Optional

import SimpleITK as sitk
from terminaltables import AsciiTable

from mmlesion.io.atomic import atomic_write
from mmlesion.io.ct import read_ct
from mmlesion.utils import UserError, run_parallel

from .conversion import (
    add_skip_options,
    as_coco,
    check_skipped,
    convert_once,
    split_patients,
)
from .volume_slices import SliceOptions


class SliceCase(NamedTuple):
    """A patient's scan to convert.

    Args:
        name (str): Of the folder of its slices.
        sources (tuple[Path]): The files that it is made of.
        findings (Sequence[dict]): Its lesions, where a list for all scans has them.
    """

    name: str
    sources: tuple
    findings: tuple = ()


class Converted(NamedTuple):
    """A converted case: its images, or why there are none."""

    case: str
    images: list
    problem: Optional[str] = None


class Benchmark(NamedTuple):
    """How a benchmark is converted.

    Args:
        name (str): For what is printed.
        slice_case (Callable): Takes a case, the folder of its slices and the options; returns what
            :func:`~mmlesion.datasets.volume_slices.write_slices` does.
        test_share (float): Of the patients; 0 leaves ``test.json`` out.
        missing (str): What to do where a source is missing.
        warn (Callable, optional): Takes the list of :class:`Converted`, to print warnings.
    """

    name: str
    slice_case: Callable
    test_share: float = 0.0
    missing: str = 'download it again'
    warn: Optional[Callable] = None


def add_slice_options(parser, val_share=0.2, min_area=SliceOptions.min_area):
    """Add the options that :func:`convert_benchmark` takes to an ``ArgumentParser``."""
    parser.add_argument('--out', required=True, help='folder for Images_png and the JSON files')
    parser.add_argument('--seed', type=int, default=0, help='of the split of the patients (0)')
    parser.add_argument(
        '--val-share',
        type=float,
        default=val_share,
        help=f'of all patients, for validation ({val_share})',
    )
    parser.add_argument(
        '--min-area',
        type=float,
        default=min_area,
        help=f'mm2 below which a region is marked to be ignored ({min_area:g})',
    )
    parser.add_argument(
        '--workers',
        type=int,
        default=os.cpu_count() or 1,
        help='processes, each with a whole volume in memory (one a core)',
    )
    add_skip_options(parser, 'case')


def convert_benchmark(args, benchmark, cases, options, left_out=None):
    """Convert all cases, and write ``{train,val,test}.json``, all or none.

    Cases that an earlier run has made of the same files and options are kept.

    Args:
        args (Namespace): Of :func:`add_slice_options`.
        benchmark (Benchmark): How.
        cases (list[SliceCase]): The cases, one a patient.
        options (SliceOptions): Which slices and regions.
        left_out (dict[str, int], optional): Why, and how many cases were not listed.

    Raises:
        UserError: If an option makes no sense, or no case can be used; with ``--strict`` at the
            first that cannot. If more cannot be used than ``--allow-skipped`` says, when all else
            has been written.
    """
    if not 0 <= args.val_share <= 1 - benchmark.test_share:
        raise UserError(
            f'--val-share is {args.val_share}: give 0 to {1 - benchmark.test_share:.2g}'
        )
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # as there are several processes
    convert = partial(
        _convert_case, benchmark=benchmark, out=Path(args.out), options=options, strict=args.strict
    )
    done = run_parallel(convert, cases, args.workers, benchmark.name, 'case', resumable=True)
    problems = [one.problem for one in done if one.problem]
    if len(problems) == len(cases):
        raise UserError(f'no case can be used; the first: {problems[0]}')
    images = {one.case: one.images for one in done}
    splits = split_patients(images, args.seed, args.val_share, benchmark.test_share)
    if not benchmark.test_share:
        del splits['test']
    converted = {
        split: as_coco(
            [image for name in names for image in images[name]],
            ('lesion',),
            {'description': f'{benchmark.name}, {split} split', 'seed': args.seed},
        )
        for split, names in splits.items()
    }
    _write(args.out, converted, problems)
    left_out = Counter({**(left_out or {}), 'unusable': len(problems)})
    left_out['without a lesion'] = sum(not (one.images or one.problem) for one in done)
    _report(converted, problems, left_out)
    if benchmark.warn is not None:
        benchmark.warn(done)
    skipped = Path(args.out, 'skipped.txt')
    check_skipped(len(problems), len(cases), args.allow_skipped, 'case', skipped)


def _convert_case(case, benchmark, out, options, strict):
    try:
        for source in case.sources:
            if not source.is_file():
                raise UserError(f'there is no {source}: {benchmark.missing}')
        images = convert_once(
            out / 'cases' / f'{case.name}.json',
            case.sources,
            options,
            lambda: benchmark.slice_case(case, out / 'Images_png' / case.name, options),
        )
    except UserError as error:
        if strict:
            raise UserError(f'{error}. Without --strict such cases are skipped') from None
        return Converted(case.name, [], str(error))
    return Converted(case.name, images)


def _write(out, converted, problems):
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


def _report(converted, problems, left_out):
    """Print what was skipped and why, and what is in the files."""
    for problem in problems:
        print(f'skipped: {problem}', file=sys.stderr)
    rows = [['split', 'patients', 'images', 'with lesions', 'lesion regions', 'ignored regions']]
    for split, coco in converted.items():
        targets = [ann['image_id'] for ann in coco['annotations'] if not ann['ignore']]
        patients = len({image['patient_id'] for image in coco['images']})
        counts = (len(coco['images']), len(set(targets)), len(targets))
        rows.append([split, patients, *counts, len(coco['annotations']) - len(targets)])
    print(AsciiTable(rows).table)
    rows = [['left out', 'cases'], *((+left_out).items())]
    print(AsciiTable(rows).table if len(rows) > 1 else 'No case was left out.')
    for split, coco in converted.items():
        if not coco['images']:
            print(f'warning: {split}.json has no image', file=sys.stderr)


def identify(images, lesion_type, **ids):
    """Add what a benchmark knows of all its slices.

    Args:
        images (list[dict]): What ``write_slices`` returned; it is changed.
        lesion_type (int): DeepLesion's coarse type, or -1.
        **ids: Fields of the images, such as ``patient_id``.

    Returns:
        list[dict]: The same.
    """
    for image in images:
        image.update({'study_id': 1, 'series_id': 1, **ids})
        for annotation in image['annotations']:
            annotation.update(category_id=1, lesion_type=lesion_type)
    return images


def read_scan(path):
    """Read a CT volume as whole HU, which some benchmarks store as floats.

    Args:
        path (Path): What :func:`~mmlesion.io.ct.read_ct` takes.

    Returns:
        sitk.Image: The volume.
    """
    scan = read_ct(path)
    if scan.GetPixelID() in (sitk.sitkFloat32, sitk.sitkFloat64):
        return sitk.Cast(sitk.Round(scan), sitk.sitkInt16)
    return scan


def check_labels(labels, highest, path):
    """Raise :class:`UserError` where a segmentation has a label above ``highest``."""
    if (found := sitk.GetArrayViewFromImage(labels).max()) > highest:
        raise UserError(f'{path} has the label {found}, but its labels are 0 to {highest}')


def lay_on(labels, scan, names):
    """Give a segmentation the place of its scan, voxel by voxel, whatever its own header says.

    Args:
        labels (sitk.Image): The segmentation; it is changed.
        scan (sitk.Image): The scan.
        names (str): What to call them in the error message.

    Raises:
        UserError: If their sizes differ.
    """
    if labels.GetSize() != scan.GetSize():
        sizes = f'{scan.GetSize()} and {labels.GetSize()}'
        raise UserError(f'{names} have the size {sizes}: give those of one scan')
    labels.CopyInformation(scan)
