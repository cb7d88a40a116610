"""NumPy arrays in pickles, rebuilt from their bytes.

A pickle names what it calls. Here each name stands for a class of this module, so that a file from
elsewhere can carry arrays, containers and plain values, and nothing else. NumPy's own names are not
given to it: they take a dtype and a state from the file, and an array of objects is raw bytes that
stand for pointers then.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from mmlesion.utils import UserError

DTYPES = frozenset('b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16'.split())


class StandIn:
    """What stands for a name of a pickle.

    A pickle can set the state of what it names, which for a class or a function of Python means
    its attributes. What has ``__setstate__`` is asked instead, and a class that is not an instance
    fails at that.
    """

    def __setstate__(self, state: Any) -> None:
        raise ValueError('it sets the state of what has none')


class NDArray(StandIn):
    """``numpy.ndarray``, as an argument alone."""

    def __new__(cls, *_: Any) -> NoReturn:
        """Raise ValueError."""
        raise ValueError('it makes an array otherwise than NumPy does')


class DType(StandIn):
    """``numpy.dtype``, of :data:`DTYPES`; its state has the byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        if type(code) is not str or code not in DTYPES:
            raise ValueError('it has an array whose type is neither a number nor boolean')
        self.value = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        # version, byte order, subarray, names, fields; then size, alignment and flags
        order, structure = state[1], tuple(state[2:5])
        if order not in ('<', '>', '|', '=') or structure != (None, None, None):
            raise ValueError('it has an array of a structured type')
        self.value = self.value.newbyteorder(order)


class Array(StandIn):
    """``numpy._core.multiarray._reconstruct``: an array, whose state has its shape and bytes."""

    value: np.ndarray | None = None

    def __init__(self, kind: Any, *_: Any) -> None:
        if kind is not NDArray:
            raise ValueError('it has an array of an unknown class')

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        data = data.encode('latin-1') if type(data) is str else data
        self.value = _array(data, dtype, shape, 'F' if is_fortran else 'C')


class Buffer(StandIn):
    """``numpy._core.numeric._frombuffer``: an array of protocol 5."""

    def __new__(cls, data: Any, dtype: Any, shape: Any, order: Any) -> Any:
        """Return the array."""
        return _array(data, dtype, shape, order)


class Scalar(StandIn):
    """``numpy._core.multiarray.scalar``: one number."""

    def __new__(cls, dtype: Any, data: Any) -> Any:
        """Return the number."""
        data = data.encode('latin-1') if type(data) is str else data
        return _array(data, dtype, (), 'C')[()]


class Encode(StandIn):
    """``_codecs.encode``: the bytes that protocol 2 writes as text."""

    def __new__(cls, text: Any, encoding: Any) -> Any:
        """Return the bytes."""
        if type(text) is not str or encoding not in ('latin1', 'latin-1'):
            raise ValueError('it encodes text otherwise than bytes are')
        return text.encode('latin-1')


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """Make a writable array of bytes, in this machine's order; ValueError if they do not fit it."""
    if type(dtype) is not DType or type(data) not in (bytes, bytearray):
        raise ValueError('it has an array that is not made of bytes')
    is_shape = type(shape) is tuple and all(type(side) is int and side >= 0 for side in shape)
    # math.prod is of Python's integers, which do not overflow as NumPy's do
    if not is_shape or len(data) != math.prod(shape) * dtype.value.itemsize:
        raise ValueError('it has an array of another size than its shape')
    array = np.frombuffer(data, dtype.value) if data else np.zeros(0, dtype.value)
    if array.dtype.kind == 'b':
        # NumPy counts truth values by adding their bytes: one over 1 makes it write out of bounds
        array = array.view(np.uint8) != 0
    return array.reshape(shape, order=order).astype(array.dtype.newbyteorder('='), order='K')


def _names() -> dict[str, type]:
    found: dict[str, type] = {
        'numpy.ndarray': NDArray,
        'numpy.dtype': DType,
        '_codecs.encode': Encode,
        'collections.OrderedDict': dict,
    }
    for package in ('numpy.core', 'numpy._core'):
        found[f'{package}.multiarray._reconstruct'] = Array
        found[f'{package}.multiarray.scalar'] = Scalar
        found[f'{package}.numeric._frombuffer'] = Buffer
    for module in ('builtins', '__builtin__'):
        # Python's own types, whose attributes cannot be set
        for kind in (bytes, bytearray, complex, set, frozenset):
            found[f'{module}.{kind.__name__}'] = kind
    return found


ARRAY_NAMES = _names()
"""What stands for the names that Python 2 and 3 and NumPy 1 and 2 give to arrays and containers."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        full = f'{module}.{name}'
        if full not in ARRAY_NAMES:
            raise pickle.UnpicklingError(f'it names {full!a:.80}, so it was not loaded')
        return ARRAY_NAMES[full]


def load_arrays(path: str | Path) -> Any:
    """Read a pickle of NumPy arrays, containers and plain values.

    Raises:
        UserError: If the file is missing, is no pickle, or holds anything but that.
    """
    try:
        with open(path, 'rb') as file:
            return finish(_Unpickler(file, encoding='latin1').load())
    except OSError as error:
        raise UserError(f'{path}: {error.strerror}') from None
    except Exception as error:
        # A damaged pickle can fail in any opcode, with nearly any exception.
        text = ' '.join(f'{error}'.split())
        raise UserError(f'{path} is not a readable pickle of arrays: {text:.200}') from None


def finish(value: Any, kinds: dict[type, Any] | None = None) -> Any:
    """Replace the stand-ins in dictionaries, lists and tuples by what they stand for.

    Args:
        value: What was unpickled. Dictionaries and lists are changed in place.
        kinds: Of further types what makes of an instance what is to be in its place. What is in a
            dictionary or list of such a type is replaced, too.
    """
    return _finish(value, {Array: _finished, **(kinds or {})}, {})


def _finished(array: Array) -> np.ndarray:
    if array.value is None:
        raise ValueError('it has an array without data')
    return array.value


def _finish(value: Any, kinds: dict[type, Any], seen: dict[int, Any]) -> Any:
    # by what was unpickled, which is met again where it is shared
    if id(value) in seen:
        return seen[id(value)]
    found = kinds[type(value)](value) if type(value) in kinds else value
    seen[id(value)] = found
    if type(found) is tuple:
        seen[id(value)] = tuple(_finish(one, kinds, seen) for one in found)
    elif type(found) is list:
        found[:] = [_finish(one, kinds, seen) for one in found]
    elif isinstance(found, dict):
        for key in list(found):
            found[key] = _finish(found[key], kinds, seen)
    elif isinstance(found, (StandIn, type)):
        raise ValueError(f'it has the name of a {type(found).__name__} as a value')
    return seen[id(value)]
