"""What is in a checkpoint: filtered to what resuming needs, and compared with the model.

A checkpoint of plain data can still do harm by what is done with it. mmengine deletes what the
message hub names as the best checkpoint of an earlier run, be it a folder, and runs a config that
it finds there as Python.
"""

from __future__ import annotations

import os.path as osp
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from mmlesion.utils import UserError

META_KEYS = frozenset(
    'epoch iter seed fold dataset_meta experiment_name time mmengine_version'.split()
)
"""What is kept of ``meta``; ``cfg`` and ``config`` are Python code, which nothing may run."""
MAX_COUNT = 1 << 53
MAX_HUB_NUMBERS = 1 << 20
"""In tensors of the message hub, which mmengine copies one by one."""
_CODE = 'cfg'
_PATHS = re.compile(r'(best|last)_ckpt')
_CHECKPOINT_NAME = re.compile(r'[\w.+-]+\.pth', re.ASCII)


def keep_what_resumes(checkpoint: dict, path: str) -> None:
    """Drop from a checkpoint what nothing needs, and check the types of the rest.

    Args:
        checkpoint: The content of a file; changed in place. Weights alone stay as they are.
        path: The file. Checkpoints that the message hub names are taken to lie beside it,
            which also holds for a run whose folder was moved.

    Raises:
        UserError: If a part has a type that it has in no checkpoint.
    """
    _keep_versions(checkpoint)
    for name, check in _PARTS.items():
        if checkpoint.get(name) is not None:
            check(checkpoint[name], name, path)


def _check_state_dict(weights: Any, name: str, _: str) -> None:
    _require(weights, dict, name)
    for key, value in weights.items():
        if type(key) is not str:
            raise UserError(f'its {name} has a {type(key).__name__} as a name')
        if not isinstance(value, torch.Tensor) and not key.endswith('_extra_state'):
            raise UserError(f'{key!a:.80} of its {name} is a {type(value).__name__}, not a tensor')
    _keep_versions(weights)


def _keep_versions(weights: dict) -> None:
    """Keep the versions of modules in ``_metadata``; the rest would tell torch how to load."""
    metadata = getattr(weights, '_metadata', None)
    if metadata is None:
        return
    _require(metadata, dict, '_metadata')
    versions = OrderedDict()
    for module, fields in metadata.items():
        _require(fields, dict, '_metadata')
        if type(fields.get('version')) is int:
            versions[module] = {'version': fields['version']}
    weights._metadata = versions  # type: ignore[attr-defined]


def _check_meta(meta: Any, name: str, _: str) -> None:
    _require(meta, dict, name)
    # what is listed is kept, and not what is known to be dangerous left out
    for key in set(meta) - META_KEYS:
        del meta[key]
    for key in ('epoch', 'iter'):
        if key in meta and not (type(meta[key]) is int and 0 <= meta[key] <= MAX_COUNT):
            raise UserError(f'its {key} is no number of {key}s')
    seed = meta.get('seed')
    if seed is not None and not (type(seed) is int and 0 <= seed < 1 << 32):
        raise UserError('its seed is no seed')
    if meta.get('dataset_meta') is not None:
        _require(meta['dataset_meta'], dict, 'dataset_meta')


def _check_hub(hub: Any, name: str, path: str) -> None:
    _require(hub, dict, name)
    for key in ('log_scalars', 'runtime_info', 'resumed_keys'):
        _require(hub.get(key), dict, f'{name} ({key})')
    if not all(isinstance(value, HistoryBuffer) for value in hub['log_scalars'].values()):
        raise UserError('its log has something else than history buffers')
    if not all(type(value) is bool for value in hub['resumed_keys'].values()):
        raise UserError('its message hub does not say whether a value is resumed')
    info = hub['runtime_info']
    # the config as text, which is code and not needed to resume
    info.pop(_CODE, None)
    hub['resumed_keys'].pop(_CODE, None)
    _check_kept(info.get('keep_ckpt_ids', []))
    if sum(map(_count_numbers, info.values())) > MAX_HUB_NUMBERS:
        raise UserError('its message hub has large tensors')
    for key in [key for key in info if type(key) is str and _PATHS.match(key)]:
        info[key] = _beside(info[key], path)


def _check_kept(steps: Any) -> None:
    if type(steps) is not list or any(type(step) is not int for step in steps):
        raise UserError('it does not number the checkpoints to keep')


def _beside(other: Any, path: str) -> str | None:
    """Return the checkpoint of a name in the folder of ``path``; None where that is no name."""
    if other is None:
        return None
    _require(other, str, 'best checkpoint')
    # mmengine removes the best checkpoint when a better one is saved: never one elsewhere
    name = re.split(r'[/\\]', other)[-1]
    found = osp.join(osp.dirname(path), name)
    return found if _CHECKPOINT_NAME.fullmatch(name) and osp.isfile(found) else None


def _count_numbers(value: Any) -> int:
    """Return how many numbers the arrays and tensors in a value have."""
    if isinstance(value, Mapping):
        return sum(map(_count_numbers, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(_count_numbers, value))
    if isinstance(value, torch.Tensor):
        return value.numel()
    return int(getattr(value, 'size', 0))


def _check_optimizer(states: Any, name: str, _: str) -> None:
    """Check the state of an optimizer, or of several by their names."""
    _require(states, dict, name)
    # a dictionary without groups holds several optimizers by name
    groups = states.get('param_groups')
    if groups is None:
        for key, value in states.items():
            if isinstance(value, dict) and 'param_groups' in value:
                _check_optimizer(value, f'{name} {key!a:.80}', '')
        return
    _require(states.get('state'), dict, f'{name} (state)')
    if type(groups) is not list or not all(_is_group(group) for group in groups):
        raise UserError(f'its {name} has no groups of parameters')


def _is_group(group: Any) -> bool:
    return isinstance(group, dict) and isinstance(group.get('params'), list)


def _check_schedulers(states: Any, name: str, _: str) -> None:
    """Check the states of schedulers: settings, which become the attributes of the scheduler."""
    lists = states.values() if isinstance(states, dict) else [states]
    for one in lists:
        if type(one) is not list or not all(_is_settings(state) for state in one):
            raise UserError(f'its {name} are not settings of schedulers')


def _is_settings(state: Any) -> bool:
    return isinstance(state, dict) and all(
        type(key) is str and key != 'optimizer' and isinstance(value, _SETTINGS)
        for key, value in state.items()
    )


def _require(value: Any, kind: type, name: str) -> None:
    if not isinstance(value, kind):
        raise UserError(f'its {name} is a {type(value).__name__}, not a {kind.__name__}')


_SETTINGS = (type(None), bool, int, float, str, list, tuple, dict, np.generic, torch.Tensor)
_PARTS: dict[str, Callable[[Any, str, str], None]] = {
    'state_dict': _check_state_dict,
    'ema_state_dict': _check_state_dict,
    'meta': _check_meta,
    'message_hub': _check_hub,
    'optimizer': _check_optimizer,
    'param_schedulers': _check_schedulers,
}


def check_fit(model: nn.Module, checkpoint: Mapping, path: str, whole: bool = True) -> None:
    """Check that a checkpoint has every parameter of a model, or at least one, all of them numbers.

    A network with one weight that is NaN finds nothing, in whoever it is.

    Args:
        model: The model.
        checkpoint: What was loaded, a checkpoint or a state dict.
        path: Its file, for the error message.
        whole: Whether it must have every parameter. Defaults to True.

    Raises:
        UserError: If it lacks one, which would silently stay random, or all; or if one is not
            finite, or of whole numbers where the model has others.
    """
    # Counts of batches are no weights; checkpoints of old versions of torch have none.
    state, parameters = checkpoint.get('state_dict', checkpoint), model.state_dict()
    wrong = []
    for name, value in parameters.items():
        fits = getattr(state.get(name), 'shape', None) == value.shape
        if not fits and not name.endswith('num_batches_tracked'):
            wrong.append(name)
    named = [name for name in parameters if not name.endswith('num_batches_tracked')]
    if wrong and (whole or len(wrong) == len(named)):
        raise UserError(
            f'the checkpoint {path} does not fit the config: {len(wrong)} parameters are missing'
            f' or of another shape, the first {wrong[0]}; give the config it was trained with'
        )
    loaded = {name: state[name] for name in parameters if name not in wrong and name in state}
    if bad := not_finite(loaded):
        raise UserError(
            f'the checkpoint {path} has weights that are no finite numbers, the first {bad}: its '
            'training has diverged, or the file is damaged; give another one'
        )
    for name, value in loaded.items():
        if parameters[name].is_floating_point() and not value.is_floating_point():
            raise UserError(
                f'the checkpoint {path} has {value.dtype} for the weights {name}: give one of '
                'floating-point numbers'
            )


def not_finite(state: Mapping) -> str | None:
    """Return the name of the first tensor with a value that is no finite number, or None."""
    return next((name for name, value in state.items() if not value.isfinite().all()), None)
