"""Convert KiTS19's volumes to slices with kidney tumors."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

from mmlesion.io.ct import check_same_grid
from mmlesion.io.schema import KITS19_TUMOR, LESION_TYPES
from mmlesion.utils import UserError

from .base import Case, SplitRun
from .regions import SliceOptions
from .slices import SliceConverter, slice_tumors

_CASE = re.compile(r'case_(\d+)', re.ASCII)
_IMAGING, _SEGMENTATION = 'imaging.nii.gz', 'segmentation.nii.gz'


def convert(
    root: str | Path,
    out: str | Path,
    *,
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
        val_share: Of all patients, for validation.
        test_share: Of all patients, for testing. Defaults to 0.2, ElixirNet's.
        min_area: mm² below which a region is ignored.
        context_mm: Height of the slices kept above and below a tumor.
        **run_options: More of :class:`~mmlesion.converters.base.SplitRun`: seed, workers, strict,
            allow_skipped.

    Returns:
        dict[str, dict]: COCO content by file name.

    Raises:
        UserError: If the input cannot be used, or more is skipped than allowed.
    """
    options = SliceOptions(min_area=min_area, context_mm=context_mm)
    run = SplitRun(out, val_share=val_share, test_share=test_share, **run_options)
    cases, unsegmented = find_cases(root)
    missing = "fetch it with KiTS19's get_imaging"
    converter = SliceConverter('KiTS19', slice_case, missing=missing)
    return converter.convert(cases, options, run, {'without a segmentation': unsegmented})


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


# case_00012 is patient 12
slice_case = partial(
    slice_tumors,
    fit=check_same_grid,
    tumor=KITS19_TUMOR,
    lesion_type=LESION_TYPES.index('kidney') + 1,
)
"""Write the slices of a case with kidney tumors, and describe them."""
