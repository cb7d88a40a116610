"""Convert LiTS' volumes to slices, with liver tumors or without."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mmlesion.io.schema import LESION_TYPES, LITS_TUMOR
from mmlesion.utils import UserError

from .base import Case, SplitRun
from .regions import SliceOptions
from .slices import SliceConverter, copy_geometry, slice_tumors

_VOLUME = re.compile(r'volume-(\d+)(\.nii(?:\.gz)?)', re.ASCII)


def convert(
    root: str | Path,
    out: str | Path,
    *,
    min_area: float = SliceOptions.min_area,
    **run_options: Any,
) -> dict[str, dict]:
    """Convert LiTS to ``{train,val}.json`` and slices, all of them.

    Args:
        root: Folder with ``volume-*.nii`` and ``segmentation-*.nii``, or of theirs.
        out: Folder for ``Images_png`` and the JSON files.
        min_area: mm² below which a region is ignored.
        **run_options: Of :class:`~mmlesion.converters.base.SplitRun`: seed, val_share, test_share,
            workers, strict, allow_skipped.

    Returns:
        dict[str, dict]: COCO content by file name.

    Raises:
        UserError: If the input cannot be used, or more is skipped than allowed.
    """
    cases, unsegmented = find_cases(root)
    options = SliceOptions(min_area=min_area, every_slice=True)
    converter = SliceConverter('LiTS', slice_case, warn=warn_of_placeholders)
    left_out = {'without a segmentation': unsegmented}
    return converter.convert(cases, options, SplitRun(out, **run_options), left_out)


def find_cases(root: str | Path) -> tuple[list[Case], int]:
    """Find the volumes with a segmentation, in ``root`` and the folders below.

    Returns:
        tuple[list[Case], int]: They, by number, and how many there are without.

    Raises:
        UserError: If there is no folder, none with a segmentation in it, or a volume twice.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f'{root} is not a folder: give that of volume-*.nii')
    # By number rather than by name, which would have 10 before 2.
    volumes: dict[int, Path] = {}
    cases: dict[int, Case] = {}
    for path in sorted(root.rglob('volume-*.nii*')):
        if not (match := _VOLUME.fullmatch(path.name)):
            continue
        number = int(match[1])
        if number in volumes:
            raise UserError(f'{path} and {volumes[number]} have one number: leave one of them')
        volumes[number] = path
        # Training batches were published apart from each other: it may lie in another folder.
        segmentation = next(root.rglob(f'segmentation-{match[1]}{match[2]}'), None)
        if segmentation is not None:
            cases[number] = Case(f'volume-{number}', (path, segmentation))
    if not cases:
        raise UserError(
            f'{root} has no volume-*.nii with a segmentation-*.nii: unpack LiTS training batches '
            'there'
        )
    return list(map(cases.__getitem__, sorted(cases))), len(volumes) - len(cases)


# Headers of volumes and segmentations differ in LiTS: the segmentation's own is not used.
slice_case = partial(
    slice_tumors, fit=copy_geometry, tumor=LITS_TUMOR, lesion_type=LESION_TYPES.index('liver') + 1
)
"""Write all slices of a volume, and describe them."""


def warn_of_placeholders(volumes: Mapping[str, list[dict]]) -> None:
    """Warn about volumes with voxels of 1 mm: LiTS has 20 whose header is a placeholder."""
    cubes = []
    for name, images in volumes.items():
        # exactly: measured sides are hardly ever whole in all directions
        if images and [*images[0]['spacing'], images[0]['slice_interval']] == [1, 1, 1]:
            cubes.append(name)
    if cubes:
        print(
            f'warning: {len(cubes)} volumes have voxels of 1 mm in all directions, which in LiTS '
            f'stands for an unknown size and orientation ({", ".join(cubes)}): correct their '
            'headers or take them out',
            file=sys.stderr,
        )
