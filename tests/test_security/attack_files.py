"""Data files that attack whoever reads them, made by code."""

import gzip
import io
import struct
import zlib

import cv2
import numpy as np

NAMES = {
    'parent': '../a.png',
    'parent_below': 'a/../../b.png',
    'behind_a_link': 'link/../b.png',
    'absolute': '/etc/passwd',
    'windows_parent': '..\\a.png',
    'windows_parent_below': 'a\\..\\..\\b.png',
    'nul': 'a\0.png',
    'number': 3,
    'nothing': None,
    'list': ['a.png'],
}.values()


_MHD = (
    'ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n'
    'DimSize = 8 8 4\nElementSpacing = 1 1 1\nElementType = MET_SHORT\n'
)
_NRRD = 'NRRD0004\ntype: short\ndimension: 3\nsizes: 8 8 4\nendian: little\nencoding: raw\n'
HEADERS = {
    'parent.mhd': _MHD + 'ElementDataFile = ../secret.raw\n',
    'absolute.mhd': _MHD + 'ElementDataFile = {secret}\n',
    'absolute.mha': _MHD + 'ElementDataFile = {secret}\n',
    'colon.mhd': _MHD + 'ElementDataFile : {secret}\n',
    'upper.MHD': _MHD + 'ElementDataFile = ../secret.raw\n',
    'returns.mhd': (_MHD + 'ElementDataFile = ../secret.raw\n').replace('\n', '\r'),
    'list.mhd': _MHD + 'ElementDataFile = LIST\n' + '../secret.raw\n' * 4,
    'pattern.mhd': _MHD + 'ElementDataFile = ../secret%d.raw 1 4 1\n',
    'late.mhd': _MHD + 'Comment = a\n' * 9000 + 'ElementDataFile = {secret}\n',
    'digits.mhd': _MHD.replace('8 8 4', '9' * 5000) + 'ElementDataFile = own.raw\n',
    'parent.nhdr': _NRRD + 'data file: ../secret.raw\n\n',
    'absolute.nrrd': _NRRD + 'DATAFILE: {secret}\n\n',
    'second.nhdr': _NRRD + 'data file: own.raw\ndata file: ../secret.raw\n\n',
    'list.nhdr': _NRRD + 'data file: LIST\n../secret.raw\n',
    'late.nhdr': _NRRD + '# a\n' * 30_000 + 'data file: ../secret.raw\n\n',
}


def write_header(folder, name):
    """Write a header that names a file outside of its folder, which exists."""
    secret = folder / 'secret.raw'
    secret.write_bytes(bytes(512))
    path = folder / 'in' / name
    path.parent.mkdir()
    path.write_text(HEADERS[name].replace('{secret}', str(secret)), newline='')
    (path.parent / 'own.raw').write_bytes(bytes(512))
    return path


def png(width, height, data=b'', bits=16):
    """A PNG whose header says that it is of any size."""

    def chunk(kind, content):
        checked = kind + content
        return struct.pack('>I', len(content)) + checked + struct.pack('>I', zlib.crc32(checked))

    header = struct.pack('>2I5B', width, height, bits, 0, 0, 0, 0)
    end = chunk(b'IDAT', zlib.compress(data)) + chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + end


def jpeg(width, height):
    content = bytearray(cv2.imencode('.jpg', np.zeros((8, 8), np.uint8))[1].tobytes())
    at = content.index(b'\xff\xc0')
    content[at + 5 : at + 9] = struct.pack('>2H', height, width)
    return bytes(content)


def tiff(width, height):
    tags = [(256, 4, width), (257, 4, height), (258, 3, 16), (259, 3, 1), (262, 3, 1)]
    tags += [(273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, 8)]
    entries = b''.join(struct.pack('<2H2I', tag, kind, 1, value) for tag, kind, value in tags)
    return b'II*\0' + struct.pack('<I', 8) + struct.pack('<H', len(tags)) + entries + bytes(4)


PICTURES = {
    'png of 60,000 x 60,000': lambda: png(60_000, 60_000),
    'png of 30,000 x 30,000': lambda: png(30_000, 30_000, bytes(10_000_000)),
    'png of 2 ** 31 x 2 ** 31': lambda: png(2**31 - 1, 2**31 - 1),
    'png of no size': lambda: png(0, 0),
    'png of one long row': lambda: png(1 << 27, 1),
    'jpeg of 65,000 x 65,000': lambda: jpeg(65_000, 65_000),
    'tiff of 60,000 x 60,000': lambda: tiff(60_000, 60_000),
    'bitmap of 60,000 x 60,000': lambda: bitmap(60_000, 60_000),
    'netpbm of 60,000 x 60,000': lambda: b'P5 60000 60000 65535\n' + bytes(9),
    'radiance': lambda: b'#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 60000 +X 60000\n' + bytes(9),
    'program': lambda: b'#!/bin/sh\n',
}


def bitmap(width, height):
    return b'BM' + struct.pack('<3I', 70, 0, 54) + struct.pack(
        '<I2i2H6I', 40, width, height, 1, 8, 0, 0, 0, 0, 0, 0
    ) + bytes(16)  # fmt: skip


def nifti(sides, data=b''):
    """A NIfTI file whose header says that it is of any size."""
    header = bytearray(352)
    struct.pack_into('<i', header, 0, 348)
    struct.pack_into('<8h', header, 40, 3, *sides, 1, 1, 1, 1)
    struct.pack_into('<2h', header, 70, 4, 16)  # int16
    struct.pack_into('<8f', header, 76, *[1] * 8)
    struct.pack_into('<f', header, 108, 352)
    header[344:348] = b'n+1\0'
    return bytes(header) + data


def packed_zeros(count):
    """About ``count`` zeros as gzip, without having them in memory."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode='wb', compresslevel=9) as file:
        for _ in range(count >> 20):
            file.write(bytes(1 << 20))
    return stream.getvalue()


VOLUMES = {
    'large.nii': lambda: nifti((32767, 32767, 32767)),
    'large.nii.gz': lambda: gzip.compress(nifti((32767, 32767, 32767))),
    'empty.nii.gz': lambda: gzip.compress(nifti((2000, 2000, 500))),
    'negative.nii': lambda: nifti((-5, 8, 8)),
    'packed.mha': lambda: (
        (
            _MHD.replace('8 8 4', '40000 40000 400')
            + 'CompressedData = True\nCompressedDataSize = 10\nElementDataFile = LOCAL\n'
        ).encode()
        + bytes(10)
    ),
    'large.mha': lambda: (
        _MHD.replace('8 8 4', '99999 99999 9') + 'ElementDataFile = LOCAL\n'
    ).encode(),
    'overflowing.mha': lambda: (
        _MHD.replace('8 8 4', f'{1 << 32} {1 << 32} 4') + 'ElementDataFile = LOCAL\n'
    ).encode(),
    'large.nrrd': lambda: (_NRRD.replace('8 8 4', '99999 99999 9') + '\n').encode(),
    'packed.nrrd': lambda: (
        (_NRRD.replace('8 8 4', '99999 99999 9').replace('raw', 'gzip') + '\n').encode()
        + gzip.compress(bytes(99))
    ),
}
