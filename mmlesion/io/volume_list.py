"""Lists of volumes: a folder, a pattern, a CSV file, or a folder of DICOM studies."""

from __future__ import annotations

import csv
import glob
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import SimpleITK as sitk

from mmlesion.utils import UserError

from .atomic import PARTIAL
from .checks import is_plain_name
from .itk import itk_path

TABLES = ('volumes.csv', 'lesions.csv')
"""What lies beside the folders of results."""
SUFFIXES = ('.nii', '.nii.gz', '.mha', '.mhd', '.nrrd')


class ListedVolume(NamedTuple):
    """A volume of a list.

    Args:
        name: Different for each volume of the list, and a valid name of a folder.
        path: The file, or the folder of a DICOM series.
    """

    name: str
    path: Path


def list_volumes(source: str | Path) -> list[ListedVolume] | None:
    """List the volumes that a path stands for.

    Args:
        source: A CSV file with a column ``volume``, paths relative to it, and
            optionally ``name``; a pattern with ``*``, ``?`` or ``[...]``; a folder of volume files;
            a folder whose subfolders, at any depth, hold DICOM series.

    Returns:
        list[ListedVolume] | None: In the order of the CSV file, or by name. None if the path is
        itself a volume: a file, or a folder with slices of a DICOM series.

    Raises:
        UserError: If it stands for no volume, or two volumes have one name.
    """
    path = Path(source)
    if path.is_dir():
        # the folder is a volume itself, not a list
        if _has_dicom(path):
            return None
        found = _files_in(path) or _series_below(path)
        if not found:
            raise UserError(
                f'{path} has neither volumes ({", ".join(SUFFIXES)}) nor DICOM series, nor have '
                'its subfolders: give the folder that holds them'
            )
        return _checked(found, source)
    if path.is_file():
        return _checked(_read_csv(path), source) if path.suffix.lower() == '.csv' else None
    if glob.has_magic(str(source)):
        paths = sorted(map(Path, glob.glob(str(source), recursive=True)))
        if not paths:
            raise UserError(f'no file matches {source}: mind the quotes around it')
        return _checked((ListedVolume(_stem(one), one) for one in paths), source)
    return None


def _checked(volumes: Iterable[ListedVolume], source: str | Path) -> list[ListedVolume]:
    """Raise UserError where a name cannot be that of a folder of results, or two have the same."""
    by_name: dict[str, ListedVolume] = {}
    for volume in volumes:
        if not is_plain_name(volume.name) or volume.name.startswith(PARTIAL):
            raise UserError(f'{source}: {volume.name!r} is no name of a folder: give another')
        if volume.name in TABLES:
            raise UserError(
                f'{source}: a volume is called {volume.name}, as a table of all volumes is: give '
                'it another name'
            )
        other = by_name.setdefault(volume.name, volume)
        if other is not volume:
            raise UserError(
                f'{source}: {other.path} and {volume.path} are both called {volume.name}: list '
                'them in a CSV file with the columns name and volume'
            )
    return list(by_name.values())


def _stem(path: Path) -> str:
    suffix = next((one for one in SUFFIXES if path.name.lower().endswith(one)), '')
    return path.name[: len(path.name) - len(suffix)]


def _files_in(folder: Path) -> list[ListedVolume]:
    files = [path for path in sorted(folder.iterdir()) if path.name.lower().endswith(SUFFIXES)]
    return [ListedVolume(_stem(path), path) for path in files]


def _series_below(folder: Path) -> list[ListedVolume]:
    """Return the subfolders with DICOM files, named by the way that leads to them."""
    found = []
    for path in sorted(folder.rglob('*')):
        if path.is_dir() and _has_dicom(path):
            found.append(ListedVolume('_'.join(path.relative_to(folder).parts), path))
    return found


def _has_dicom(folder: Path) -> bool:
    try:
        return bool(sitk.ImageSeriesReader.GetGDCMSeriesIDs(itk_path(folder)))
    except UserError:
        # to be listed if it holds a series, so that the error is its own
        return any(_is_dicom(path) for path in folder.iterdir() if path.is_file())


def _is_dicom(path: Path) -> bool:
    with open(path, 'rb') as file:
        return file.read(132).endswith(b'DICM')


def _read_csv(path: Path) -> list[ListedVolume]:
    try:
        with open(path, newline='', encoding='utf-8-sig') as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'{path} cannot be read as CSV: {error}') from None
    if 'volume' not in (reader.fieldnames or []):
        raise UserError(f'{path} has no column "volume": give one with the path of each volume')
    volumes = []
    for number, row in enumerate(rows, start=2):
        if not row['volume']:
            raise UserError(f'{path}, line {number}: the volume is missing')
        # relative to the CSV file; an absolute path stays as it is
        volume = path.parent / row['volume']
        name = row.get('name') or _stem(volume)
        volumes.append(ListedVolume(name, volume))
    if not volumes:
        raise UserError(f'{path} lists no volume: give a row for each')
    return volumes
