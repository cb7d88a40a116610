"""Reading pickles without running them.

A pickle is a program: it may name any importable callable and call it. Here it may name only what
an explicit allow-list holds, so that a file from elsewhere can carry data and nothing else.
"""

import codecs
import importlib
import pickle
from collections import OrderedDict

import numpy as np

from .errors import UserError


def _numpy_globals():
    """NumPy's array and scalar constructors, under the names both NumPy 1 and 2 write."""
    found = {('numpy', 'ndarray'): np.ndarray, ('numpy', 'dtype'): np.dtype}
    for package in ('numpy.core', 'numpy._core'):
        for module, name in (('multiarray', '_reconstruct'), ('multiarray', 'scalar')):
            found[f'{package}.{module}', name] = getattr(_import_numpy_core(module), name)
        found[f'{package}.numeric', '_frombuffer'] = _import_numpy_core('numeric')._frombuffer
    dtypes = getattr(np, 'dtypes', None)
    for name in getattr(dtypes, '__all__', ()):
        found['numpy.dtypes', name] = getattr(dtypes, name)
    return found


def _import_numpy_core(module):
    package = 'numpy._core' if hasattr(np, '_core') else 'numpy.core'
    return importlib.import_module(f'{package}.{module}')


ARRAY_GLOBALS = {
    **_numpy_globals(),
    ('collections', 'OrderedDict'): OrderedDict,
    ('_codecs', 'encode'): codecs.encode,
    **{
        (module, kind.__name__): kind
        for module in ('builtins', '__builtin__')
        for kind in (bytearray, bytes, complex, frozenset, set, slice)
    },
}
"""What data files may name: NumPy arrays and plain containers."""


def restricted_unpickler(allowed):
    """Make an unpickler class that serves only the globals in ``allowed``.

    Args:
        allowed (dict[tuple[str, str], Any]): What each (module, name) of a pickle stands for.

    Returns:
        type: A subclass of :class:`pickle.Unpickler` that raises :class:`UserError` naming the
        first global that is not in ``allowed``.
    """

    class RestrictedUnpickler(pickle.Unpickler):
        def find_class(self, module, name):
            try:
                return allowed[module, name]
            except KeyError:
                raise UserError(
                    f'it refers to {module}.{name}, which is not on the list of what such a file '
                    'may hold; it could run code, so it was not loaded'
                ) from None

    return RestrictedUnpickler


def load_arrays(path):
    """Read a pickle of NumPy arrays, containers and plain values.

    Args:
        path (str | Path): The file.

    Returns:
        Any: The object in it.

    Raises:
        UserError: If the file is missing, is no pickle, or names anything but arrays.
    """
    try:
        with open(path, 'rb') as file:
            return restricted_unpickler(ARRAY_GLOBALS)(file).load()
    except UserError as error:
        raise UserError(f'{path}: {error}') from None
    except OSError as error:
        raise UserError(f'{path}: {error.strerror}') from None
    except Exception as error:
        # A damaged pickle can fail in any opcode, with nearly any exception.
        raise UserError(f'{path} is not a readable pickle: {error}') from None
