"""Convert LiTS' volumes to slices, with liver tumors or without."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmlesion.io.ct import read_labels
from mmlesion.io.schema import LESION_TYPES, LITS_TUMOR
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError

from .base import Case, Converted, Run, Split
from .regions import SliceOptions, write_key_slices
from .slices import SliceConverter, check_labels, copy_geometry, read_scan, set_case_fields

_VOLUME = re.compile(r'volume-(\d+)(\.nii(?:\.gz)?)', re.ASCII)
_LESION_TYPE = LESION_TYPES.index('liver') + 1


def convert(
    root: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    val_share: float = 0.2,
    test_share: float = 0.0,
    min_area: float = SliceOptions.min_area,
    **run_options: Any,
) -> dict[str, dict]:
    """Convert LiTS to ``{train,val}.json`` and slices, all of them.

    Args:
        root: Folder with ``volume-*.nii`` and ``segmentation-*.nii``, or of theirs.
        out: Folder for ``Images_png`` and the JSON files.
        seed: Of the split of the patients.
        val_share: Of all patients, for validation.
        test_share: Of all patients, for testing; 0 leaves ``test.json`` out.
        min_area: mm² below which a region is ignored.
        **run_options: Of :class:`~mmlesion.converters.base.Run`: workers, strict, allow_skipped.

    Returns:
        dict[str, dict]: COCO content by file name.

    Raises:
        UserError: If the input cannot be used, or more is skipped than allowed.
    """
    cases, unsegmented = find_cases(root)
    options = SliceOptions(min_area=min_area, every_slice=True)
    converter = SliceConverter('LiTS', slice_case, warn=warn_of_placeholders)
    left_out = {'without a segmentation': unsegmented}
    split = Split(seed, val_share, test_share)
    return converter.convert(cases, options, Run(out, **run_options), split, left_out)


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
        segmentation = find_segmentation(root, match[1], match[2])
        if segmentation is not None:
            cases[number] = Case(f'volume-{number}', (path, segmentation))
    if not cases:
        raise UserError(
            f'{root} has no volume-*.nii with a segmentation-*.nii: unpack LiTS training batches '
            'there'
        )
    return list(map(cases.__getitem__, sorted(cases))), len(volumes) - len(cases)


def find_segmentation(root: Path, number: str, suffix: str) -> Path | None:
    """Find the segmentation of a volume; training batches were published apart from each other."""
    return next(root.rglob(f'segmentation-{number}{suffix}'), None)


def slice_case(case: Case, folder: Path, options: SliceOptions) -> list[dict]:
    """Write all slices of a volume to ``folder``, and describe them.

    Headers of volumes and segmentations differ in LiTS: the segmentation's own is not used.

    Raises:
        UserError: If a volume cannot be read, or the two do not belong together.
    """
    volume, segmentation = case.sources
    scan, labels = read_scan(volume), read_labels(segmentation)
    # before both are flipped to the training orientation, which depends on their headers
    copy_geometry(labels, scan, f'{volume} and {segmentation.name}')
    check_labels(labels, LITS_TUMOR, segmentation)
    # The liver is no lesion: what is left is the tumors alone.
    tumors = CTVolume(labels).array == LITS_TUMOR
    images = write_key_slices(CTVolume(scan), tumors, folder, options)
    number = case.name.rpartition('-')[2]
    return set_case_fields(images, _LESION_TYPE, patient_id=int(number))


def warn_of_placeholders(converted: Sequence[Converted]) -> None:
    """Warn about volumes with voxels of 1 mm: LiTS has 20 whose header is a placeholder."""
    cubes = [one.name for one in converted if one.result and _has_cubes(one.result[0])]
    if cubes:
        print(
            f'warning: {len(cubes)} volumes have voxels of 1 mm in all directions, which in LiTS '
            f'stands for an unknown size and orientation ({", ".join(cubes)}): correct their '
            'headers or take them out',
            file=sys.stderr,
        )


def _has_cubes(image: dict) -> bool:
    """Return whether the voxels of an image's volume have sides of 1 mm."""
    # exactly: measured sides are hardly ever whole in all directions
    return list(image['spacing']) == [1.0, 1.0] and image['slice_interval'] == 1.0
