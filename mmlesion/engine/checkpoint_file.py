"""Reading checkpoint files without executing code.

A checkpoint, as :func:`torch.save` writes it since torch 1.6, is a zip file of a pickle that
references tensors, and the bytes of each storage. It is read here without torch's own reader, whose
detection and handling of containers changes with torch's version.
"""

from __future__ import annotations

import os
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from typing import Any, BinaryIO, Union, cast

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from mmlesion.io.budget import Budget
from mmlesion.io.pickled_arrays import ARRAY_GLOBALS, ARRAY_LEAVES
from mmlesion.io.restricted_pickle import Constructor, Record, read_pickle, shown

from ..utils import UserError
from .checkpoint_tensors import MAX_VIEWS, Storage, StorageType, tensor_globals

MapLocation = Union[str, torch.device, dict, Callable, None]

_CONVERT = (
    'convert it first, which runs no code of a file of tensors alone: '
    'python tools/model_converters/convert_checkpoint.py {path} OUT.pth'
)
_ZIP, _PICKLE = b'PK\x03\x04', b'\x80'
_LEGACY = b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'
_TAR, _TAR_OFFSET = b'ustar', 257
MAX_DIRECTORY = 4 << 20
"""Bytes of the list of a zip file's members: some 50,000 tensors."""
_HEADER = 30  # bytes of a member before its name
_BLOCK = 1 << 20  # bytes read at once, so that what zipfile copies stays in the cache


class HistoryRecord(Record):
    """One of mmengine's history buffers, whose statistics are always the default ones."""

    def finish(self, state: Any) -> HistoryBuffer:
        """Build the history buffer."""
        values, counts = state['_log_history'], state['_count_history']
        if type(values) is not np.ndarray or type(counts) is not np.ndarray:
            raise UserError('it has a history buffer that is not of arrays')
        if values.ndim != 1 or type(state['max_length']) is not int or state['max_length'] < 1:
            raise UserError('it has an impossible history buffer')
        return HistoryBuffer(values, counts, state['max_length'])


def read_checkpoint(path: str, map_location: MapLocation = None) -> dict:
    """Read a checkpoint that contains only data.

    Args:
        path (str): The file, as :func:`torch.save` writes it since torch 1.6.
        map_location (str | torch.device | dict | callable, optional): As in :func:`torch.load`.

    Returns:
        dict: The checkpoint.

    Raises:
        UserError: If the file is damaged, has another container, or contains anything but tensors,
            NumPy arrays, mmengine's history buffers and plain values.
    """
    try:
        with open(path, 'rb') as file:
            check_container(file.read(512), path)
            check_directory(file)
            with zipfile.ZipFile(file) as archive:
                checkpoint = CheckpointArchive(archive, path, map_location).load()
    except UserError as error:
        raise UserError(f'the checkpoint {path} was rejected: {error}') from None
    except Exception as error:
        # Whatever a damaged file provokes on the way, the file is what the user must know.
        raise UserError(f'the checkpoint {path} cannot be read: {shown(error)}') from error
    if not isinstance(checkpoint, dict):
        raise UserError(f'the checkpoint {path} was rejected: it is not a dictionary')
    return checkpoint


def check_container(head: bytes, path: str) -> None:
    """Reject all containers except zip files.

    Args:
        head (bytes): The first 512 bytes of the file.
        path (str): The file, to name it.

    Raises:
        UserError: If it is another one; the message says how to convert it.
    """
    if head.startswith(_ZIP):
        return
    if head.startswith(_LEGACY) or head[_TAR_OFFSET:].startswith(_TAR):
        convert = _CONVERT.format(path=path)
        raise UserError(
            f'it is in a format from before torch 1.6, which is not supported; {convert}'
        )
    if head.startswith(_PICKLE):
        raise UserError('it is a plain pickle, not a checkpoint that torch.save wrote')
    raise ValueError('it does not begin as a file of torch.save does')


def check_directory(file: BinaryIO) -> None:
    """Reject a zip file of so many members that their list alone would fill the memory.

    Args:
        file (BinaryIO): The file.

    Raises:
        UserError: If it is one.
    """
    # zipfile's own search, as another might find another directory
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end is not None and end[zipfile._ECD_SIZE] > MAX_DIRECTORY:  # type: ignore[attr-defined]
        raise UserError(f'the list of its members has over {MAX_DIRECTORY} bytes')


class CheckpointArchive:
    """The zip file of a checkpoint.

    Args:
        archive (ZipFile): The file.
        path (str): Its name, for messages.
        map_location (MapLocation): As in :func:`read_checkpoint`.

    Raises:
        UserError: If it is TorchScript, or more than what :func:`torch.save` writes.
    """

    def __init__(self, archive: zipfile.ZipFile, path: str, map_location: MapLocation) -> None:
        self.archive, self.map_location = archive, map_location
        self.storages: dict[str, Storage] = {}
        self.members = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in self.members if re.fullmatch(r'[^/]*/data\.pkl', name)]
        self.check_members(path)
        if len(pickles) != 1:
            raise UserError('it is a zip file, but not one that torch.save wrote')
        self.root = pickles[0].split('/')[0]

    def check_members(self, path: str) -> None:
        """Reject programs, and members that are larger than declared or share their bytes."""
        convert, members = _CONVERT.format(path=path), self.archive.infolist()
        if any(re.match(r'[^/]*/(constants\.pkl$|code/)', name) for name in self.members):
            raise UserError(f'it is a TorchScript program, not a checkpoint; {convert}')
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise UserError(f'it is compressed, which torch.save never does; {convert}')
        # fewer names than members: two have one name, and which is read depends on the reader
        if len(self.members) < len(members) or _overlap(members, os.path.getsize(path)):
            raise UserError('its zip file has members that overlap')
        self.budget = Budget(MAX_VIEWS, sum(member.file_size for member in members))

    def load(self) -> Any:
        """Read the pickle and the storages that it references."""
        # files of older torch versions do not say it
        order = f'{self.root}/byteorder'
        if order in self.members and self.archive.read(order).decode() != sys.byteorder:
            raise UserError('it was written on a machine of another byte order')
        data = self.archive.read(f'{self.root}/data.pkl')
        return read_pickle(data, CHECKPOINT_GLOBALS, CHECKPOINT_LEAVES, self.find_storage)

    def find_storage(self, identifier: tuple) -> Storage:
        """Read the storage of a persistent id, once.

        Raises:
            UserError: If its size differs from the one declared in the pickle.
        """
        kind, storage_type, key, location, numel = identifier
        if kind != 'storage' or type(storage_type) is not StorageType or type(numel) is not int:
            raise UserError('it refers to data that is not a tensor storage')
        # sizes are compared before room is made for the storage
        member = self.members.get(f'{self.root}/data/{key}') if type(key) is str else None
        if member is None or member.file_size != numel * storage_type.dtype.itemsize:
            raise UserError('it has a storage of another size than its data, or without data')
        dtype = storage_type.dtype
        if key not in self.storages:
            placed = self.place(self.read_storage(member, dtype), location)
            self.storages[key] = Storage(placed, dtype, self.budget)
        if self.storages[key].dtype != dtype:
            raise UserError('it has a storage of numbers of two types')
        return self.storages[key]

    def read_storage(self, member: zipfile.ZipInfo, dtype: torch.dtype) -> torch.UntypedStorage:
        """Read the bytes of a storage.

        Raises:
            UserError: If truth values have other bytes than 0 and 1, which torch relies on.
        """
        storage = torch.UntypedStorage(member.file_size)
        if member.file_size:
            # an array on the storage's own memory: what is read into it needs no copy
            view = torch.empty(0, dtype=torch.uint8).set_(storage).numpy()
            # as what it is: the stubs have it as any file of bytes, which need not have readinto
            with cast(zipfile.ZipExtFile, self.archive.open(member)) as file:
                for start in range(0, member.file_size, _BLOCK):
                    block = view[start : start + _BLOCK].data
                    if file.readinto(block) != len(block):
                        raise ValueError('a storage is cut off')
                    if dtype == torch.bool and np.frombuffer(block, np.uint8).max() > 1:
                        raise UserError('it has truth values that are neither 0 nor 1')
        return storage

    def place(self, storage: torch.UntypedStorage, location: str) -> torch.UntypedStorage:
        """Move a storage to its original device, or as ``map_location`` specifies."""
        if type(location) is not str:
            raise UserError('it has a storage without a place')
        # as torch.load does: a function may decline, a dictionary replaces some locations
        wanted = self.map_location
        if callable(wanted):
            placed = wanted(storage, location)
            if placed is not None:
                return placed
        elif isinstance(wanted, dict):
            location = wanted.get(location, location)
        elif wanted is not None:
            location = str(wanted)
        return torch.serialization.default_restore_location(storage, location)


def _overlap(members: list[zipfile.ZipInfo], size: int) -> bool:
    """Return whether members of a zip file share bytes, or lie beyond its size."""
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < end or member.compress_size != member.file_size:
            return True
        # the least place where the next one may begin: names and extra fields come on top
        end = member.header_offset + _HEADER + member.file_size
    return end > size


def _device(kind: Any, index: Any = None) -> torch.device:
    if type(kind) is not str or type(index) not in (int, type(None)):
        raise UserError('it has an impossible device')
    return torch.device(kind) if index is None else torch.device(kind, index)


def _counter(counts: Any) -> Counter:
    if type(counts) is not dict:
        raise UserError('it has a counter that is not of a dictionary')
    return Counter(counts)


def _config_dict(values: Any) -> dict:
    """Convert a part of a config, such as a dataset's meta information, to a plain dictionary."""
    if type(values) is not dict:
        raise UserError('it has a part of a config that is not a dictionary')
    return values


def _history_method(owner: Any, name: Any) -> None:
    """Accept a default statistic of a history buffer, which has it already."""
    if owner is not _HISTORY or name not in ('min', 'max', 'mean', 'current'):
        raise UserError(f'it asks for the attribute {shown(name)}, so it was not loaded')


_HISTORY = Constructor(HistoryRecord)


def _checkpoint_globals() -> dict[tuple[str, str], Any]:
    dtypes = [value for value in vars(torch).values() if isinstance(value, torch.dtype)]
    found = {
        **ARRAY_GLOBALS,
        **tensor_globals(),
        ('collections', 'Counter'): Constructor(_counter),  # the milestones of MultiStepLR
        ('mmengine.config.config', 'ConfigDict'): Constructor(_config_dict),
        ('mmengine.logging.history_buffer', 'HistoryBuffer'): _HISTORY,
        ('builtins', 'getattr'): Constructor(_history_method),
        ('__builtin__', 'getattr'): Constructor(_history_method),
        ('torch', 'device'): Constructor(_device),
    }
    for dtype in dtypes:
        found['torch', str(dtype).split('.')[1]] = dtype
    return found


CHECKPOINT_GLOBALS = _checkpoint_globals()
"""What a checkpoint may name: tensors, arrays, plain containers and mmengine's history buffers."""
CHECKPOINT_LEAVES = (*ARRAY_LEAVES, torch.Tensor, torch.Size, torch.dtype, torch.device)
