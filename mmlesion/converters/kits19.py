"""Convert KiTS19's volumes to slices with kidney tumors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mmlesion.io.ct import check_same_grid, read_labels
from mmlesion.io.schema import KITS19_TUMOR, LESION_TYPES
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError

from .base import Case, Run, Split
from .regions import SliceOptions, write_key_slices
from .slices import SliceConverter, check_labels, read_scan, set_case_fields

_CASE = re.compile(r'case_(\d+)', re.ASCII)
_IMAGING, _SEGMENTATION = 'imaging.nii.gz', 'segmentation.nii.gz'
_LESION_TYPE = LESION_TYPES.index('kidney') + 1


def convert(
    root: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    val_share: float = 0.1,
    test_share: float = 0.2,
    min_area: float = SliceOptions.min_area,
    context_mm: float = SliceOptions.context_mm,
    **run_options: Any,
) -> dict[str, dict]:
    """Convert KiTS19 to ``{train,val,test}.json`` and slices.

    Args:
        root: Its folder ``data``, of ``case_00000`` and so on.
        out: Folder for ``Images_png`` and the JSON files.
        seed: Of the split of the patients.
        val_share: Of all patients, for validation.
        test_share: Of all patients, for testing. Defaults to 0.2, ElixirNet's.
        min_area: mm² below which a region is ignored.
        context_mm: Height of the slices kept above and below a tumor.
        **run_options: Of :class:`~mmlesion.converters.base.Run`: workers, strict, allow_skipped.

    Returns:
        dict[str, dict]: COCO content by file name.

    Raises:
        UserError: If the input cannot be used, or more is skipped than allowed.
    """
    options = SliceOptions(min_area=min_area, context_mm=context_mm)
    split = Split(seed, val_share, test_share)
    cases, unsegmented = find_cases(root)
    missing = "fetch it with KiTS19's get_imaging"
    converter = SliceConverter('KiTS19', slice_case, missing=missing)
    left_out = {'without a segmentation': unsegmented}
    return converter.convert(cases, options, Run(out, **run_options), split, left_out)


def find_cases(root: str | Path) -> tuple[list[Case], int]:
    """Find the cases with a segmentation.

    Returns:
        tuple[list[Case], int]: They, and how many there are without.

    Raises:
        UserError: If there is no folder, or no case with a segmentation in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: give KiTS19's folder data")
    folders = sorted(path for path in root.iterdir() if _CASE.fullmatch(path.name))
    cases = []
    for folder in folders:
        sources = folder / _IMAGING, folder / _SEGMENTATION
        # A missing scan is an error of its case; a case without a segmentation is none.
        if sources[1].exists():
            cases.append(Case(folder.name, sources))
    if not cases:
        raise UserError(
            f"{root} has no case_*/{_SEGMENTATION}: give KiTS19's folder data, in which case_00000 "
            'lies'
        )
    return cases, len(folders) - len(cases)


def slice_case(case: Case, folder: Path, options: SliceOptions) -> list[dict]:
    """Write the slices of a case with tumors to ``folder``, and describe them.

    Raises:
        UserError: If a volume cannot be read, or the two do not belong together.
    """
    imaging, segmentation = case.sources
    scan, labels = read_scan(imaging), read_labels(segmentation)
    check_same_grid(scan, labels, f'{imaging} and {segmentation.name}')
    check_labels(labels, KITS19_TUMOR, segmentation)
    # Kidneys are no lesions: what is left is the tumors alone.
    tumors = CTVolume(labels).array == KITS19_TUMOR
    images = write_key_slices(CTVolume(scan), tumors, folder, options)
    number = case.name.rpartition('_')[2]  # case_00012 is patient 12
    return set_case_fields(images, _LESION_TYPE, patient_id=int(number))
