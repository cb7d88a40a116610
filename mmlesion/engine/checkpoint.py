"""mmengine's local checkpoints through an allow-list.

Since 2.6 torch refuses mmengine's own checkpoints, because the message hub's history buffers name
``getattr`` when unpickled. Before 2.6 it runs whatever a checkpoint says. This loader, which
importing :mod:`mmlesion` puts in the place of mmengine's for local files, takes the former and
refuses the latter.
"""

import os.path as osp
import types
import zipfile
from collections import Counter

import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader

from ..utils import UserError
from ..utils.restricted_pickle import ARRAY_GLOBALS, restricted_unpickler


def _history_buffer_method(owner, name):
    """The only ``getattr`` a checkpoint may call: the default statistics of ``HistoryBuffer``."""
    if owner is HistoryBuffer and name in ('min', 'max', 'mean', 'current'):
        return getattr(HistoryBuffer, name)
    raise UserError(f'it asks for the attribute {name!r} of {owner!r}, so it was not loaded')


def _torch_globals():
    rebuilders = ('_rebuild_tensor', '_rebuild_tensor_v2', '_rebuild_parameter', '_rebuild_qtensor')
    kinds = [value for value in vars(torch).values() if isinstance(value, torch.dtype)]
    return {
        **{('torch._utils', name): getattr(torch._utils, name) for name in rebuilders},
        ('torch', 'Size'): torch.Size,
        ('torch', 'device'): torch.device,
        ('torch', 'Tensor'): torch.Tensor,
        ('torch.nn.parameter', 'Parameter'): torch.nn.Parameter,
        ('torch.serialization', '_get_layout'): torch.serialization._get_layout,
        **{('torch', str(kind).split('.')[1]): kind for kind in kinds},
    }


CHECKPOINT_GLOBALS = {
    **ARRAY_GLOBALS,
    **_torch_globals(),
    ('mmengine.logging.history_buffer', 'HistoryBuffer'): HistoryBuffer,
    ('collections', 'Counter'): Counter,  # the milestones of MultiStepLR
    ('builtins', 'getattr'): _history_buffer_method,
    ('__builtin__', 'getattr'): _history_buffer_method,
}
"""What a checkpoint may name: tensors, arrays, plain containers and mmengine's history buffers."""


def _pickle_module():
    """The part of :mod:`pickle` that ``torch.load`` uses, on the restricted unpickler."""
    module = types.ModuleType('mmlesion_checkpoint_pickle')
    module.Unpickler = restricted_unpickler(CHECKPOINT_GLOBALS)
    module.load = lambda file, **options: module.Unpickler(file, **options).load()
    return module


def _refuse_torchscript(path):
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith('/constants.pkl') for name in archive.namelist()):
                raise UserError('it is a TorchScript program, not a checkpoint')


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_from_local(filename, map_location=None):
    """Load a local checkpoint that holds data only.

    Args:
        filename (str): The checkpoint file.
        map_location (str, optional): As in :func:`torch.load`.

    Returns:
        dict: The checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
        UserError: If the file is damaged, or names a global outside :data:`CHECKPOINT_GLOBALS`.
    """
    filename = osp.expanduser(filename)
    if not osp.isfile(filename):
        raise FileNotFoundError(f'{filename} can not be found.')
    try:
        _refuse_torchscript(filename)
        return torch.load(filename, map_location=map_location, pickle_module=_pickle_module())
    except UserError as error:
        raise UserError(f'the checkpoint {filename} was refused: {error}') from None
    except Exception as error:
        # Whatever a damaged file provokes in torch's readers, the file is what the user must know.
        raise UserError(f'the checkpoint {filename} cannot be read: {error}') from error
