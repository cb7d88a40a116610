"""The data of a follow-up's report: the table of lesions, with each lesion in both studies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mmlesion.io.results import DetectedLesion
from mmlesion.structures.boxes import crop_array
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.visualization.overlays import choose_window

from .page import encode_slice

LEAST_SIDE_MM = 80.0
SIDE_IN_DIAMETERS = 2.5
AIR = -1024


class Study(NamedTuple):
    """A volume and its lesions.

    Args:
        source: Path of the volume.
        volume: The volume.
        lesions: Those that are compared.
        patient: By which studies of one patient are known.
        date: Of the study, YYYY-MM-DD.
    """

    source: str
    volume: CTVolume
    lesions: Sequence[DetectedLesion]
    patient: str | None = None
    date: str | None = None

    @property
    def title(self) -> str:
        """Return its path and date."""
        return f'{self.source}, {self.date or "of unknown date"}'


def study_warnings(earlier: Study, later: Study) -> list[str]:
    """Return what speaks against a comparison of two studies, one line each."""
    lines = []
    if earlier.patient and later.patient and earlier.patient != later.patient:
        lines.append('the studies are of different patients: what is paired has no meaning')
    if earlier.date and later.date and earlier.date > later.date:
        lines.append(
            f'the earlier study is of {earlier.date}, the later one of {later.date}: exchange them'
        )
    return lines


def followup_content(
    earlier: Study, later: Study, rows: Sequence[dict[str, Any]], total: dict[str, Any]
) -> dict[str, Any]:
    """Return what the page of a follow-up shows.

    Args:
        earlier: The earlier study.
        later: The later study.
        rows: With ``status``, ``label``, ``change_percent``, and of both studies
            ``earlier_id`` and ``earlier_mm``, ``later_id`` and ``later_mm``; None without a
            partner.
        total: Of the sum of diameters: ``earlier_mm``, ``later_mm``, ``change_percent`` and
            ``response``.

    Returns:
        dict: JSON.
    """
    studies = {'earlier': earlier, 'later': later}
    lesions = {}
    for when, study in studies.items():
        lesions[when] = {lesion.id: (study.volume, lesion) for lesion in study.lesions}
    return {
        'studies': {when: study.title for when, study in studies.items()},
        'warnings': study_warnings(earlier, later),
        'total': total,
        'rows': [_with_pictures(row, lesions) for row in rows],
    }


def _with_pictures(
    row: dict[str, Any], lesions: dict[str, dict[int, tuple[CTVolume, DetectedLesion]]]
) -> dict[str, Any]:
    """Return a row with a picture of each study that has the lesion, at one scale and window."""
    shown = {}
    for when, by_id in lesions.items():
        if row[f'{when}_id'] is not None:
            shown[when] = by_id[row[f'{when}_id']]
    # both studies in one field of view, so that growth is seen
    diameter = max(lesion.diameter_mm for _, lesion in shown.values())
    side = max(LEAST_SIDE_MM, SIDE_IN_DIAMETERS * diameter)
    window = _window(*next(iter(shown.values())))
    pictures = {when: _picture(*one, side, window) for when, one in shown.items()}
    return {**row, 'window': window, 'pictures': pictures}


def _window(volume: CTVolume, lesion: DetectedLesion) -> tuple[float, float]:
    _, y1, x1, _, y2, x2 = volume.boxes_from_index(lesion.bbox_voxel)[0]
    return choose_window(volume.array[volume.slice_index(lesion.key_slice)], (x1, y1, x2, y2))


def _picture(
    volume: CTVolume, lesion: DetectedLesion, side_mm: float, window: tuple[float, float]
) -> dict[str, Any]:
    """Return the surroundings of a lesion on its key slice, in mm from their upper left corner."""
    box = volume.boxes_from_index(lesion.bbox_voxel)[0].reshape(2, 3)[:, :0:-1]  # (2, 2) x, y px
    spacing = np.array(volume.spacing[:2])
    section = volume.array[volume.slice_index(lesion.key_slice)]
    size = np.ceil(side_mm / spacing).astype(int)
    # px x, y of the upper left corner, with the box's center in the middle
    first = np.floor(box.mean(axis=0) - size / 2).astype(int)
    # beyond the slice lies air; its axes are y, x
    crop = crop_array(section, first[::-1], size[::-1], AIR)
    ends = None
    if lesion.recist_voxel is not None:
        # z, y, x without z, reversed: x, y
        points = volume.points_from_index(lesion.recist_voxel)[:, :0:-1]
        ends = ((points - first) * spacing).round(2).tolist()
    return {
        'source': encode_slice(crop, window),
        'size': (np.array(crop.shape[::-1]) * spacing).round(2).tolist(),
        'box': ((box - first) * spacing).round(2).ravel().tolist(),
        'ends': ends,
        'slice': lesion.key_slice,
        'sliceAxis': 'ijk'[volume.slice_axis],
    }
