"""Loaders of checkpoints that read data and run nothing.

mmengine's own message hub pickles history buffers, which name ``getattr`` and NumPy's functions, so
that torch rejects it by default; and mmengine lets torch run whatever a downloaded file says. The
loaders here read by ``torch.load(weights_only=True)``, with stand-ins for these names. mmengine's
``CheckpointLoader`` is given them by its own ``register_scheme``.
"""

from __future__ import annotations

import os
import os.path as osp
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from pickle import UnpicklingError
from typing import Any, Union
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine import dist
from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from mmlesion.io.pickled_arrays import ARRAY_NAMES, StandIn, finish

from ..utils import UserError
from .checkpoint_content import keep_what_resumes

MapLocation = Union[str, torch.device, dict, Callable, None]
_UNKNOWN = re.compile(r'GLOBAL ([\w.]+)')
_CONVERT = 'convert it first: python tools/model_converters/convert_checkpoint.py {path} OUT.pth'


class History(StandIn):
    """mmengine's history buffer, whose statistics are always the default ones."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def build(self) -> HistoryBuffer:
        """Return the history buffer."""
        values, counts = (finish(self.state[f'_{name}_history']) for name in ('log', 'count'))
        if type(values) is not np.ndarray or type(counts) is not np.ndarray or values.ndim != 1:
            raise ValueError('it has a history buffer that is not of arrays')
        if type(self.state['max_length']) is not int or self.state['max_length'] < 1:
            raise ValueError('it has an impossible history buffer')
        return HistoryBuffer(values, counts, self.state['max_length'])


class Statistic(StandIn):
    """``getattr`` of a history buffer's default statistics, which it has already."""

    def __new__(cls, owner: Any, name: Any) -> None:  # type: ignore[misc]
        """Return nothing for one of the four; ValueError for any other attribute."""
        if owner is not History or name not in ('min', 'max', 'mean', 'current'):
            raise ValueError(f'it asks for the attribute {name!a:.80}, so it was not loaded')


class PlainDict(StandIn):
    """A part of a config, such as a dataset's meta information, as a plain dictionary."""

    def __new__(cls, values: Any) -> Any:
        """Return the dictionary; ValueError if it is not one."""
        if type(values) is not dict:
            raise ValueError('it has a part of a config that is not a dictionary')
        return values


_STAND_INS: list[Any] = [
    *((kind, name) for name, kind in ARRAY_NAMES.items() if not name.startswith('collections.')),
    (Counter, 'collections.Counter'),  # the milestones of MultiStepLR
    (History, 'mmengine.logging.history_buffer.HistoryBuffer'),
    (Statistic, 'builtins.getattr'),
    (Statistic, '__builtin__.getattr'),
    (PlainDict, 'mmengine.config.config.ConfigDict'),
]


def read_checkpoint(path: str, map_location: MapLocation = None) -> dict:
    """Read a checkpoint that contains only data.

    Args:
        path: The file, as :func:`torch.save` writes it.
        map_location: As in :func:`torch.load`.

    Raises:
        UserError: If the file is damaged, or contains anything but strided tensors, NumPy arrays,
            mmengine's history buffers and plain values.
    """
    try:
        with torch.serialization.safe_globals(_STAND_INS):
            checkpoint = torch.load(path, map_location=map_location, weights_only=True)
        checkpoint = finish(checkpoint, _CHECKS)
    except Exception as error:
        # whatever a damaged file provokes on the way, the file is what the user must know
        raise UserError(f'the checkpoint {path} {_reason(error, path)}') from error
    if not isinstance(checkpoint, dict):
        raise UserError(f'the checkpoint {path} was rejected: it is not a dictionary')
    return checkpoint


def _strided(tensor: torch.Tensor) -> torch.Tensor:
    # indices of a sparse one are the file's, and torch does not check all of them
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        raise ValueError(f'it has a tensor of {tensor.layout}, {tensor.dtype}')
    return tensor


def _ordered(values: OrderedDict) -> OrderedDict:
    # a pickle may set an attribute of any name, a method's too
    if vars(values).keys() - {'_metadata'}:
        raise ValueError('it has a dictionary with attributes')
    return values


_CHECKS: dict[type, Callable] = {
    History: History.build,
    OrderedDict: _ordered,
    torch.Tensor: _strided,
    torch.nn.Parameter: _strided,
}


def _reason(error: Exception, path: str) -> str:
    """Return in one line why torch has not read a file."""
    text = ' '.join(str(error).split())
    if found := _UNKNOWN.search(text):
        return f'was rejected: it names {found[1]}, so it was not loaded'
    if 'TorchScript' in text or 'legacy .tar' in text:
        what = 'it is a TorchScript program or of before torch 1.6'
        return f'was rejected: {what}; {_CONVERT.format(path=path)}'
    # without torch's advice to load it unchecked
    text = text.rpartition('WeightsUnpickler error: ')[2].partition(' Check the documentation')[0]
    what = 'was rejected' if type(error) in (ValueError, UnpicklingError) else 'cannot be read'
    return f'{what}: {text:.200}'


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_from_local(filename: str, map_location: MapLocation = None) -> dict:
    """Load a local checkpoint that contains only data.

    Returns:
        The checkpoint, with what :func:`keep_what_resumes` leaves in it.

    Raises:
        FileNotFoundError: If there is no such file.
        UserError: As :func:`read_checkpoint` does, and if a part has another type than it has in
            any checkpoint.
    """
    filename = osp.expanduser(filename)
    if not osp.isfile(filename):
        raise FileNotFoundError(f'{filename} can not be found.')
    checkpoint = read_checkpoint(filename, map_location)
    try:
        keep_what_resumes(checkpoint, filename)
    except UserError as error:
        raise UserError(f'the checkpoint {filename} was rejected: {error}') from None
    return checkpoint


@CheckpointLoader.register_scheme(prefixes=('http://', 'https://'), force=True)
def load_from_http(
    filename: str,
    map_location: MapLocation = None,
    model_dir: str | None = None,
    progress: bool = True,
) -> dict:
    """Download a checkpoint to the cache of :mod:`torch.hub`, once, and load it.

    Raises:
        UserError: As :func:`load_from_local` does, and if it cannot be downloaded.
    """
    folder = model_dir or osp.join(torch.hub.get_dir(), 'checkpoints')
    path = osp.join(folder, osp.basename(urlparse(filename).path))
    if dist.is_main_process() and not osp.isfile(path):
        try:
            os.makedirs(folder, exist_ok=True)
            torch.hub.download_url_to_file(filename, path, progress=progress)
        except OSError as error:
            raise UserError(f'cannot download {filename}: {error}') from None
    # the other processes wait until the main one has the whole file
    dist.barrier()
    return load_from_local(path, map_location)


@CheckpointLoader.register_scheme(prefixes=('modelzoo://', 'torchvision://'), force=True)
def load_from_torchvision(filename: str, map_location: MapLocation = None) -> dict:
    """Download and load weights by torchvision's name, such as ``torchvision://resnet50``."""
    try:
        addresses = mmengine_checkpoint.get_torchvision_models()
    except ImportError:
        raise UserError(
            f'{filename} is looked up in torchvision, which is not installed: install it, or give '
            'the weights as a local file: --cfg-options model.backbone.init_cfg.checkpoint=FILE'
        ) from None
    return load_from_http(_look_up(filename, addresses), map_location)


@CheckpointLoader.register_scheme(prefixes=('open-mmlab://', 'openmmlab://'), force=True)
def load_from_openmmlab(filename: str, map_location: MapLocation = None) -> dict:
    """Download and load weights by OpenMMLab's name, or load them from mmengine's folder."""
    name = filename.split('://', 1)[1]
    name = mmengine_checkpoint.get_deprecated_model_names().get(name, name)
    address = _look_up(f'open-mmlab://{name}', mmengine_checkpoint.get_external_models())
    if address.startswith(('http://', 'https://')):
        return load_from_http(address, map_location)
    return load_from_local(
        osp.join(mmengine_checkpoint._get_mmengine_home(), address), map_location
    )


@CheckpointLoader.register_scheme(prefixes='mmcls://', force=True)
def load_from_mmcls(filename: str, map_location: MapLocation = None) -> dict:
    """Download and load the backbone of one of mmcls' classifiers."""
    address = _look_up(filename, mmengine_checkpoint.get_mmcls_models())
    checkpoint = load_from_http(address, map_location)
    return mmengine_checkpoint._process_mmcls_checkpoint(checkpoint)


def _look_up(filename: str, addresses: Mapping[str, str]) -> str:
    """Return the address of a checkpoint ``prefix://name``."""
    name = filename.split('://', 1)[1]
    if name not in addresses:
        raise UserError(f'there are no weights {filename}')
    return addresses[name]
