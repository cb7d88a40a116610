"""The checkpoint that ``--resume`` continues from: the newest one that is whole.

mmengine continues from whatever ``last_checkpoint`` names, and fails for ever if that file was cut
off, deleted or moved. :class:`~mmlesion.engine.LesionRunner` asks :func:`find_latest_checkpoint`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mmengine import dist
from mmengine.logging import print_log

from ..utils import UserError
from .checkpoints import read_checkpoint

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
