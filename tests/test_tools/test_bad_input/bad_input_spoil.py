"""Ways to spoil files: each returns a function that takes the folder of the data."""

import json
import shutil
import struct
import zlib

import cv2
import numpy as np
import SimpleITK as sitk

DEEP_JSON = '[' * 100_000
HUGE_INTEGER = '1' + '0' * 1_000_000


def both(*ways):
    """Spoil in several ways."""

    def spoil(data):
        for way in ways:
            way(data)

    return spoil


def remove(name):
    """Delete a file or a folder."""

    def spoil(data):
        path = data / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def text(name, content):
    """Write text to a file; its folder is made."""

    def spoil(data):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(content)

    return spoil


def binary(name, content=b'\xff\xfe\x00\x80' * 50):
    """Write bytes that are no text."""
    return lambda data: (data / name).write_bytes(content)


def truncate(name, keep=0.5):
    """Cut a file off."""

    def spoil(data):
        content = (data / name).read_bytes()
        (data / name).write_bytes(content[: int(len(content) * keep)])

    return spoil


def folder_for(name):
    """Put a folder in the place of a file."""

    def spoil(data):
        (data / name).unlink()
        (data / name).mkdir()

    return spoil


def file_for(name):
    """Put a file in the place of a folder."""

    def spoil(data):
        shutil.rmtree(data / name)
        (data / name).write_text('a file')

    return spoil


def replaced(name, old, new):
    """Exchange part of a text file, once."""

    def spoil(data):
        content = (data / name).read_text()
        assert old in content
        (data / name).write_text(content.replace(old, new, 1))

    return spoil


def edited(name, change):
    """Change the content of a JSON file in place, or return it anew."""

    def spoil(data):
        content = json.loads((data / name).read_text())
        changed = change(content)
        (data / name).write_text(json.dumps(content if changed is None else changed))

    return spoil


def field(name, key, value, part='annotations', index=0):
    """Set a field of the first annotation, or another, of a COCO file."""
    return edited(name, lambda content: content[part][index].__setitem__(key, value))


def without(name, key, part='annotations', index=0):
    """Delete a field of the first annotation, or another, of a COCO file."""

    def change(content):
        del content[part][index][key]

    return edited(name, change)


def image(name, change):
    """Change an image that SimpleITK reads."""

    def spoil(data):
        path = str(data / name)
        sitk.WriteImage(change(sitk.ReadImage(path)), path)

    return spoil


def voxel(name, value):
    """Set a voxel of an image, which becomes one of floats."""

    def change(volume):
        volume = sitk.Cast(volume, sitk.sitkFloat32)
        volume[1, 1, 1] = value
        return volume

    return image(name, change)


def header(name, offset, code, *values):
    """Overwrite numbers in the header of a NIfTI file that is not compressed."""

    def spoil(data):
        content = bytearray((data / name).read_bytes())
        struct.pack_into(code, content, offset, *values)
        (data / name).write_bytes(content)

    return spoil


def nifti_spacing(name, value):
    """Set the size of a voxel along z in the header of a NIfTI file: pixdim, and the sform."""
    return both(header(name, 88, '<f', value), header(name, 320, '<f', value))


def png(name, change):
    """Change the stored values of a picture."""

    def spoil(data):
        picture = change(cv2.imread(str(data / name), cv2.IMREAD_UNCHANGED))
        assert cv2.imwrite(str(data / name), picture)

    return spoil


def eight_bits(name):
    """Make a picture of 8 bits of one of 16."""
    return png(name, lambda picture: (picture >> 8).astype(np.uint8))


def in_color(name):
    """Make a picture in color."""
    return png(name, lambda gray: np.dstack([gray, gray // 2, gray // 3]))


def palette(name):
    """Write a PNG of 8 bits with a palette."""

    def spoil(data):
        old = cv2.imread(str(data / name), cv2.IMREAD_UNCHANGED)
        height, width = old.shape
        rows = b''.join(b'\0' + bytes(row) for row in (old >> 8).astype(np.uint8).tolist())
        colors = bytes(value for index in range(256) for value in (index, index, index))
        parts = (b'PLTE', colors), (b'IDAT', zlib.compress(rows)), (b'IEND', b'')
        (data / name).write_bytes(_png(width, height, 8, 3, parts))

    return spoil


def huge_png(name, side=60_000):
    """Write a PNG of a few kilobytes that is to be of 60,000 px a side."""

    def spoil(data):
        compressor = zlib.compressobj(9)
        row = b'\0' + bytes(2 * side)
        content = b''.join(compressor.compress(row) for _ in range(100)) + compressor.flush()
        parts = (b'IDAT', content), (b'IEND', b'')
        (data / name).write_bytes(_png(side, side, 16, 0, parts))

    return spoil


def _png(width, height, bits, kind, parts):
    start = (b'IHDR', struct.pack('>IIBBBBB', width, height, bits, kind, 0, 0, 0))
    chunks = [
        struct.pack('>I', len(content))
        + tag
        + content
        + struct.pack('>I', zlib.crc32(tag + content))
        for tag, content in (start, *parts)
    ]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunks)
