"""Tensors of checkpoint files, checked against the storages that hold their numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from mmlesion.io.budget import Budget
from mmlesion.io.restricted_pickle import Constructor

from ..utils import UserError

MAX_DIMENSIONS = 64
MAX_VIEWS = 16
"""Bytes of all tensors per byte of their storages. Tensors share storages, as tied weights do, but
what is made of them, such as their copies on a device, does not."""
_STORAGES = {
    'DoubleStorage': torch.float64,
    'FloatStorage': torch.float32,
    'HalfStorage': torch.float16,
    'BFloat16Storage': torch.bfloat16,
    'LongStorage': torch.int64,
    'IntStorage': torch.int32,
    'ShortStorage': torch.int16,
    'CharStorage': torch.int8,
    'ByteStorage': torch.uint8,
    'BoolStorage': torch.bool,
    'ComplexFloatStorage': torch.complex64,
    'ComplexDoubleStorage': torch.complex128,
}
# of tensors that torch saves without a typed storage
_NEW_DTYPES = [
    getattr(torch, name)
    for name in (
        *('uint16', 'uint32', 'uint64', 'float8_e4m3fn', 'float8_e5m2'),
        *('float8_e4m3fnuz', 'float8_e5m2fnuz', 'float8_e8m0fnu'),
    )
    if hasattr(torch, name)
]


class StorageType(NamedTuple):
    """Class of a storage, which determines the type of its numbers."""

    dtype: torch.dtype


class Storage(NamedTuple):
    """A storage referenced by the pickle.

    Args:
        data (UntypedStorage): Its bytes.
        dtype (torch.dtype): The type of its numbers.
        budget (Budget): For the tensors of all storages.
    """

    data: torch.UntypedStorage
    dtype: torch.dtype
    budget: Budget


def build_tensor(
    storage: Storage,
    offset: int,
    size: tuple,
    stride: tuple,
    requires_grad: bool = False,
    hooks: Any = None,
    metadata: Any = None,
) -> torch.Tensor:
    """Build a tensor that lies within its storage and is no larger than it.

    Raises:
        UserError: If it is not, or has more to it than numbers.
    """
    if type(storage) is not Storage or type(requires_grad) is not bool or hooks or metadata:
        raise UserError('it has a tensor with unsupported state')
    numbers = [offset, *size, *stride]
    is_shape = len(size) == len(stride) <= MAX_DIMENSIONS
    if not is_shape or any(type(n) is not int or n < 0 for n in numbers):
        raise UserError('it has a tensor of an impossible shape')
    available = storage.data.nbytes() // storage.dtype.itemsize
    numel, last = 1, offset
    # after the loop ``last`` is the place in the storage of the tensor's last number
    for length, step in zip(size, stride):
        numel, last = numel * length, last + (length - 1) * step
    # an empty tensor has no last number, whatever its strides
    if offset > available or (numel and (last >= available or numel > available)):
        raise UserError('it has a tensor that is larger than its storage')
    storage.budget.spend(numel * storage.dtype.itemsize)
    tensor = torch.empty(0, dtype=storage.dtype, device=storage.data.device)
    tensor.set_(storage.data, offset, tuple(size), tuple(stride))
    return tensor.requires_grad_(requires_grad)


def _tensor_of_first_version(storage: Any, offset: Any, size: Any, stride: Any) -> torch.Tensor:
    return build_tensor(storage, offset, size, stride)


def _tensor_of_any_dtype(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> torch.Tensor:
    if type(storage) is not Storage or dtype not in _NEW_DTYPES:
        raise UserError('it has a tensor with unsupported state')
    storage = storage._replace(dtype=dtype)
    return build_tensor(storage, offset, size, stride, requires_grad, hooks, metadata)


def _parameter(data: Any, requires_grad: Any, hooks: Any) -> torch.nn.Parameter:
    if type(data) is not torch.Tensor or type(requires_grad) is not bool or hooks:
        raise UserError('it has a parameter with unsupported state')
    return torch.nn.Parameter(data, requires_grad)


def _size(sides: Any) -> torch.Size:
    if type(sides) is not tuple or any(type(side) is not int for side in sides):
        raise UserError('it has an impossible size')
    return torch.Size(sides)


def tensor_globals() -> dict[tuple[str, str], Any]:
    """Return what a pickle names to make tensors."""
    found: dict[tuple[str, str], Any] = {
        ('torch', 'Size'): Constructor(_size),
        ('torch._utils', '_rebuild_tensor'): Constructor(_tensor_of_first_version),
        ('torch._utils', '_rebuild_tensor_v2'): Constructor(build_tensor),
        ('torch._utils', '_rebuild_tensor_v3'): Constructor(_tensor_of_any_dtype),
        ('torch._utils', '_rebuild_parameter'): Constructor(_parameter),
        ('torch.storage', 'UntypedStorage'): StorageType(torch.uint8),
    }
    for name, dtype in _STORAGES.items():
        found['torch', name] = StorageType(dtype)
    return found
