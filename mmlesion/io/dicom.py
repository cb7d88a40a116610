"""DICOM series of CT: choice among a folder's files, their frames, and the volume that these make.

A frame is a file of a classic series, or one of a multi-frame (Enhanced) file, whose functional
groups say the same. Where it lies and how stored values become HU is from its own header. Each file
is parsed once; its pixels are left in it until they are read, one file after the other.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset, dcmread
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ImplicitVRLittleEndian

from mmlesion.structures.ct_volume import GEOMETRY_ERROR, PATIENT, SLICE_POSITIONS, STUDY_DATE
from mmlesion.structures.slice_stack import find_shifts
from mmlesion.utils import UserError
from mmlesion.utils.errors import printable

from .checks import SPACING_LIMITS, check_spacing
from .itk import check_size

TAGS = [
    Tag(name)
    for name in (
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
        'BitsAllocated',
        'BitsStored',
        'HighBit',
        'PixelRepresentation',
        'PlanarConfiguration',
        'ExtendedOffsetTable',
        'ExtendedOffsetTableLengths',
        'PixelData',
    )
]
_GROUPS = (
    'PlanePositionSequence',
    'PlaneOrientationSequence',
    'PixelMeasuresSequence',
    'PixelValueTransformationSequence',
)
# Without the preamble of 128 bytes a file begins with its meta header, or with group 8.
_WITHOUT_PREAMBLE = (b'\x02\x00', b'\x08\x00')
_PIXEL_DATA = Tag('PixelData')
_DEFERRED = 1 << 16  # bytes from which on a value is left in the file until it is asked for
_AXES_TOLERANCE = 1e-3  # 0.06 degrees
SAME_PLANE_MM = 0.1
"""How far the far edges of slices of one volume may differ, seen from their first px."""
MOST_LEFT_OUT = 0.25
"""Of a series: slices of another orientation, px or size that are left out."""
LEAST_TILT_DEG = 0.5
TOLERANCE = 0.1
"""Of the usual distance between slices: how much others may differ."""
MOST_LISTED = 5
_LOGGER = logging.getLogger('mmlesion')


class Frame(NamedTuple):
    """A slice of a series.

    Args:
        path: Its file.
        number: Of the frame in the file, from 0.
        name: For messages.
        position: (3,) LPS mm of the center of its first px.
        axes: (2, 3) LPS directions of a row and of a column, orthonormal.
        spacing: (2,) mm from column to column and from row to row.
        size: Columns and rows.
        slope: HU of a stored value are slope times it plus intercept.
        intercept: In HU.
        unit: What the header says that this gives.
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


def read_series(path: Path, wanted: str | None = None) -> sitk.Image:
    """Read the requested or only CT series of a folder, or of a multi-frame file.

    Slices that are missing, unequally spaced or sheared by a tilted gantry are read as a regular
    grid, said in a warning; the slices' own positions are then in the metadata, under
    :data:`SLICE_POSITIONS`, by which :class:`~mmlesion.structures.ct_volume.CTVolume` moves them.

    Args:
        path: The folder or file.
        wanted: Series Instance UID. Defaults to None, its only CT series.

    Returns:
        sitk.Image: HU, slices stacked along their normal.

    Raises:
        UserError: If there is no such series, or its frames are not those of one CT volume.
    """
    frames, headers = series_frames(path, wanted)
    positions = np.array([one.position for one in frames])
    first = frames[0]
    header = headers[first.path]
    image = sitk.GetImageFromArray(_read_hu(frames, headers))
    # as ITK has it: in a tilted series not along the normal
    gap = np.linalg.norm(positions[-1] - positions[0]) / (len(frames) - 1)
    image.SetSpacing((*first.spacing.tolist(), float(gap)))
    image.SetOrigin(first.position.tolist())
    # the direction matrix has the axes i, j, k as columns
    image.SetDirection(np.stack([*first.axes, first.normal], axis=1).ravel().tolist())
    _note_irregular(positions, image, path)
    # whose it is and of which day, as far as the slice says so
    for key, name in ((PATIENT, 'PatientID'), (STUDY_DATE, 'StudyDate')):
        if header.get(name):
            image.SetMetaData(key, str(header.get(name)).strip())
    return image


def series_frames(path: Path, wanted: str | None = None) -> tuple[list[Frame], dict[Path, Dataset]]:
    """Return the slices of the requested or only CT series, in their order along the normal.

    Localizers are left out, copies of slices, and a few of another orientation, pixel spacing or
    size beside a regular stack; a warning names them.

    Args:
        path: A folder, or a file with one or all slices.
        wanted: Series Instance UID. Defaults to None, the only CT series.

    Returns:
        tuple[list[Frame], dict[Path, Dataset]]: The slices, and the headers of their files.

    Raises:
        UserError: If there is no such series, a slice does not say where it lies or how its values
            become HU, or slices are not those of one volume.
    """
    headers = _choose(path, wanted)
    frames = [one for file, header in headers.items() for one in frames_of(header, file)]
    if len(frames) < 2:
        raise UserError(
            f'{path} holds a single slice of its series: give the folder of all its DICOM slices'
        )
    held = sum(file.stat().st_size for file in headers)
    check_size(path, sum(one.size[0] * one.size[1] for one in frames), held)
    frames = _one_stack(frames, path)
    # unspecified (US) is what ITK and other programs write
    units = {one.unit for one in frames} - {'HU', 'US'}
    if units:
        said = printable(', '.join(sorted(units)))
        _LOGGER.warning('%s: RescaleType is %s; values are taken for HU', path, said)
    return frames, headers


def _choose(path: Path, wanted: str | None) -> dict[Path, Dataset]:
    """Return the headers of the files of the requested or only CT series."""
    series: dict[str, dict[Path, Dataset]] = {}
    localizers = []
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        header = read_header(file) if file.is_file() else None
        if header is None:
            continue
        if 'LOCALIZER' in str(header.get('ImageType')).upper():
            localizers.append(file.name)
        else:
            series.setdefault(str(header.get('SeriesInstanceUID')), {})[file] = header
    if localizers:
        _LOGGER.warning('leaving out localizers: %s', printable(', '.join(localizers)))
    if not series:
        raise UserError(
            f'{path} holds no DICOM series: give the folder that holds the slices themselves '
            '(its subfolders are not searched)'
        )
    listing = '\n'.join(_describe(uid, headers) for uid, headers in series.items())
    if wanted is not None and wanted not in series:
        raise UserError(f'{path} has no series {wanted}; it has\n{listing}')
    ct = [uid for uid in series if _modality(series[uid]) == 'CT' and wanted in (None, uid)]
    if not ct:
        raise UserError(f'{path} has no such CT series: give a CT scan. It has\n{listing}')
    if len(ct) > 1:
        raise UserError(f'{path} has several CT series: choose one with --series UID\n{listing}')
    if len(series) > 1:
        _LOGGER.warning('%s has %d series; taking %s of\n%s', path, len(series), ct[0], listing)
    return _without_copies(series[ct[0]])


def _describe(uid: str, headers: dict[Path, Dataset]) -> str:
    """Return a line about a series for a message."""
    described = next(iter(headers.values())).get('SeriesDescription') or 'no description'
    return printable(f'  {uid}  {_modality(headers)}, {len(headers)} file(s), {described}')


def _modality(headers: dict[Path, Dataset]) -> str:
    return str(next(iter(headers.values())).get('Modality', ''))


def _without_copies(headers: dict[Path, Dataset]) -> dict[Path, Dataset]:
    """Return each slice's first file, and say which others have its identifier and place."""
    first_of: dict[str, Path] = {}
    copies = []
    for path, header in headers.items():
        # a file without an identifier is no copy of another one
        uid = header.get('SOPInstanceUID') or path
        key = f'{uid} {header.get("ImagePositionPatient")}'
        if first_of.setdefault(key, path) is not path:
            copies.append(f'{path.name} ({first_of[key].name} again)')
    if copies:
        _LOGGER.warning('leaving out copies of slices: %s', printable(', '.join(copies)))
    return {path: headers[path] for path in first_of.values()}


def _one_stack(frames: Sequence[Frame], path: Path) -> list[Frame]:
    """Return the frames of one orientation, pixel spacing and size, in order.

    Raises:
        UserError: If several lie at one position, or there is no regular stack that nearly all
            belong to.
    """
    groups: list[list[Frame]] = []
    for one in frames:
        for group in groups:
            alike = np.abs(one.edges - group[0].edges).max() <= SAME_PLANE_MM
            if alike and one.size == group[0].size:
                group.append(one)
                break
        else:
            groups.append([one])
    groups.sort(key=len, reverse=True)
    stack, *others = groups
    normal = stack[0].normal
    stack.sort(key=lambda one: float(one.position @ normal))
    gaps = np.diff([one.position @ normal for one in stack])
    rest = [one for group in others for one in group]
    if rest:
        regular = len(gaps) > 0 and np.ptp(gaps) <= TOLERANCE * np.median(gaps)
        if not regular or len(rest) > MOST_LEFT_OUT * len(frames):
            raise UserError(
                f'{path} has {len(stack)} slices such as {stack[0].name} and {len(rest)} such as '
                f'{rest[0].name}, which differ in orientation, pixel spacing or size: put the '
                'files of one of them into a folder of their own'
            )
        listed = ', '.join(one.name for one in rest[:MOST_LISTED])
        listed += ', ...' * (len(rest) > MOST_LISTED)
        _LOGGER.warning(
            'leaving out %d slice(s) of another orientation, pixel spacing or size: %s',
            len(rest),
            printable(listed),
        )
    double = np.flatnonzero(gaps < SPACING_LIMITS[0])
    if len(double):
        files = ' and '.join(one.name for one in stack[double[0] : double[0] + 2])
        raise UserError(
            f'{path}: {len(stack)} slices share {len(stack) - len(double)} positions, for instance '
            f'{files}, so that the series holds several acquisitions: put the files of one of '
            'them into a folder of their own'
        )
    return stack


def _note_irregular(positions: np.ndarray, image: sitk.Image, path: Path) -> None:
    """Compare the slices' own positions (n, 3) in mm with the regular grid of their image.

    The largest deviation is put into the image's metadata and, where it is more than a tenth of
    their distance, so are the positions.
    """
    direction = np.array(image.GetDirection()).reshape(3, 3)[:, 2]
    steps = np.arange(len(positions))[:, None] * image.GetSpacing()[2] * direction
    # (n,) mm between each slice and the place that the regular grid has for it
    errors = np.linalg.norm(positions - (np.array(image.GetOrigin()) + steps), axis=1)
    worst = int(errors.argmax())
    image.SetMetaData(GEOMETRY_ERROR, repr(float(errors[worst])))
    if errors[worst] > TOLERANCE * image.GetSpacing()[2]:
        image.SetMetaData(SLICE_POSITIONS, ' '.join(map(repr, positions.ravel().tolist())))
        shifts = find_shifts(image, positions)
        if shifts is None:
            done = (
                f'The volume is read as a regular grid of {image.GetSpacing()[2]:.3f} mm, in which '
                f'slice {worst} lies {errors[worst]:.2f} mm off'
            )
        else:
            done = (
                f'Slices are moved within their planes, by up to {shifts.px.max()} px, to an '
                'orthogonal grid; results are those of the slices as they are in the files'
            )
        _LOGGER.warning(
            f'{path}: {describe_irregular(positions, direction)}. {done}; world coordinates of '
            "lesions are from the slices' own positions"
        )


def describe_irregular(positions: np.ndarray, normal: np.ndarray) -> str:
    """Say how slices deviate from a regular stack.

    Args:
        positions: (n, 3) mm of the first pixel of each slice, in their order.
        normal: (3,) of the slices, of length 1.

    Returns:
        str: Such as 'the gantry is tilted by 15.0 degrees; 2 slices are missing (after slice 4)'.
    """
    steps = np.diff(positions, axis=0)
    # (n - 1,) mm along the normal from each slice to the next
    gaps = steps @ normal
    usual = float(np.median(gaps))
    parts = []
    # how far slices move within their plane from one to the next, relative to their distance
    shift = np.median(steps - gaps[:, None] * normal, axis=0) / usual
    tilt = float(np.degrees(np.arctan(np.linalg.norm(shift))))
    if tilt > LEAST_TILT_DEG:
        parts.append(f'the gantry is tilted by {tilt:.1f} degrees')
    ratio = gaps / usual
    # a gap of k usual distances, k > 1, is where k - 1 slices are missing
    whole = np.rint(ratio)
    after = np.flatnonzero((whole > 1) & (np.abs(ratio - whole) < TOLERANCE))
    if len(after):
        places = ', '.join(map(str, after[:MOST_LISTED])) + (', ...' * (len(after) > MOST_LISTED))
        count = int((whole[after] - 1).sum())
        parts.append(f'{count} slices are missing (after slice {places}; the first is 0)')
    others = np.delete(gaps, after)
    if len(others) and np.abs(others - usual).max() > TOLERANCE * abs(usual):
        parts.append(f'slices are {others.min():.2f} to {others.max():.2f} mm apart')
    return '; '.join(parts) or 'slices are unequally spaced'


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
        header = dcmread(file, force=True, defer_size=_DEFERRED, specific_tags=TAGS)
        # DICOM's default; only files without a meta header do not say it
        header.file_meta.setdefault('TransferSyntaxUID', ImplicitVRLittleEndian)
        if header.file_meta.TransferSyntaxUID.is_deflated:
            # its values have no place of their own in the file
            file.seek(0)
            header = dcmread(file, force=True, specific_tags=TAGS)
        # values are parsed when they are asked for, and may be damaged
        for tag in header.keys() - {_PIXEL_DATA}:
            header[tag]
        if all(name in header for name in ('Rows', 'Columns', 'PixelData')):
            return header
        # reports, structure sets and a DICOMDIR are no images
        storage = header.file_meta.get('MediaStorageSOPClassUID')
    if storage in (CTImageStorage, EnhancedCTImageStorage):
        raise UserError(f'{path} is a damaged CT slice: copy the series again')
    return None


def frames_of(header: Dataset, path: Path) -> list[Frame]:
    """Return the frames of a file.

    Args:
        header: Of :func:`read_header`.
        path: The file.

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


def _read_hu(frames: Sequence[Frame], headers: dict[Path, Dataset]) -> np.ndarray:
    """Read the pixels of frames of one size.

    Args:
        frames: n frames; several of a file are read at once.
        headers: Of their files. Each is taken out, as it keeps its pixels.

    Returns:
        ndarray: (n, rows, columns) HU, int16 or, where a rescale is not whole, float32.

    Raises:
        UserError: If a file is damaged or cannot be decoded, or its HU do not fit into 16 bits.
    """
    columns, rows = frames[0].size
    whole = all(one.slope.is_integer() and one.intercept.is_integer() for one in frames)
    hu = np.empty((len(frames), rows, columns), np.int16 if whole else np.float32)
    plane = np.empty((rows, columns))
    limits = np.iinfo(np.int16)
    of_file: dict[Path, list[int]] = {}
    for index, one in enumerate(frames):
        of_file.setdefault(one.path, []).append(index)
    for path, indices in of_file.items():
        with damage_as_user_error(path):
            stored = headers.pop(path).pixel_array.reshape(-1, rows, columns)
        for index in indices:
            one, frame = frames[index], stored[frames[index].number]
            ends = (frame.min() * one.slope, frame.max() * one.slope)
            low, high = min(ends) + one.intercept, max(ends) + one.intercept
            if low < limits.min or high > limits.max:
                raise UserError(
                    f'{one.name} has values from {low:g} to {high:g}, which cannot be HU: give a '
                    'CT scan with its own rescale slope and intercept'
                )
            np.multiply(frame, one.slope, out=plane)
            plane += one.intercept
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
