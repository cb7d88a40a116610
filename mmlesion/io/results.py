"""What ``infer.py`` has written about a volume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk

from mmlesion.utils import UserError

from .ct import read_image
from .json_files import read_json


class DetectedLesion(NamedTuple):
    """A lesion of ``lesions.json``; docs/inference.md describes its fields.

    Args:
        id: Its value in the label map, from 1 in descending order of score.
        label: Class.
        score: Confidence.
        center_mm: (3,) x, y, z in mm, LPS.
        bbox_voxel: (6,) i1, j1, k1, i2, j2, k2; voxel n extends from n - 0.5 to n + 0.5.
        diameter_mm: Long diameter.
        short_diameter_mm: Short diameter.
        diameter_source: 'mask' or 'box'.
        key_slice: Where it is measured.
        recist_voxel: (4, 3) ends i, j, k of the long and the short diameter.
    """

    id: int
    label: str
    score: float
    center_mm: np.ndarray
    bbox_voxel: np.ndarray
    diameter_mm: float
    short_diameter_mm: float
    diameter_source: str
    key_slice: int
    recist_voxel: np.ndarray | None

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> DetectedLesion:
        """Return a lesion from its entry in ``lesions.json``."""
        recist = entry['recist_voxel']
        lesion = cls(
            id=int(entry['id']),
            label=_text(entry['label']),
            score=float(entry['score']),
            center_mm=np.array(entry['center_mm'], dtype=float).reshape(3),
            bbox_voxel=np.array(entry['bbox_voxel'], dtype=float).reshape(6),
            diameter_mm=float(entry['diameter_mm']),
            short_diameter_mm=float(entry['short_diameter_mm']),
            diameter_source=_text(entry['diameter_source']),
            key_slice=int(entry['key_slice']),
            recist_voxel=None if recist is None else np.array(recist, dtype=float).reshape(4, 3),
        )
        # NaN and infinity pass JSON's parser, and float() takes them from text
        for name, value in lesion._asdict().items():
            if isinstance(value, (float, np.ndarray)) and not np.isfinite(value).all():
                raise ValueError(f'{name} is not finite')
        if not 0 < lesion.id < 2**31:
            raise ValueError(f'the id {lesion.id:.3g} is none of a label map')
        if min(lesion.diameter_mm, lesion.short_diameter_mm) < 0:
            raise ValueError('a diameter_mm is negative')
        return lesion


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
    content = read_json(path, advice='run infer.py again')
    try:
        lesions = [DetectedLesion.from_json(entry) for entry in content['lesions']]
        volume, detector = _checked_volume(content['volume']), dict(content['detector'])
        num_slices = volume['size']['ijk'.index(volume['slice_axis'])]
        if any(not 0 <= lesion.key_slice < num_slices for lesion in lesions):
            raise ValueError(f'a key_slice is outside 0 to {num_slices - 1}')
        if len({lesion.id for lesion in lesions}) < len(lesions):
            raise ValueError('two lesions have one id')
        for name in ('config', 'checkpoint'):
            if detector.get(name) is not None:
                _text(detector[name])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise UserError(
            f'{path} is not what infer.py writes ({type(error).__name__}: {error}): run it again'
        ) from None
    kept = [lesion for lesion in lesions if lesion.score >= score_thr]
    return Results(Path(folder), volume, detector, kept)


def _checked_volume(entry: Mapping[str, Any]) -> dict:
    """Return a volume's entry with lists of numbers.

    Raises:
        KeyError, OverflowError, TypeError, ValueError: If it is not as ``infer.py`` writes it.
    """
    volume = dict(entry)
    _text(volume['source'])
    if volume['slice_axis'] not in ('i', 'j', 'k'):
        raise ValueError('the slice_axis of the volume')
    for name, length in (('size', 3), ('spacing_mm', 3), ('origin_mm', 3), ('direction', 9)):
        values = np.array(volume[name], dtype=float)
        if values.shape != (length,) or not np.isfinite(values).all():
            raise ValueError(f'{name} is not {length} finite numbers')
        volume[name] = values.tolist()
    volume['size'] = list(map(int, volume['size']))
    return volume


def _text(value: Any) -> str:
    """Return text that files and pages take.

    Raises:
        TypeError, ValueError: If it is not text, or has half of a character, as escapes in JSON
            may.
    """
    if not isinstance(value, str):
        raise TypeError(f'{value!r:.80} is no text')
    value.encode()
    return value


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
