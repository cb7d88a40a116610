"""Assembly of a page: a template, its style and program, pictures and volumes, in one file."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from mmlesion.io.atomic import atomic_write
from mmlesion.io.json_files import compact_json
from mmlesion.io.results import NOT_FOR_DIAGNOSIS
from mmlesion.utils import UserError

ASSETS = Path(__file__).parent / 'assets'
VENDOR = Path(__file__).parent / 'vendor'
TITLES = dict(froc='FROC report', volume='Lesions of a volume', followup='Lesions in two studies')


def write_page(name: str, data: Any, path: str | Path, library: str | None = None) -> None:
    """Write a page that needs no other file and no network, whole or not at all.

    A content security policy allows the page nothing but its own style, program and pictures.

    Args:
        name: Of the page's body, style and program in ``assets``, which complete those of
            all pages, ``page.*``. One of :data:`TITLES`.
        data: What the program shows; NaN and infinity become null.
        path: The HTML file.
        library: Path of a program in ``vendor`` that the page's own one uses, with
            its ``LICENSE`` and ``THIRD_PARTY_LICENSES.txt`` beside it.
    """
    style = _asset('page.css') + _asset(f'{name}.css')
    own = _asset('page.js') + _asset(f'{name}.js')
    scripts = [own] if library is None else [_licensed(library), own]
    parts = {
        '{{body}}': _asset(f'{name}.html'),
        '{{policy}}': _policy(scripts, style),
        '{{title}}': TITLES[name],
        '{{disclaimer}}': NOT_FOR_DIAGNOSIS,
        '{{style}}': style,
        '{{scripts}}': ''.join(f'<script>{script}</script>\n' for script in scripts),
        '{{data}}': _embed(data),
    }
    page = _asset('page.html')
    # The data are last: what they contain is not looked at for further marks.
    for mark, text in parts.items():
        page = page.replace(mark, text, 1)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding='utf-8')


def check_html_name(option: str, path: str | Path) -> None:
    """Raise UserError if an option names a file that is not HTML."""
    if Path(path).suffix.lower() not in ('.html', '.htm'):
        raise UserError(f'{option} is {path}: give a file name in .html')


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding='utf-8')


def _licensed(library: str) -> str:
    """Return a bundled program below the licenses, which go with each copy."""
    path = VENDOR / library
    licenses = [path.with_name(name) for name in ('LICENSE', 'THIRD_PARTY_LICENSES.txt')]
    text = '\n'.join(one.read_text(encoding='utf-8') for one in licenses)
    return f'/*!\n{text}*/\n{path.read_text(encoding="utf-8")}'


def _policy(scripts: Sequence[str], style: str) -> str:
    hashes = ' '.join(f"'{_hash_of(script)}'" for script in scripts)
    sources = f"script-src {hashes}; style-src '{_hash_of(style)}'"
    return f"default-src 'none'; img-src data:; {sources}"


def _hash_of(text: str) -> str:
    # a browser runs a script or applies a style only if its text has this digest
    digest = hashlib.sha256(text.encode('utf-8')).digest()
    return 'sha256-' + base64.b64encode(digest).decode('ascii')


def _embed(data: Any) -> str:
    """Return JSON that cannot end the element it stands in."""
    return compact_json(data).replace('<', '\\u003c')


QUALITY = 88  # of JPEG


def encode_slice(slice_hu: np.ndarray, window: Sequence[float]) -> str:
    """Return a slice as the data URL of a gray JPEG.

    Args:
        slice_hu: (H, W) HU.
        window: Lower and upper HU; these become black and white.

    Returns:
        str: ``data:image/jpeg;base64,...``.
    """
    import cv2  # a page without pictures does not need it, nor what it links to

    low, high = window
    gray = np.clip((slice_hu - low) / (high - low), 0, 1) * 255
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    _, data = cv2.imencode('.jpg', gray.round().astype(np.uint8), options)
    return 'data:image/jpeg;base64,' + base64.b64encode(data.tobytes()).decode('ascii')


MOST_VOXELS = 1 << 25
"""Voxels that a page embeds by default: 128 slices of 512 x 512 px, about 40 MB of HTML."""

_TO_RIGHT_ANTERIOR_SUPERIOR = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)


def binning_factor(shape: tuple[int, ...], most_voxels: int) -> int:
    """Return how many px along x and y are averaged to one, so that a volume is within a bound.

    Args:
        shape: Slices, rows and columns.
        most_voxels: The bound.

    Returns:
        int: 1 if the volume is small enough. All slices are kept.
    """
    factor = max(1, int(np.ceil(np.sqrt(np.prod(shape, dtype=float) / most_voxels))))
    # at least one block along each axis
    return min(factor, *shape[1:])


def in_blocks(array: np.ndarray, factor: int) -> np.ndarray:
    """View each slice in squares of px; those that fill no square at the far edges are cut off.

    Args:
        array: (z, y, x).
        factor: Px along each side of a square.

    Returns:
        ndarray: (z, y // factor, factor, x // factor, factor).
    """
    depth, height, width = array.shape[0], array.shape[1] // factor, array.shape[2] // factor
    cut = array[:, : height * factor, : width * factor]
    return cut.reshape(depth, height, factor, width, factor)


def encode_volume(array: np.ndarray, spacing: tuple[float, ...]) -> str:
    """Return a volume as base64 of ``.nii.gz``, its first voxel at 0 mm, without rotation.

    Args:
        array: (z, y, x) with columns to the patient's left, rows to posterior, slices to
            inferior, as in :class:`~mmlesion.structures.ct_volume.CTVolume`; of a type that NIfTI
            has.
        spacing: x, y, z mm.
    """
    # Turned round along all axes: NIfTI counts from left to right, posterior to anterior, inferior
    # to superior.
    image = sitk.GetImageFromArray(np.ascontiguousarray(array[::-1, ::-1, ::-1]))
    image.SetSpacing(spacing)
    # In the LPS of SimpleITK, which it writes as the identity of NIfTI's RAS.
    image.SetDirection(_TO_RIGHT_ANTERIOR_SUPERIOR)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'volume.nii.gz'
        sitk.WriteImage(image, str(path), useCompression=True, compressionLevel=6)
        return base64.b64encode(path.read_bytes()).decode('ascii')
