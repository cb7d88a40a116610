"""Replacements for mmengine's checkpoint loaders that use :func:`read_checkpoint`.

Since 2.6, torch rejects mmengine's own checkpoints, because the pickled history buffers of the
message hub reference ``getattr``. Before 2.6, it executes any code in a checkpoint. Importing
:mod:`mmlesion` replaces mmengine's loaders for every prefix of a checkpoint's name by these, which
accept the former and reject the latter.
"""

from __future__ import annotations

import os
import os.path as osp
from collections.abc import Mapping
from urllib.parse import urlparse

import torch
from mmengine import dist
from mmengine.fileio import get_file_backend
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from ..utils import UserError
from .checkpoint_content import keep_what_resumes
from .checkpoint_file import MapLocation, read_checkpoint


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_from_local(filename: str, map_location: MapLocation = None) -> dict:
    """Load a local checkpoint that contains only data.

    Args:
        filename (str): The checkpoint file.
        map_location (str, optional): As in :func:`torch.load`.

    Returns:
        dict: The checkpoint, with what :func:`keep_what_resumes` leaves in it.

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

    Args:
        filename (str): The address.
        map_location (str, optional): As in :func:`torch.load`.
        model_dir (str, optional): The folder (default: torch.hub's).
        progress (bool): Whether to show a bar.

    Returns:
        dict: As of :func:`load_from_local`.

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


@CheckpointLoader.register_scheme(prefixes=[r'(\S+\:)?s3://', r'(\S+\:)?petrel://'], force=True)
def load_from_ceph(
    filename: str, map_location: MapLocation = None, backend: str = 'petrel'
) -> dict:
    """Load a checkpoint from the object store of mmengine's file backend."""
    store = get_file_backend(filename, backend_args=dict(backend=backend))
    with store.get_local_path(filename) as path:
        return load_from_local(str(path), map_location)


@CheckpointLoader.register_scheme(prefixes='pavi://', force=True)
def load_from_pavi(filename: str, map_location: MapLocation = None) -> dict:
    """Reject a prefix whose client is not public."""
    raise UserError(f'{filename}: download it, and give the file')


def _look_up(filename: str, addresses: Mapping[str, str]) -> str:
    """Return the address of a checkpoint ``prefix://name``."""
    name = filename.split('://', 1)[1]
    if name not in addresses:
        raise UserError(f'there are no weights {filename}')
    return addresses[name]
