"""Slices of CT series as images, ``<series>/<number>.png``: 16-bit PNG of HU + 32768.

Neither OpenCV nor anything else that is slow to import is needed to work with their names.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from mmlesion.structures import SliceSeries
from mmlesion.utils import UserError

from .checks import get_column
from .schema import HU_OFFSET, path_under

MAX_PIXELS = 1 << 26
"""Of a slice, 8192 x 8192: a file of a few kB may declare thousands of times as many."""
_FORMATS = ('PNG', 'JPEG', 'TIFF', 'BMP', 'JPEG2000', 'WEBP', 'PPM')
_NUMBERED = re.compile(r'(\d+)(\.[^.]+)$')
_NO_PICTURE = 'slice {} is not a picture that OpenCV reads: copy it again'
# Some OpenCV versions decode a truncated file to a picture whose rest is blank, silently.
_FILE_ENDS = {b'\x89PNG': b'IEND', b'\xff\xd8\xff': b'\xff\xd9'}


def slice_file_name(number: int, last: int = 0) -> str:
    """Return a slice's file name: its number in three digits, or as many as the last one has.

    Args:
        number: Of the slice.
        last: The last slice's number of the series. Defaults to 0, of up to three digits.
    """
    return f'{number:0{max(3, len(str(last)))}d}.png'


def series_of(file_name: str | PurePath) -> str:
    """Return the series of a slice: its folder, with forward slashes."""
    return PurePath(file_name).parent.as_posix()


def has_slice_number(file_name: str) -> bool:
    """Return whether a file is visible and its name ends in a number, as those of slices do."""
    return not PurePath(file_name).name.startswith('.') and bool(_NUMBERED.search(file_name))


def slice_number(file_name: str) -> int:
    """Return the number that a slice's file name ends in.

    Raises:
        UserError: If there is none.
    """
    return int(_match_number(file_name)[1])


def slice_path(sample: Mapping[str, Any], number: int) -> str:
    """Return the path of another slice of a sample's series: the number in the name, exchanged.

    Args:
        sample: With ``img_path``, and ``slice_index`` where it is not the only slice.
        number: Of the other slice.

    Raises:
        UserError: If the name has no number.
    """
    path = sample['img_path']
    if number == sample.get('slice_index', number):
        return path
    match = _match_number(path)
    digits, suffix = match.groups()
    return f'{path[: match.start()]}{number:0{len(digits)}d}{suffix}'


def _match_number(file_name: str) -> re.Match[str]:
    match = _NUMBERED.search(file_name)
    if match is None:
        raise UserError(f'{file_name} does not end in a slice number such as 037.png')
    return match


def read_slice(path: str, fetch: Callable[[str], bytes] | None = None) -> np.ndarray:
    """Read one slice's stored values.

    Args:
        path: A gray picture, of one channel or several equal ones.
        fetch: Takes the path and returns the file's bytes. Defaults to None,
            which reads a local file.

    Returns:
        ndarray: (H, W) uint8 or uint16, values as stored.

    Raises:
        FileNotFoundError: If there is no such file.
        UserError: If it cannot be read, is truncated, or is in color.
    """
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
        raise UserError(f'slice {path} is not a file: copy the series again')
    try:
        data = Path(path).read_bytes() if fetch is None else fetch(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f'slice {path} cannot be read ({error})') from error
    return _decode(data, path)


def _decode(data: bytes, path: str) -> np.ndarray:
    import cv2

    if not _is_whole(data):
        raise UserError(f'slice {path} is truncated: copy or extract it again')
    _check_pixels(data, path)
    try:
        img = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        img = None
    if img is None:
        raise UserError(_NO_PICTURE.format(path))
    if img.ndim == 2:
        return img
    if (img != img[..., :1]).any():
        raise UserError(f'slice {path} is a color picture: a slice is grayscale')
    return np.ascontiguousarray(img[..., 0])


def _check_pixels(data: bytes, path: str) -> None:
    """Compare the size in a picture's header with :data:`MAX_PIXELS`, before room is made for it.

    Raises:
        UserError: If it is larger, or no picture.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            width, height = picture.size
    except Image.DecompressionBombError:
        width, height = MAX_PIXELS, MAX_PIXELS
    except Exception:  # of a damaged header nearly any
        raise UserError(_NO_PICTURE.format(path)) from None
    if width * height > MAX_PIXELS:
        raise UserError(f'slice {path} has over {MAX_PIXELS} px: a CT slice has fewer')


def _is_whole(data: bytes) -> bool:
    # a format without a known end has none to check; only an empty file is refused then
    ends = [end for start, end in _FILE_ENDS.items() if data.startswith(start)]
    return len(data) > 0 and all(end in data[-1024:] for end in ends)


def read_hu(path: str | Path) -> np.ndarray:
    """Read a slice in HU.

    Args:
        path: 16 bits are HU + 32768, as in DeepLesion's PNG; 8 bits are
            (HU + 1024) / 16, in one channel or in several that are equal.

    Returns:
        ndarray: (H, W) float32.

    Raises:
        FileNotFoundError: If there is no such file.
        UserError: If it is no picture, truncated or colored.
    """
    stored = read_slice(str(path))
    if stored.dtype == np.uint8:
        # 256 gray levels of 16 HU each, from -1024
        return stored.astype(np.float32) * 16 - 1024
    if stored.dtype != np.uint16:
        raise UserError(f'slice {path} holds {stored.dtype} values: a slice has 8 or 16 bits')
    return stored.astype(np.float32) - HU_OFFSET


def write_slice(path: str | Path, hu: np.ndarray) -> None:
    """Write a slice as DeepLesion has it: a 16-bit PNG of HU + 32768.

    Args:
        path: The file.
        hu: (H, W) whole HU, -32768 to 32767.

    Raises:
        OSError: If it cannot be written.
    """
    import cv2

    # in 32 bits, as the sum of an int16 and the offset would wrap around
    stored = (hu.astype(np.int32) + HU_OFFSET).astype(np.uint16)
    # cv2.imwrite does not say why it fails
    _, png = cv2.imencode('.png', stored, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    Path(path).write_bytes(png)


def merge_ranges(ranges: Iterable[Sequence[int]]) -> list[tuple[int, int]]:
    """Join slice ranges that overlap.

    Args:
        ranges: First and last slice of each, inclusive.

    Returns:
        list[tuple[int, int]]: What is left, in ascending order.
    """
    merged: list[tuple[int, int]] = []
    for first, last in sorted(map(tuple, ranges)):
        # ascending by first: a range can overlap only the last of those merged
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def list_series(coco: dict, root: str | Path) -> list[SliceSeries]:
    """List the series of a COCO file with all their slices.

    Args:
        coco: COCO content with mmlesion's fields; files are ``<series>/<slice>.png``.
        root: The folder of the images.

    Returns:
        list[SliceSeries]: By name.

    Raises:
        UserError: If a series has no folder, a listed slice is missing, or a name has no number.
    """
    series, series_of_image = {}, {}
    get_column(coco['images'], 'file_name', 'image')
    for image in coco['images']:
        name = series_of(image['file_name'])
        if name not in series:
            series[name] = _list_slices(name, root)
        # The folder has all slices, the file only some of them.
        found, number = series[name], slice_number(image['file_name'])
        if number not in found.slices:
            raise UserError(f'there is no slice {path_under(root, image["file_name"])}')
        found.images[number] = image
        series_of_image[image['id']] = found
    for annotation in coco['annotations']:
        series_of_image[annotation['image_id']].annotations.append(annotation)
    return [series[name] for name in sorted(series)]


def _list_slices(name: str, root: Path | str) -> SliceSeries:
    folder = Path(path_under(root, name))
    if not folder.is_dir():
        raise UserError(f'there is no folder {folder} of a series: check the folder of the images')
    files = [path.name for path in folder.iterdir() if has_slice_number(path.name)]
    # by number, as names sort 10 before 9; the name decides between 009.png and 9.png
    files.sort(key=lambda file: (slice_number(file), file))
    numbers = np.array([slice_number(file) for file in files], int)
    return SliceSeries(name, numbers, [f'{name}/{file}' for file in files])
