"""Frames of DICOM images: where each lies and how stored values become HU, from its own header.

A frame is a file of a classic series, or one of a multi-frame (Enhanced) file, whose functional
groups say the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ImplicitVRLittleEndian

from mmlesion.utils import UserError

from .checks import check_spacing
from .itk import check_size

TAGS = (
    'SOPClassUID',
    'SOPInstanceUID',
    'SeriesInstanceUID',
    'SeriesDescription',
    'PatientID',
    'StudyDate',
    'Modality',
    'ImageType',
    'NumberOfFrames',
    'SamplesPerPixel',
    'PhotometricInterpretation',
    'Rows',
    'Columns',
    'ImagePositionPatient',
    'ImageOrientationPatient',
    'PixelSpacing',
    'RescaleSlope',
    'RescaleIntercept',
    'RescaleType',
    'SharedFunctionalGroupsSequence',
    'PerFrameFunctionalGroupsSequence',
)
_GROUPS = (
    'PlanePositionSequence',
    'PlaneOrientationSequence',
    'PixelMeasuresSequence',
    'PixelValueTransformationSequence',
)
# Without the preamble of 128 bytes a file begins with its meta header, or with group 8.
_WITHOUT_PREAMBLE = (b'\x02\x00', b'\x08\x00')
_AXES_TOLERANCE = 1e-3  # 0.06 degrees


class Frame(NamedTuple):
    """A slice of a series.

    Args:
        path (Path): Its file.
        number (int): Of the frame in the file, from 0.
        name (str): For messages.
        position (ndarray): (3,) LPS mm of the center of its first px.
        axes (ndarray): (2, 3) LPS directions of a row and of a column, orthonormal.
        spacing (ndarray): (2,) mm from column to column and from row to row.
        size (tuple[int]): Columns and rows.
        slope (float): HU of a stored value are slope times it plus intercept.
        intercept (float): In HU.
        unit (str): What the header says that this gives.
    """

    path: Path
    number: int
    name: str
    position: np.ndarray
    axes: np.ndarray
    spacing: np.ndarray
    size: tuple[int, int]
    slope: float
    intercept: float
    unit: str

    @property
    def normal(self) -> np.ndarray:
        """Return the (3,) LPS direction from slice to slice."""
        return np.cross(*self.axes)

    @property
    def edges(self) -> np.ndarray:
        """Return (2, 3) mm along a row and along a column, from end to end."""
        return self.axes * (self.spacing * self.size)[:, None]


def read_header(path: Path) -> Dataset | None:
    """Return :data:`TAGS` of a DICOM image, or None for any other file.

    Raises:
        UserError: If it is a damaged DICOM file.
    """
    with open(path, 'rb') as file, damage_as_user_error(path):
        start = file.read(132)
        if not start.endswith(b'DICM') and not start.startswith(_WITHOUT_PREAMBLE):
            return None
        file.seek(0)
        header = _read(file, stop_before_pixels=True, specific_tags=list(TAGS))
        list(header)  # values are parsed when they are asked for, and may be damaged
        # pixels follow, but in a deflated file, which is read to its end
        whole = file.read(1) or header.file_meta.TransferSyntaxUID.is_deflated
        if 'Rows' in header and 'Columns' in header and whole:
            return header
        # reports, structure sets and a DICOMDIR are no images
        storage = header.file_meta.get('MediaStorageSOPClassUID')
    if storage in (CTImageStorage, EnhancedCTImageStorage):
        raise UserError(f'{path} is a damaged CT slice: copy the series again')
    return None


def frames_of(header: Dataset, path: Path) -> list[Frame]:
    """Return the frames of a file.

    Args:
        header (Dataset): Of :func:`read_header`.
        path (Path): The file.

    Raises:
        UserError: If it has colors, or does not say all that a :class:`Frame` has.
    """
    with damage_as_user_error(path):
        size = int(header.Columns), int(header.Rows)
        count = int(header.get('NumberOfFrames') or 1)
        if min(*size, count) < 1:
            raise UserError(f'{path} has no pixels: its size is {size[0]} x {size[1]} x {count}')
        # before there is a list of as many frames
        check_size(path, count * size[0] * size[1], path.stat().st_size)
        gray = str(header.get('PhotometricInterpretation')).startswith('MONOCHROME')
        if not gray or header.get('SamplesPerPixel', 1) != 1:
            raise UserError(f'{path} has colors, which no CT slice has: leave it out')
        places = _places(header, count, path)
        return [_frame(place, path, number, count, size) for number, place in enumerate(places)]


def read_hu(frames: Sequence[Frame]) -> np.ndarray:
    """Read the pixels of frames of one size.

    Args:
        frames (Sequence[Frame]): n frames; several of a file are read at once.

    Returns:
        ndarray: (n, rows, columns) HU, int16 or, where a rescale is not whole, float32.

    Raises:
        UserError: If a file is damaged or cannot be decoded, or its HU do not fit into 16 bits.
    """
    columns, rows = frames[0].size
    whole = all(one.slope.is_integer() and one.intercept.is_integer() for one in frames)
    hu = np.empty((len(frames), rows, columns), np.int16 if whole else np.float32)
    limits = np.iinfo(np.int16)
    of_file: dict[Path, list[int]] = {}
    for index, one in enumerate(frames):
        of_file.setdefault(one.path, []).append(index)
    for path, indices in of_file.items():
        with damage_as_user_error(path):
            stored = _read(path).pixel_array.reshape(-1, rows, columns)
        for index in indices:
            one = frames[index]
            plane = stored[one.number] * one.slope + one.intercept
            if plane.min() < limits.min or plane.max() > limits.max:
                raise UserError(
                    f'{one.name} has values from {plane.min():g} to {plane.max():g}, which cannot '
                    'be HU: give a CT scan with its own rescale slope and intercept'
                )
            hu[index] = plane
    return hu


@contextmanager
def damage_as_user_error(path: Path) -> Iterator[None]:
    """Convert what pydicom raises to a user error, and suppress its warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    except UserError:
        raise
    except Exception as error:  # a parser raises whatever damaged bytes lead to
        reason = ' '.join(str(error).split())
        raise UserError(
            f'{path} is a damaged CT slice, or none that can be read ({reason:.300}): copy the '
            'series again'
        ) from error


def _read(file: Path | BinaryIO, **options: bool | list[str]) -> Dataset:
    one = dcmread(file, force=True, **options)
    # DICOM's default; only files without a meta header do not say it
    one.file_meta.setdefault('TransferSyntaxUID', ImplicitVRLittleEndian)
    return one


def _places(header: Dataset, count: int, path: Path) -> list[list[Dataset]]:
    """Return for each of ``count`` frames the parts of the header that may have its fields."""
    own = list(header.get('PerFrameFunctionalGroupsSequence') or [])
    shared = list(header.get('SharedFunctionalGroupsSequence') or [])
    if count == 1 and not own and not shared:
        return [[header]]
    if len(own) not in (0, count):
        raise UserError(f'{path} has {count} frames and describes {len(own)}: copy it again')
    of_all = [item for groups in shared for item in _items(groups)]
    return [_items(groups) + of_all for groups in own or [Dataset()] * count]


def _items(groups: Dataset) -> list[Dataset]:
    return [item for name in _GROUPS for item in groups.get(name) or []]


def _frame(
    places: Sequence[Dataset], path: Path, number: int, count: int, size: tuple[int, int]
) -> Frame:
    name = str(path) if count == 1 else f'{path}, frame {number} (the first is 0)'
    orientation = _numbers(places, 'ImageOrientationPatient', 6, name).reshape(2, 3)
    if np.abs(orientation @ orientation.T - np.eye(2)).max() > _AXES_TOLERANCE:
        raise UserError(
            f'{name} has the ImageOrientationPatient {orientation.ravel().tolist()}, which is no '
            'pair of orthogonal directions of length 1: give the series as the scanner wrote it'
        )
    # from row to row comes first there
    spacing = _numbers(places, 'PixelSpacing', 2, name)[::-1]
    check_spacing(spacing.tolist(), 2, name)
    (slope,) = _numbers(places, 'RescaleSlope', 1, name)
    if slope == 0:
        raise UserError(f'{name} has the RescaleSlope 0: its HU are lost, take another copy')
    unit = next((place.RescaleType for place in places if place.get('RescaleType')), 'HU')
    return Frame(
        path=path,
        number=number,
        name=name,
        position=_numbers(places, 'ImagePositionPatient', 3, name),
        axes=_orthonormal(orientation),
        spacing=spacing,
        size=size,
        slope=float(slope),
        intercept=float(_numbers(places, 'RescaleIntercept', 1, name)[0]),
        unit=str(unit),
    )


def _numbers(places: Sequence[Dataset], keyword: str, count: int, name: str) -> np.ndarray:
    """Return a field's numbers, (count,).

    Raises:
        UserError: If it is missing or has others than ``count`` finite numbers.
    """
    value = next((place[keyword].value for place in places if keyword in place), None)
    try:
        numbers = np.array(value, dtype=float).ravel()
    except ValueError:
        numbers = np.empty(0)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        has = f'no {keyword}' if value in (None, '') else f'the {keyword} {value!s:.80}'
        raise UserError(
            f'{name} has {has}: a slice needs {count} number(s) there for its place and its HU; '
            'give the series as the scanner wrote it'
        )
    return numbers


def _orthonormal(axes: np.ndarray) -> np.ndarray:
    """Return (2, 3) directions that are rounded in the header as exact ones."""
    along_row, along_column = axes
    along_row = along_row / np.linalg.norm(along_row)
    normal = np.cross(along_row, along_column)
    return np.stack([along_row, np.cross(normal / np.linalg.norm(normal), along_row)])
