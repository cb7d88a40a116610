"""What ``infer.py`` has written about a volume."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
import SimpleITK as sitk

from mmlesion.utils import UserError

from .ct import read_image
from .json_files import read_bytes

NOT_FOR_DIAGNOSIS = 'For research. Not a medical device; no result is for diagnosis.'
SHORT_NOT_FOR_DIAGNOSIS = 'Research only, not for diagnosis'
"""The same within the 64 characters of a DICOM description."""

Point = tuple[float, float, float]


class DetectedLesion(msgspec.Struct, frozen=True):
    """A lesion of ``lesions.json``; docs/inference.md describes its fields.

    Args:
        id: Its value in the label map, from 1 in descending order of score.
        label: Class.
        score: Confidence.
        center_mm: x, y, z in mm, LPS.
        bbox_voxel: i1, j1, k1, i2, j2, k2; voxel n extends from n - 0.5 to n + 0.5.
        diameter_mm: Long diameter.
        short_diameter_mm: Short diameter.
        diameter_source: 'mask' or 'box'.
        key_slice: Where it is measured.
        recist_voxel: The ends i, j, k of the long and the short diameter.
    """

    id: Annotated[int, msgspec.Meta(gt=0, lt=2**31)]
    label: str
    score: float
    center_mm: Point
    bbox_voxel: tuple[float, float, float, float, float, float]
    diameter_mm: Annotated[float, msgspec.Meta(ge=0)]
    short_diameter_mm: Annotated[float, msgspec.Meta(ge=0)]
    diameter_source: str
    key_slice: int
    recist_voxel: tuple[Point, Point, Point, Point] | None


class _Volume(msgspec.Struct):
    source: str
    size: tuple[int, int, int]
    spacing_mm: Point
    origin_mm: Point
    direction: Annotated[list[float], msgspec.Meta(min_length=9, max_length=9)]
    slice_axis: Literal['i', 'j', 'k']


class _Detector(msgspec.Struct):
    config: str | None = None
    checkpoint: str | None = None


class _File(msgspec.Struct):
    volume: _Volume
    detector: _Detector
    lesions: list[DetectedLesion]


class Results(NamedTuple):
    """The results for a volume.

    Args:
        folder: Where they lie.
        volume: The volume's ``source`` and geometry.
        detector: Config and checkpoint.
        lesions: In descending order of score.
    """

    folder: Path
    volume: dict
    detector: dict
    lesions: list[DetectedLesion]


def read_results(folder: str | Path, score_thr: float = 0.0) -> Results:
    """Read the results of ``infer.py``.

    Args:
        folder: Its ``--out``.
        score_thr: Lesions with a lower score are left out.

    Raises:
        UserError: If it has no ``lesions.json``, or one of another form.
    """
    path = Path(folder) / 'lesions.json'
    text = read_bytes(path)
    try:
        checked = msgspec.json.decode(text, type=_File)
        num_slices = checked.volume.size['ijk'.index(checked.volume.slice_axis)]
        if any(not 0 <= lesion.key_slice < num_slices for lesion in checked.lesions):
            raise ValueError(f'a key_slice is outside 0 to {num_slices - 1}')
        if len({lesion.id for lesion in checked.lesions}) < len(checked.lesions):
            raise ValueError('two lesions have one id')
    except ValueError as error:  # msgspec's, too
        raise UserError(f'{path} is not what infer.py writes ({error}): run it again') from None
    # with the fields that are not checked
    content = msgspec.json.decode(text)
    kept = [lesion for lesion in checked.lesions if lesion.score >= score_thr]
    return Results(Path(folder), content['volume'], content['detector'], kept)


def read_label_map(results: Results) -> np.ndarray:
    """Return the label map, (k, j, i) int lesion ids.

    Raises:
        UserError: If it is missing or unreadable, or not of the volume of ``lesions.json``.
    """
    path = results.folder / 'lesions.nii.gz'
    image = read_image(path)
    labels = sitk.GetArrayFromImage(image)
    same = list(image.GetSize()) == results.volume['size'] and labels.ndim == 3  # not of colors
    if not same or labels.dtype.kind not in 'iu' or labels.min() < 0:
        raise UserError(
            f'{path} is not the label map of lesions.json, {results.volume["size"]} voxels of '
            'whole numbers from 0: run infer.py again'
        )
    return labels.astype(int)
