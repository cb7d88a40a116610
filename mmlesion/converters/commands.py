"""The commands of ``tools/convert.py``: options and arguments of each converter.

Options have the names of the parameters of the converter's ``convert``. Nothing heavy is imported
before they are parsed, so that ``--help`` is fast.
"""

from __future__ import annotations

import argparse
import importlib
import os
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mmlesion.utils.command_line import cli

_LUNA16_LISTS = {'annotations': 'annotations.csv', 'excluded': 'annotations_excluded.csv'}


class Command(NamedTuple):
    """A converter on the command line.

    Args:
        description: Description for ``--help``.
        add_options: Adds its options to an ``ArgumentParser``.
        module: Under ``mmlesion.converters``; its ``convert`` takes the options.
    """

    description: str
    add_options: Callable[[ArgumentParser], None]
    module: str


@cli
def run_command(name: str, arguments: Sequence[str] | None = None) -> None:
    """Run one converter as a separate program.

    Args:
        name: Of :data:`COMMANDS`.
        arguments: Defaults to None, the command line's.
    """
    command = COMMANDS[name]
    parser = ArgumentParser(
        description=command.description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_options(parser)
    _convert(command, vars(parser.parse_args(arguments)))


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    """Run the converter that the first argument names; see :func:`run_command`."""
    parser = ArgumentParser(description='Convert a dataset to the schemas of docs/datasets.md.')
    subparsers = parser.add_subparsers(dest='benchmark', metavar='BENCHMARK', required=True)
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            help=command.description.partition('\n')[0],
            description=command.description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_options(subparser)
    options = vars(parser.parse_args(arguments))
    _convert(COMMANDS[options.pop('benchmark')], options)


def _convert(command: Command, options: dict[str, Any]) -> None:
    # The first import of SimpleITK and OpenCV, which --help and bad options do without.
    importlib.import_module(f'mmlesion.converters.{command.module}').convert(**options)


def _add_skip_options(parser: argparse.ArgumentParser, unit: str) -> None:
    parser.add_argument(
        '--strict', action='store_true', help=f'stop at the first {unit} that cannot be used'
    )
    parser.add_argument(
        '--allow-skipped',
        type=int,
        default=0,
        metavar='N',
        help=f'exit with status 0 if at most N {unit}s cannot be used (0)',
    )


def _add_workers(parser: argparse.ArgumentParser, what: str = 'processes') -> None:
    parser.add_argument(
        '--workers', type=int, default=os.cpu_count() or 1, help=f'{what} (one a core)'
    )


def _add_slice_options(
    parser: argparse.ArgumentParser,
    val_share: float = 0.2,
    test_share: float = 0.0,
    min_area: float = 10.0,
) -> None:
    """Add the options of all converters of volumes to slices."""
    parser.add_argument('--out', required=True, help='folder for Images_png and the JSON files')
    parser.add_argument('--seed', type=int, default=0, help='of the split of the patients (0)')
    parser.add_argument(
        '--val-share',
        type=float,
        default=val_share,
        help=f'of all patients, for validation ({val_share})',
    )
    parser.add_argument(
        '--test-share',
        type=float,
        default=test_share,
        help=f'of all patients, for testing ({test_share:g})',
    )
    parser.add_argument(
        '--min-area',
        type=float,
        default=min_area,
        help=f'mm2 below which a region is marked to be ignored ({min_area:g})',
    )
    _add_workers(parser, 'processes, each with a whole volume in memory')
    _add_skip_options(parser, 'case')


def _add_window(parser: argparse.ArgumentParser, help: str) -> None:
    window, names = (-175.0, 275.0), ('LOW', 'HIGH')
    parser.add_argument('--window', nargs=2, type=float, default=window, metavar=names, help=help)


def _add_context(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument('--context-mm', type=float, default=10.0, help=help)


def _add_luna16_lists(parser: argparse.ArgumentParser) -> None:
    for option, name in _LUNA16_LISTS.items():
        parser.add_argument(f'--{option}', help=f'(<root>/{name})')


def _deeplesion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('table', metavar='csv', help="DeepLesion's DL_info.csv")
    parser.add_argument('--images', required=True, help='the folder Images_png')
    parser.add_argument('--out', required=True, help='folder for train.json, val.json, test.json')
    parser.add_argument(
        '--multi-type',
        action='store_true',
        help='eight categories by lesion type, instead of one; untyped lesions are left out',
    )
    _add_skip_options(parser, 'row')


def _deeplesion_3d(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('annotations', help='the folder with train.json, val.json, test.json')
    parser.add_argument('--images', required=True, help='the folder Images_png')
    parser.add_argument('--out', required=True, help='folder for the volumes and their JSON files')
    parser.add_argument(
        '--max-diameter',
        type=float,
        default=48.0,
        help='mm from which on lesions are left out of training (48)',
    )
    parser.add_argument(
        '--small',
        type=float,
        default=20.0,
        help='mm below which the long diameter, if smaller, replaces the long side of a box (20)',
    )
    _add_workers(parser)
    _add_skip_options(parser, 'volume')


def _sub_volumes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('annotations', help='an output of deeplesion.py, such as test.json')
    parser.add_argument('--images', required=True, help='the folder Images_png')
    parser.add_argument('--out', required=True, help='the JSON file to write')
    truth = parser.add_mutually_exclusive_group()
    truth.add_argument(
        '--gt', help='manual annotation, .json or .pkl: the sub-volumes that it names, its boxes'
    )
    truth.add_argument(
        '--truth',
        help="a phantom's folder truth: all runs of consecutive slices, boxes of the true masks, "
        'which also become OUT with the suffix .boxes3d.json, as a manual annotation',
    )
    parser.add_argument('--split', choices=['val', 'test'], help='which part of the annotation')
    _add_skip_options(parser, 'sub-volume')


def _kits19(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('root', help="KiTS19's folder data, of case_00000 and so on")
    _add_slice_options(parser, val_share=0.1, test_share=0.2)
    _add_context(
        parser, 'height of the slices kept above and below a tumor; nine at 2 mm need 8 (10)'
    )


def _lits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'root', help='folder with volume-*.nii and segmentation-*.nii, or of their folders'
    )
    _add_slice_options(parser)


def _nih_ln(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('root', help="folder with the patients' DICOM series, however deep")
    _add_slice_options(parser)
    parser.add_argument('--masks', help='the folder of masks (<root>/MED_ABD_LYMPH_MASKS)')
    parser.add_argument(
        '--markers',
        help='the folder of lists of centers and sizes (<root>/MED_ABD_LYMPH_ANNOTATIONS)',
    )


def _luna16(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('root', help='the folder with subset0 to subset9')
    parser.add_argument('--out', required=True, help='folder for luna16.json and the volumes')
    parser.add_argument('--masks', help='the folder of lung masks (<root>/seg-lungs-LUNA16)')
    _add_luna16_lists(parser)
    parser.add_argument(
        '--margin', type=float, default=10.0, help='mm that are kept around the lungs (10)'
    )
    parser.add_argument(
        '--outside',
        choices=('fill', 'keep'),
        default='fill',
        help='whether voxels that are neither lung nor near it are set to tissue or kept (fill)',
    )
    _add_workers(parser)
    _add_skip_options(parser, 'scan')


def _luna16_slices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('root', help='the folder with subset0 to subset9')
    _add_slice_options(parser, min_area=3.0)
    _add_luna16_lists(parser)


def _nifti(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'images', metavar='IMAGES', help='folder of the scans, <case>.nii.gz, .nii, .mha or .mhd'
    )
    lesions = parser.add_mutually_exclusive_group(required=True)
    lesions.add_argument(
        '--masks', metavar='DIR', help='folder of masks named like the scans; 0 is no lesion'
    )
    lesions.add_argument(
        '--boxes',
        metavar='CSV',
        help='boxes, a row each: case, x1, y1, z1, x2, y2, z2 and, if known, class, patient, split',
    )
    parser.add_argument(
        '--world',
        dest='frame',
        nargs='?',
        const='LPS',
        default='voxel',
        choices=('LPS', 'RAS'),
        help='boxes are in mm of the world, LPS or RAS (LPS), instead of voxels of the file',
    )
    parser.add_argument(
        '--cases', metavar='CSV', help='with --masks: case and, if known, patient, split'
    )
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='of the labels 1, 2, ... of masks (all are lesions), or the order of those of boxes',
    )
    parser.add_argument(
        '--volumes', action='store_true', help='make volumes of 1 mm instead of slices'
    )
    _add_slice_options(parser)
    parser.add_argument(
        '--folds',
        type=int,
        default=0,
        metavar='N',
        help='folds of cross-validation instead of the splits',
    )
    _add_context(parser, 'height of the slices kept above and below a lesion (10)')
    parser.add_argument(
        '--every-slice', action='store_true', help='every slice is an image, with lesions or not'
    )
    _add_window(parser, 'HU from and to, for pictures of slices (-175 275)')


def _recist_masks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('ann', metavar='ANN.json', help='COCO file with "recist"')
    parser.add_argument('--images', required=True, help='the folder that file names start from')
    parser.add_argument('--out', required=True, help='the COCO file to write')
    parser.add_argument('--workers', type=int, default=1, help='processes (default 1)')
    parser.add_argument(
        '--recist-from-box',
        dest='from_box',
        action='store_true',
        help='where there is no RECIST, take the axes of the ellipse in the box less its padding',
    )
    parser.add_argument(
        '--box-padding',
        type=float,
        default=5.0,
        metavar='PX',
        help='margin of a box around its lesion on each side (default %(default)s, DeepLesion)',
    )
    _add_window(parser, 'HU window of GrabCut for images without "windows" (default %(default)s)')
    _add_skip_options(parser, 'lesion')
    parser.add_argument('--picture', metavar='DIR', help='folder for pictures of some masks')
    parser.add_argument('--num', type=int, default=20, help='how many pictures (default 20)')


_SCHEMA = 'The schema is described in docs/datasets.md.'
_RESUME = 'An interrupted run is resumed by the same command.'

COMMANDS = {
    'deeplesion': Command(
        "Convert DeepLesion's DL_info.csv to {train,val,test}.json, COCO with CT fields.\n\n"
        f'{_SCHEMA}',
        _deeplesion,
        'deeplesion',
    ),
    'deeplesion_3d': Command(
        'Make volumes of 1 mm and 3D annotations of a converted DeepLesion.\n\n'
        'A volume is a run of consecutive slices around key slices. It reads train.json, val.json\n'
        f'and test.json of the converter of DeepLesion. {_SCHEMA}\n{_RESUME}',
        _deeplesion_3d,
        'deeplesion_3d',
    ),
    'deeplesion_subvolumes': Command(
        "List every slice of DeepLesion's sub-volumes for inference, with the 3D boxes to be "
        'found.\n\nFROCMetric stacks the detections on these slices and evaluates them as LENS '
        f'does.\n{_SCHEMA}',
        _sub_volumes,
        'sub_volumes',
    ),
    'kits19': Command(
        "Convert KiTS19's volumes to slices and {train,val,test}.json, COCO with CT fields.\n\n"
        f'{_SCHEMA}\n{_RESUME}',
        _kits19,
        'kits19',
    ),
    'lits': Command(
        "Convert LiTS' volumes to slices and {train,val}.json, COCO with CT fields.\n\n"
        f'Every slice is an image, with tumors or without. {_SCHEMA}\n{_RESUME}',
        _lits,
        'lits',
    ),
    'luna16': Command(
        'Convert LUNA16 to volumes of 1 mm that are cropped to the lungs, and luna16.json.\n\n'
        f'{_SCHEMA}\n{_RESUME}',
        _luna16,
        'luna16',
    ),
    'luna16_slices': Command(
        "Convert LUNA16's scans to slices and {train,val}.json, COCO with CT fields.\n\n"
        'Every slice is an image, with nodules or without; a nodule has a box on each slice that\n'
        f'its sphere cuts. {_SCHEMA}\n{_RESUME}',
        _luna16_slices,
        'luna16_slices',
    ),
    'nih_ln': Command(
        "Convert NIH-LN, TCIA's CT Lymph Nodes, to slices and {train,val}.json, COCO with CT "
        "fields.\n\nEvery slice is an image, with lymph nodes or without. A patient's mask is "
        f'taken or, where\nthere is none, the list of centers and sizes. {_SCHEMA}\n{_RESUME}',
        _nih_ln,
        'nih_ln',
    ),
    'nifti': Command(
        'Convert NIfTI scans with masks or 3D boxes to slices, or to volumes of 1 mm.\n\n'
        'Boxes are faces in voxels i, j, k of the file, voxel n from n - 0.5 to n + 0.5, or in mm\n'
        f'(--world). A row without coordinates names a case without a lesion. {_SCHEMA}\n{_RESUME}',
        _nifti,
        'nifti',
    ),
    'recist_masks': Command(
        'Add dense lesion masks to a COCO file, by GrabCut from the RECIST diameters.\n\n'
        'OUT is ANN with "segmentation" (RLE) and "mask_source" ("grabcut", or "ellipse" where\n'
        'GrabCut failed) in each annotation that has "recist". An empty "segmentation", such as\n'
        '[[]], is removed from the others; nothing else changes. See '
        f'docs/masks.md.\n{_RESUME}',
        _recist_masks,
        'recist_masks',
    ),
}
