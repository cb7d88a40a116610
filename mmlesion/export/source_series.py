"""The DICOM series that lesions were detected in, and what results take over from it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.config import RAISE
from pydicom.uid import UID
from pydicom.valuerep import DA, validate_value

from mmlesion.io.dicom import damage_as_user_error, series_frames
from mmlesion.io.json_files import to_json
from mmlesion.io.results import DetectedLesion, Results
from mmlesion.structures.slice_stack import SliceStack
from mmlesion.utils import UserError
from mmlesion.version import __version__

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence

MANUFACTURER = 'mmlesion'

OF_SERIES = ('StudyInstanceUID', 'SeriesInstanceUID', 'FrameOfReferenceUID', 'PatientID')
"""What all slices of a series have in common."""
MAY_BE_EMPTY = {
    'PatientName': 'PN',
    'PatientID': 'LO',
    'PatientBirthDate': 'DA',
    'PatientSex': 'CS',
    'StudyDate': 'DA',
    'StudyTime': 'TM',
    'StudyID': 'SH',
    'AccessionNumber': 'SH',
    'ReferringPhysicianName': 'PN',
}
"""Attributes of type 2 that DICOM objects have from their source, with their kinds of value."""
SEXES = ('M', 'F', 'O', '')
_LOGGER = logging.getLogger('mmlesion')


class SourceSeries(NamedTuple):
    """The slices of a series, in the order of the volume's last axis k.

    Args:
        slices: n headers, without pixels.
        stack: Where the n slices lie.
    """

    slices: Sequence[Dataset]
    stack: SliceStack


def read_source_series(
    results: Results, folder: str | Path | None = None, series: str | None = None
) -> SourceSeries:
    """Read the headers of the series that results are about.

    Args:
        results: What ``infer.py`` has written.
        folder: Of the series. Defaults to None, where ``infer.py`` read it.
        series: Series Instance UID, if the folder has several CT series.

    Raises:
        UserError: If it is not a DICOM series of single slices with the size of the volume.
    """
    folder = Path(folder or results.volume['source'])
    if not folder.is_dir():
        raise UserError(
            f'{folder} is not the folder of a DICOM series: name the one that infer.py has read '
            'as --dicom; other volumes have no DICOM to refer to'
        )
    frames, _ = series_frames(folder, series)
    if len({one.path for one in frames}) < len(frames):
        raise UserError(f'{folder} has a multi-frame series: give a series of single slices')
    size = [*frames[0].size, len(frames)]
    expected = list(results.volume['size'])
    if size != expected:
        raise UserError(
            f'{folder} has {size} columns, rows and slices, but {results.folder} is about a '
            f'volume of {expected}: give the series that infer.py has read'
        )
    slices = [dcmread(one.path, force=True, stop_before_pixels=True) for one in frames]
    origin = np.array([one.position for one in frames])
    # (n, 2, 3) mm from column to column, and from row to row
    steps = np.array([one.axes * one.spacing[:, None] for one in frames])
    return SourceSeries(slices, SliceStack(origin, steps[:, 0], steps[:, 1]))


def complete_headers(source: SourceSeries) -> None:
    """Give the slices what DICOM objects about them must say and those who remove identities drop.

    Raises:
        UserError: If slices lack an identifier, or are not those of one patient's study.
    """
    steps = np.diff(source.stack.origin_mm, axis=0)
    thickness = float(np.linalg.norm(steps, axis=1).min())
    folder = Path(source.slices[0].filename).parent
    with damage_as_user_error(folder):
        _check_identity(source.slices, folder)
        emptied = sorted({name for one in source.slices for name in _complete(one, thickness)})
    if emptied:
        _LOGGER.warning('not as DICOM has it, and empty in the exports: %s', ', '.join(emptied))


def _check_identity(slices: Sequence[Dataset], folder: Path) -> None:
    for name in ('SOPClassUID', 'SOPInstanceUID', *OF_SERIES):
        for one in slices:
            value = one.get(name)
            if name.endswith('UID') and not (value and UID(value).is_valid):
                raise UserError(
                    f'{one.filename} has no valid {name}, to which DICOM objects refer: give the '
                    'series as the scanner wrote it, or export with --formats slicer alone'
                )
    for name in OF_SERIES:
        if len({str(one.get(name, '')) for one in slices}) > 1:
            raise UserError(
                f'{folder}: slices have different values of {name}, so that they are not of one '
                'series: give the slices of one patient and study'
            )
    if len({one.SOPInstanceUID for one in slices}) < len(slices):
        raise UserError(f'{folder}: two slices have one SOPInstanceUID: give each its own')


def _complete(one: Dataset, thickness: float) -> list[str]:
    """Complete a header, with its text in UTF-8, and ``thickness`` in mm if it has none.

    Returns:
        list[str]: Attributes whose invalid values are empty now.
    """
    # highdicom does not know all character sets, nor that the first may be empty
    one.decode()
    one.SpecificCharacterSet = 'ISO_IR 192'
    emptied = []
    for name, kind in MAY_BE_EMPTY.items():
        value = str(one.get(name) or '')
        if not _is_valid(kind, value) or (name == 'PatientSex' and value not in SEXES):
            emptied.append(name)
            value = ''
        setattr(one, name, value)
    if not (one.get('SliceThickness') or 0) > 0:
        one.SliceThickness = f'{thickness:.6g}'
    return emptied


def _is_valid(kind: str, value: str) -> bool:
    try:
        validate_value(kind, value, RAISE)
        if kind == 'DA' and value:
            DA(value)  # is it a day?
    except ValueError:
        return False
    return True


def require_highdicom() -> None:
    """Raise UserError if the packages for DICOM output are not installed."""
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise UserError(
            "DICOM output needs highdicom: install it with pip install 'mmlesion[dicom]'"
        ) from None


def device() -> dict:
    """Return the attributes of the equipment that all objects have."""
    return {
        'manufacturer': MANUFACTURER,
        'manufacturer_model_name': MANUFACTURER,
        'software_versions': __version__,
        'device_serial_number': '0',
    }


def algorithm(results: Results) -> AlgorithmIdentificationSequence:
    """Return what detected the lesions."""
    from highdicom import AlgorithmIdentificationSequence
    from pydicom.sr.codedict import codes

    names = {key: str(value) for key, value in results.detector.items() if isinstance(value, str)}
    return AlgorithmIdentificationSequence(
        name=MANUFACTURER,
        version=__version__,
        family=codes.cid7162.ArtificialIntelligence,
        parameters=names or None,
    )


def uid_of(what: str, results: Results, source: SourceSeries) -> str:
    """Return a UID of an object, the same whenever the same results are exported."""
    from pydicom.uid import generate_uid

    first = source.slices[0]
    lesions = [[*lesion.bbox_voxel, lesion.score] for lesion in results.lesions]
    origin = [str(first.SeriesInstanceUID), to_json(results.detector, sort_keys=True)]
    return generate_uid(entropy_srcs=[what, *origin, to_json(lesions), __version__])


def tracking_id(lesion: DetectedLesion) -> str:
    """Return what people call a lesion."""
    return f'{lesion.label} {lesion.id}'
