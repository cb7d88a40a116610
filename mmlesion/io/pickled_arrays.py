"""NumPy arrays in pickles, rebuilt from their bytes.

NumPy's own reconstruction takes the dtype and the state that a file gives it. An array of objects
is raw bytes that stand for pointers then, which crashes or runs code. Here an array is made of its
bytes alone, by :func:`numpy.frombuffer`, and of a few dtypes.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmlesion.utils import UserError

from .restricted_pickle import Constructor, Record, checked_keys, read_pickle, shown

DTYPES = frozenset('b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16'.split())
MAX_DIMENSIONS = 32
ARRAY_LEAVES = (np.ndarray, np.generic, np.dtype)
"""The types that :data:`ARRAY_GLOBALS` can make, beside plain ones."""


class DTypeRecord(Record):
    """A dtype of :data:`DTYPES`; the state of one has its byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        if type(code) is not str or code not in DTYPES:
            raise UserError('it has an array whose type is neither a number nor boolean')
        self.code = code

    def finish(self, state: Any) -> np.dtype:
        """Build the dtype."""
        if state is None:
            return np.dtype(self.code)
        # version, byte order, subarray, names, fields; then size, alignment and flags
        order, structure = state[1], tuple(state[2:5])
        if order not in ('<', '>', '|', '=') or structure != (None, None, None):
            raise UserError('it has an array of a structured type')
        return np.dtype(self.code).newbyteorder(order)


class ArrayRecord(Record):
    """An array; its state has its shape, its dtype and its bytes."""

    def finish(self, state: Any) -> np.ndarray:
        """Build the array."""
        if type(state) is not tuple or len(state) != 5:
            raise UserError('it has an array without data')
        _, shape, dtype, is_fortran, data = state
        return build_array(data, dtype, shape, 'F' if is_fortran else 'C')


def build_array(data: bytes, dtype: np.dtype, shape: tuple, order: Literal['C', 'F']) -> np.ndarray:
    """Make a writable array of bytes, in this machine's order.

    Args:
        data (bytes | bytearray): Its values.
        dtype (dtype): One of a :class:`DTypeRecord`.
        shape (tuple[int]): Its shape.
        order (str): ``'C'`` or ``'F'``.

    Raises:
        UserError: If the shape does not need exactly these bytes.
    """
    is_shape = type(shape) is tuple and all(type(side) is int and side >= 0 for side in shape)
    if not is_shape or len(shape) > MAX_DIMENSIONS or order not in ('C', 'F'):
        raise UserError('it has an array of an impossible shape')
    if type(data) not in (bytes, bytearray) or not isinstance(dtype, np.dtype):
        raise UserError('it has an array that is not made of bytes')
    # math.prod is of Python's integers, which do not overflow as NumPy's do
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise UserError(f'it has an array of {len(data)} bytes where its shape needs others')
    if not data:
        return np.zeros(shape, dtype)
    array = np.frombuffer(data, dtype).reshape(shape, order=order)
    if dtype.kind == 'b':
        # NumPy counts truth values by adding their bytes: one over 1 makes it write out of bounds
        return array.view(np.uint8) != 0
    return array.astype(dtype.newbyteorder('='), order='K')  # NumPy, too, makes it native


def _array(kind: Any, *_: Any) -> ArrayRecord:
    if kind is not _NDARRAY:
        raise UserError('it has an array of an unknown class')
    return ArrayRecord()


def _array_of_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    return build_array(data, _dtype(dtype), shape, order)


def _scalar(dtype: Any, data: Any) -> Any:
    return build_array(data, _dtype(dtype), (), 'C')[()]


def _dtype(record: Any) -> np.dtype:
    if not isinstance(record, DTypeRecord):
        raise UserError('it has an array whose type is neither a number nor boolean')
    return record.finish(record.state)


def _encode(text: str, encoding: Any) -> bytes:
    if encoding not in ('latin1', 'latin-1'):
        raise UserError('it encodes text otherwise than bytes are')
    return text.encode('latin-1')


def _bytes(*arguments: Any) -> bytes:
    if arguments:
        raise UserError('it makes bytes of something else')
    return b''


def _bytearray(data: Any = b'', *encoding: Any) -> bytearray:
    if type(data) is str:
        data = _encode(data, *encoding)
    if type(data) is not bytes:
        raise UserError('it makes bytes of something else')
    return bytearray(data)


def _complex(real: Any, imaginary: Any) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise UserError('it has a complex number of something else')
    return complex(real, imaginary)


def _set_of(kind: type) -> Constructor:
    def build(items: Any = ()) -> set | frozenset:
        if type(items) not in (list, tuple):
            raise UserError('it makes a set of something else')
        return kind(checked_keys(items))

    return Constructor(build)


def _ordered_dict(*arguments: Any) -> OrderedDict:
    if arguments:
        raise UserError('it makes a dictionary of something else')
    return OrderedDict()


_NDARRAY = object()
_BUILTINS = dict(
    bytes=Constructor(_bytes),
    bytearray=Constructor(_bytearray),
    complex=Constructor(_complex),
    set=_set_of(set),
    frozenset=_set_of(frozenset),
)


def _array_globals() -> dict[tuple[str, str], Any]:
    """Return the names that data files may reference, for Python 2 and 3 and NumPy 1 and 2."""
    found = {
        ('numpy', 'ndarray'): _NDARRAY,
        ('numpy', 'dtype'): Constructor(DTypeRecord),
        ('collections', 'OrderedDict'): Constructor(_ordered_dict),
        ('_codecs', 'encode'): Constructor(_encode),
    }
    for package in ('numpy.core', 'numpy._core'):
        found[f'{package}.multiarray', '_reconstruct'] = Constructor(_array)
        found[f'{package}.multiarray', 'scalar'] = Constructor(_scalar)
        found[f'{package}.numeric', '_frombuffer'] = Constructor(_array_of_buffer)
    for module in ('builtins', '__builtin__'):
        for name, build in _BUILTINS.items():
            found[module, name] = build
    return found


ARRAY_GLOBALS = _array_globals()
"""What data files may name: NumPy arrays and plain containers."""


def load_arrays(path: str | Path) -> Any:
    """Read a pickle of NumPy arrays, containers and plain values.

    Args:
        path (str | Path): The file.

    Returns:
        Any: The object in it.

    Raises:
        UserError: If the file is missing, is no pickle, or holds anything but that.
    """
    try:
        with open(path, 'rb') as file:
            return read_pickle(file.read(), ARRAY_GLOBALS, ARRAY_LEAVES)
    except UserError as error:
        raise UserError(f'{path}: {error}') from None
    except OSError as error:
        raise UserError(f'{path}: {error.strerror}') from None
    except Exception as error:
        # A damaged pickle can fail in any opcode, with nearly any exception.
        raise UserError(f'{path} is not a readable pickle: {shown(error)}') from None
