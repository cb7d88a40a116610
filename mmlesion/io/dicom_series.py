"""DICOM series of CT: choice among a folder's files, and the volume that their frames make.

Geometry and rescale are those of the headers (:mod:`mmlesion.io.dicom_frames`), of classic and of
multi-frame series alike.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset

from mmlesion.structures.ct_volume import PATIENT, SLICE_POSITIONS, STUDY_DATE
from mmlesion.structures.slice_shifts import find_shifts
from mmlesion.utils import UserError
from mmlesion.utils.errors import printable

from .checks import SPACING_LIMITS
from .dicom_frames import Frame, frames_of, read_header, read_hu
from .itk import check_size
from .slice_gaps import MOST_LISTED, TOLERANCE, describe_irregular

SAME_PLANE_MM = 0.1
"""How far the far edges of slices of one volume may differ, seen from their first px."""
MOST_LEFT_OUT = 0.25
"""Of a series: slices of another orientation, px or size that are left out."""
_LOGGER = logging.getLogger('mmlesion')


def read_series(path: Path, wanted: str | None = None) -> sitk.Image:
    """Read the requested or only CT series of a folder, or of a multi-frame file.

    Slices that are missing, unequally spaced or sheared by a tilted gantry are read as a regular
    grid, said in a warning; the slices' own positions are then in the metadata, under
    :data:`SLICE_POSITIONS`, by which :class:`~mmlesion.structures.ct_volume.CTVolume` moves them.

    Args:
        path (Path): The folder or file.
        wanted (str, optional): Series Instance UID. Defaults to None, its only CT series.

    Returns:
        sitk.Image: HU, slices stacked along their normal.

    Raises:
        UserError: If there is no such series, or its frames are not those of one CT volume.
    """
    frames = series_frames(path, wanted)
    positions = np.array([one.position for one in frames])
    first = frames[0]
    image = sitk.GetImageFromArray(read_hu(frames))
    # as ITK has it: in a tilted series not along the normal
    gap = np.linalg.norm(positions[-1] - positions[0]) / (len(frames) - 1)
    image.SetSpacing((*first.spacing.tolist(), float(gap)))
    image.SetOrigin(first.position.tolist())
    # the direction matrix has the axes i, j, k as columns
    image.SetDirection(np.stack([*first.axes, first.normal], axis=1).ravel().tolist())
    _note_irregular(positions, image, path)
    _note_study(image, first.path)
    return image


def _note_study(image: sitk.Image, path: Path) -> None:
    """Put into an image's metadata whose it is and of which day, as far as its slice says so."""
    header = read_header(path)
    for key, name in ((PATIENT, 'PatientID'), (STUDY_DATE, 'StudyDate')):
        if header is not None and header.get(name):
            image.SetMetaData(key, str(header.get(name)).strip())


def series_frames(path: Path, wanted: str | None = None) -> list[Frame]:
    """Return the slices of the requested or only CT series, in their order along the normal.

    Localizers are left out, copies of slices, and a few of another orientation, pixel spacing or
    size beside a regular stack; a warning names them.

    Args:
        path (Path): A folder, or a file with one or all slices.
        wanted (str, optional): Series Instance UID. Defaults to None, the only CT series.

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
    return frames


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

    Where one lies farther off than a tenth of their distance, the positions are put into the
    image's metadata.
    """
    direction = np.array(image.GetDirection()).reshape(3, 3)[:, 2]
    steps = np.arange(len(positions))[:, None] * image.GetSpacing()[2] * direction
    # (n,) mm between each slice and the place that the regular grid has for it
    errors = np.linalg.norm(positions - (np.array(image.GetOrigin()) + steps), axis=1)
    worst = int(errors.argmax())
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
