"""DICOM series of CT: choice among a folder's files, and the slices' own positions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from mmlesion.structures.ct_volume import SLICE_POSITIONS
from mmlesion.structures.slice_shifts import find_shifts
from mmlesion.utils import UserError

from .itk_reading import check_voxels, itk_errors_as_user_errors
from .slice_gaps import describe_irregular

IMAGE_TYPE, MODALITY, DESCRIPTION = '0008|0008', '0008|0060', '0008|103e'
POSITION, ORIENTATION, INSTANCE = '0020|0032', '0020|0037', '0008|0018'
CT_IMAGE_STORAGE = b'1.2.840.10008.5.1.4.1.1.2\0'
DIRECTORY_STORAGE = b'1.2.840.10008.1.3.10'  # of even length, without padding
_LOGGER = logging.getLogger('mmlesion')


class _Header(NamedTuple):
    """What a DICOM file says of its series."""

    modality: str
    description: str
    image_type: str = ''

    @property
    def is_localizer(self) -> bool:
        """Whether it is a survey that the scan was planned on."""
        return 'LOCALIZER' in self.image_type.upper().split('\\')

    def describe(self, uid: str, num_files: int) -> str:
        """Return a line about the series for a message."""
        described = self.description or 'no description'
        return f'  {uid}  {self.modality}, {num_files} file(s), {described}'


def series_files(folder: Path, wanted: str | None = None) -> Sequence[str]:
    """Return the files of the requested or only CT series of a folder, in the order of its slices.

    Localizers are left out, and copies of slices; a warning names them.

    Args:
        folder (Path): The folder.
        wanted (str, optional): Series Instance UID. Defaults to None, its only CT series.

    Raises:
        UserError: If there is no such series, or none is asked for and there are several.
    """
    files, headers = {}, {}
    readable: set[str] = set()
    with itk_errors_as_user_errors(folder):
        for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)):
            # in the order of the slices along their normal
            names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
            readable.update(Path(name).name for name in names)
            names = _without_localizers(names)
            if names:
                files[uid], headers[uid] = names, _header(names[0])
    _check_left_out(folder, readable)
    if not files:
        raise UserError(
            f'{folder} holds no DICOM series: give the folder that holds the slices themselves '
            '(its subfolders are not searched)'
        )
    lines = [headers[uid].describe(uid, len(names)) for uid, names in files.items()]
    listing = '\n'.join(lines)
    if wanted is not None and wanted not in files:
        raise UserError(f'{folder} has no series {wanted}; it has\n{listing}')
    ct = [uid for uid in files if headers[uid].modality == 'CT' and wanted in (None, uid)]
    if not ct:
        raise UserError(f'{folder} has no such CT series: give a CT scan. It has\n{listing}')
    if len(ct) > 1:
        raise UserError(f'{folder} has several CT series: choose one with --series UID\n{listing}')
    if len(files) > 1:
        _LOGGER.warning('%s has %d series; taking %s of\n%s', folder, len(files), ct[0], listing)
    return _without_copies(files[ct[0]])


def _without_localizers(names: Sequence[str]) -> list[str]:
    """Return the files that are no localizers, and say which ones are."""
    localizers = [name for name in names if _header(name).is_localizer]
    if localizers:
        listed = ', '.join(Path(name).name for name in localizers)
        _LOGGER.warning('leaving out localizers: %s', listed)
    return [name for name in names if name not in localizers]


def _check_left_out(folder: Path, readable: set[str]) -> None:
    """Find damaged CT slices, which GDCM leaves out without a word."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in readable:
            with open(path, 'rb') as file:
                # the SOP class lies in the file's meta header, which a truncated file still has
                start = file.read(1024)
            # a DICOMDIR names the storage of what it lists
            if CT_IMAGE_STORAGE in start and DIRECTORY_STORAGE not in start:
                raise UserError(f'{path} is a damaged CT slice: copy the series again')


def _header(path: str) -> _Header:
    """Return modality and description of a DICOM file."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError:  # structure sets and reports lie beside CT series, but are no images
        return _Header('not an image', '')
    return _Header(
        modality=_metadata(reader, MODALITY),
        description=_metadata(reader, DESCRIPTION),
        image_type=_metadata(reader, IMAGE_TYPE),
    )


def _metadata(reader: sitk.ImageFileReader, key: str) -> str:
    return reader.GetMetaData(key).strip() if reader.HasMetaDataKey(key) else ''


def read_series(folder: Path, names: Sequence[str]) -> sitk.Image:
    """Read the files of a series.

    Slices that are missing, unequally spaced or sheared by a tilted gantry are read as a regular
    grid, said in a warning; the slices' own positions are then in the metadata, under
    :data:`SLICE_POSITIONS`, by which :class:`~mmlesion.structures.ct_volume.CTVolume` moves them.

    Args:
        folder (Path): Their folder, for messages.
        names (Sequence[str]): In the order of the slices; one for a multi-frame image.

    Raises:
        UserError: If they cannot be read, or slices lie at one position.
    """
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(names)
    reader.MetaDataDictionaryArrayUpdateOn()
    with itk_errors_as_user_errors(folder):
        check_voxels(Path(names[0]), len(names))
        # a single file may have all slices as frames, and is no series of slices then
        if len(names) == 1:
            return _one_volume(sitk.ReadImage(names[0]))
        image = reader.Execute()
    indices = range(len(names))
    if all(reader.HasMetaDataKey(index, POSITION) for index in indices):
        texts = [reader.GetMetaData(index, POSITION) for index in indices]
        positions = np.array([text.split('\\') for text in texts], float)
        _check_positions(positions, names, folder)
        _note_irregular(positions, image, folder)
    return image


def _one_volume(image: sitk.Image) -> sitk.Image:
    """Return a multi-frame image without a fourth axis of length 1."""
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        return image[:, :, :, 0]
    return image


def _without_copies(names: Sequence[str]) -> list[str]:
    """Return each slice's first file, and say which others have the same SOP Instance UID."""
    first_of: dict[str, str] = {}
    copies = []
    for name in names:
        # a file without an identifier is no copy of another one
        uid = _read_fields(name, INSTANCE)[0] or name
        if first_of.setdefault(uid, name) != name:
            copies.append(f'{Path(name).name} ({Path(first_of[uid]).name} again)')
    if not copies:
        return list(names)
    _LOGGER.warning('leaving out copies of slices: %s', ', '.join(copies))
    # GDCM puts files in the order of their slices only where no two lie at one place.
    return sorted(first_of.values(), key=_height)


def _height(path: str) -> float:
    """Return how far a slice lies along its normal, in mm."""
    position, orientation = _read_fields(path, POSITION, ORIENTATION)
    try:
        # directions of a row and of a column in the patient; their cross product is the normal
        axes = np.array(orientation.split('\\'), dtype=float).reshape(2, 3)
        return float(np.cross(*axes) @ np.array(position.split('\\'), dtype=float))
    except ValueError:
        raise UserError(f'{path} does not say where it lies: copy the series again') from None


def _read_fields(path: str, *keys: str) -> list[str]:
    reader = sitk.ImageFileReader()
    reader.SetFileName(path)
    with itk_errors_as_user_errors(Path(path)):
        reader.ReadImageInformation()
    return [_metadata(reader, key) for key in keys]


def _check_positions(positions: np.ndarray, names: Sequence[str], folder: Path) -> None:
    """Raise UserError if different slices, (n, 3) mm, lie at one position."""
    # place[i] is the group of slice i among equal positions, count[g] how many slices it has
    _, place, count = np.unique(positions.round(3), axis=0, return_inverse=True, return_counts=True)
    if count.max() > 1:
        double = np.flatnonzero(place.ravel() == int(count.argmax()))[:2]
        files = ' and '.join(Path(names[index]).name for index in double)
        raise UserError(
            f'{folder}: {len(positions)} slices share {len(count)} positions, for instance '
            f'{files}, so that the series holds several acquisitions: put the files of one of '
            'them into a folder of their own'
        )


def _note_irregular(positions: np.ndarray, image: sitk.Image, folder: Path) -> None:
    """Compare the slices' own positions (n, 3) in mm with the regular grid that ITK makes of them.

    Where one lies farther off than a tenth of their distance, the positions are put into the
    image's metadata.
    """
    # the direction matrix has the axes i, j, k as columns; slices are stacked along k
    direction = np.array(image.GetDirection()).reshape(3, 3)[:, 2]
    steps = np.arange(len(positions))[:, None] * image.GetSpacing()[2] * direction
    # (n,) mm between each slice and the place that the regular grid has for it
    errors = np.linalg.norm(positions - (np.array(image.GetOrigin()) + steps), axis=1)
    worst = int(errors.argmax())
    if errors[worst] > 0.1 * image.GetSpacing()[2]:
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
            f'{folder}: {describe_irregular(positions, direction)}. {done}; world coordinates of '
            "lesions are from the slices' own positions"
        )
