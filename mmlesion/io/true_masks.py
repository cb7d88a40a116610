"""True masks of series (``truth/<series>.npz``), which phantoms have: as masks or as boxes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from mmlesion.structures import SliceBoxes, SubVolume
from mmlesion.utils import UserError

from .deeplesion import BOX_PADDING
from .resume import read_arrays, write_arrays
from .schema import path_under


class TrueMasks(NamedTuple):
    """The true masks of a series.

    Args:
        labels: (z, y, x) number of the lesion, 0 where there is none.
        slices: (z,) slice number of each plane, ascending.
    """

    labels: np.ndarray
    slices: np.ndarray


class TrueLesions(NamedTuple):
    """All lesions of a series on all its slices.

    Args:
        boxes: n boxes, padded as DeepLesion pads its own.
        label: (n,) int, which lesion each is of.
    """

    boxes: SliceBoxes
    label: np.ndarray


def write_masks(folder: str | Path, series: str, masks: TrueMasks) -> None:
    """Write the true masks of a series; see :func:`read_masks`.

    Raises:
        OutputError: If they cannot be written.
    """
    write_arrays(masks._asdict(), Path(folder, f'{series}.npz'))


def read_masks(folder: str | Path, series: str) -> TrueMasks:
    """Read the true masks of a series.

    Args:
        folder: The phantom's folder ``truth``.
        series: Name of the series.

    Returns:
        Of all lesions, annotated or not.

    Raises:
        UserError: If there is no such file, or it is not of that kind.
    """
    path = path_under(folder, f'{series}.npz')
    advice = "give a phantom's truth folder"
    arrays = read_arrays(path, TrueMasks._fields, 'the truth of a series', advice)
    labels, slices = arrays['labels'], arrays['slices']
    whole = labels.dtype.kind in 'iu' and slices.dtype.kind in 'iu'
    if not whole or labels.ndim != 3 or slices.shape != labels.shape[:1]:
        raise UserError(f'{path} is not the truth of a series: {advice}')
    return TrueMasks(labels, slices)


def read_lesions(folder: str | Path, series: str) -> TrueLesions:
    """Read the true masks of a series as boxes on its slices; see :func:`read_masks`."""
    return slice_boxes(read_masks(folder, series))


def slice_boxes(masks: TrueMasks) -> TrueLesions:
    """Return the boxes around the lesions on each slice, with DeepLesion's margin."""
    rows = []
    for number, plane in zip(masks.slices.tolist(), masks.labels):
        # find_objects has an entry per label up to the highest, None for those not on the slice
        for label, place in enumerate(ndimage.find_objects(plane), 1):
            if place is not None:
                rows.append([number, label] + _padded_box(place, plane.shape))
    # columns: slice number, lesion, x1, y1, x2, y2
    table = np.array(rows, float).reshape(-1, 6)
    boxes = SliceBoxes(table[:, 2:], table[:, 0].astype(int), np.ones(len(table)))
    return TrueLesions(boxes, table[:, 1].astype(int))


def sub_volume_boxes(
    masks: TrueMasks, sub_volume: SubVolume, margin: float = BOX_PADDING
) -> list[list[int]]:
    """Return the 3D boxes around the lesions of a sub-volume.

    Args:
        masks: The true masks of its series.
        sub_volume: Whose slices count.
        margin: px around a lesion, as far as there is image. Defaults to 5, DeepLesion's.

    Returns:
        x1, y1, z1, x2, y2, z2 of each lesion in px and slice numbers, all inclusive.
    """
    chosen = sub_volume.contains(masks.slices)
    numbers = masks.slices[chosen]
    places = [place for place in ndimage.find_objects(masks.labels[chosen]) if place is not None]
    boxes = []
    for depth, rows, columns in places:
        box = _padded_box((rows, columns), masks.labels.shape[1:], margin)
        x1, y1, x2, y2 = map(int, box)
        # ends of slices are exclusive, those of the boxes inclusive
        first, last = int(numbers[depth.start]), int(numbers[depth.stop - 1])
        boxes.append([x1, y1, first, x2 - 1, y2 - 1, last])
    return boxes


def _padded_box(
    place: tuple[slice, slice], shape: tuple[int, int], margin: float = BOX_PADDING
) -> list[float]:
    """Return x1, y1, x2, y2 of a pair of slices of rows and columns, clipped to the image."""
    rows, columns = place
    # from the array's rows and columns to x, y; ends are exclusive before and after
    low = np.array([columns.start, rows.start]) - margin
    high = np.array([columns.stop, rows.stop]) + margin
    return low.clip(0).tolist() + high.clip(0, shape[::-1]).tolist()
