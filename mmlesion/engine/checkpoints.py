"""Loaders of checkpoints that read data and run nothing.

mmengine's own message hub pickles history buffers, which name ``getattr`` and NumPy's functions, so
that torch rejects it by default; and mmengine lets torch run whatever a downloaded file says. The
loaders here read by ``torch.load(weights_only=True)``, with stand-ins for these names. mmengine's
``CheckpointLoader`` is given them by its own ``register_scheme``.

``--resume`` continues from the newest checkpoint that is whole. mmengine continues from whatever
``last_checkpoint`` names, and fails for ever if that file was cut off, deleted or moved.
"""

from __future__ import annotations

import logging
import os
import os.path as osp
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple, Union
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine import dist
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors.torch import load_file

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
        path: The file, as :func:`torch.save` writes it; a ``.safetensors`` is weights alone, which
            are converted to float32.
        map_location: As in :func:`torch.load`.

    Raises:
        UserError: If the file is damaged, or contains anything but strided tensors, NumPy arrays,
            mmengine's history buffers and plain values.
    """
    try:
        if path.endswith('.safetensors'):
            return {'state_dict': _read_safetensors(path)}
        with torch.serialization.safe_globals(_STAND_INS):
            checkpoint = torch.load(path, map_location=map_location, weights_only=True)
        checkpoint = finish(checkpoint, _CHECKS)
    except Exception as error:
        # whatever a damaged file provokes on the way, the file is what the user must know
        raise UserError(f'the checkpoint {path} {_reason(error, path)}') from error
    if not isinstance(checkpoint, dict):
        raise UserError(f'the checkpoint {path} was rejected: it is not a dictionary')
    return checkpoint


def _read_safetensors(path: str) -> dict[str, torch.Tensor]:
    # a file in half precision is small; what a model computes in is not the file's choice
    weights = load_file(path)
    return {k: w.float() if w.is_floating_point() else w for k, w in weights.items()}


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


LAST = 'last_checkpoint'


class Search(NamedTuple):
    """Outcome of a search, which one process makes for all.

    Args:
        found: The checkpoint.
        notice: What is to be said of others that were passed over.
        error: Why there is nothing to resume from although there should be.
    """

    found: str | None = None
    notice: str = ''
    error: str = ''


def find_latest_checkpoint(path: str) -> str | None:
    """Find the checkpoint of a work folder that a training is to be resumed from.

    Args:
        path: The work folder. It may have been moved or copied since.

    Returns:
        str | None: The checkpoint that ``last_checkpoint`` names, or the newest one if that is not
        whole. None if none was ever saved.

    Raises:
        UserError: If there is a ``last_checkpoint``, but no checkpoint is whole. All processes of a
            distributed run raise it.
    """
    # errors travel too: a process that raised alone would leave the others waiting
    outcome = [search_checkpoint(Path(path)) if dist.is_main_process() else Search()]
    dist.broadcast_object_list(outcome)
    found, notice, error = outcome[0]
    if error:
        raise UserError(error)
    if notice:
        print_log(notice, logger='current', level=logging.WARNING)
    return found


def search_checkpoint(folder: Path) -> Search:
    """Search a work folder for a checkpoint to resume from, without other processes."""
    complaints = []
    named = None
    if (folder / LAST).is_file():
        named = _find_named(folder)
        if named is None:
            complaints.append(f'{folder / LAST} names no checkpoint that is there')
    for candidate in _candidates(folder, named):
        complaint = _complaint(candidate, candidate == named)
        if complaint is None:
            notice = f'{complaints[0]}; resuming from {candidate}' if complaints else ''
            return Search(candidate, notice)
        complaints.append(complaint)
    if not (folder / LAST).is_file():
        return Search()
    return Search(
        error=f'{folder} has no whole checkpoint to resume from ({complaints[0]}): name one with '
        f'--resume FILE, or delete {folder / LAST} to start from the beginning'
    )


def _find_named(folder: Path) -> str | None:
    """Return what ``last_checkpoint`` names: the file of that name in this folder comes first.

    The text is a path from wherever the training was started, or to where the folder was.
    """
    text = (folder / LAST).read_text(encoding='utf-8', errors='replace').strip()
    here = os.path.join(folder, os.path.basename(text))
    if text and os.path.exists(here):
        return here
    return text if os.path.exists(text) else None


def _candidates(folder: Path, named: str | None) -> Iterator[str]:
    """Yield the named checkpoint, then the others of the folder, the newest first."""
    if named is not None:
        yield named
    # a hidden file is one whose writing was broken off
    others = [path for path in folder.glob('*.pth') if not path.name.startswith('.')]
    for path in sorted(others, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        if str(path) != named:
            yield str(path)


def _complaint(path: str, is_named: bool) -> str | None:
    """Return why a training cannot be resumed from a file; None if it can be.

    A file that ``last_checkpoint`` does not name must also have the optimizer's state, which a
    best checkpoint lacks.
    """
    if os.path.isdir(path):
        return None  # one of DeepSpeed's
    try:
        content = read_checkpoint(path, 'cpu')
    except UserError as error:
        return str(error)
    needed = ['meta', 'state_dict', 'message_hub']
    # a run may save no optimizer; a file found by its age may be weights alone
    needed += [] if is_named else ['optimizer']
    missing = [key for key in needed if key not in content]
    return f'the checkpoint {path} has no {" and no ".join(missing)}' if missing else None
