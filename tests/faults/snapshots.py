"""What a command has written, as values that can be compared with those of another run."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
import re
from pathlib import Path

import numpy as np

from mmlesion.engine import load_from_local

# logs, and the dumped config, which names the moment
_OF_THE_MOMENT = re.compile(r'(^|/)\d{8}_\d{6}|\.log$|\.log\.json$|/calls$')
_TIMES = {'seconds', 'wall_s', 'cpu_s', 'time', 'resumed', 'train', 'test', 'date'}


def snapshot(folder: Path) -> dict[str, str]:
    """Return a digest of the values of each file of a folder, hidden ones included.

    Times and what a run says of itself are left out: a resumed run differs in these.
    """
    found = {}
    for path in sorted(folder.rglob('*')):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not _OF_THE_MOMENT.search(name):
            found[name] = hashlib.sha256(_values(path)).hexdigest()
    return found


def _values(path: Path) -> bytes:
    if path.name.startswith('.'):  # what was being written
        return path.read_bytes()
    if path.suffix == '.json':
        content = json.loads(path.read_text(encoding='utf-8'))
        return json.dumps(_without_times(content), sort_keys=True).encode()
    if path.name == 'volumes.csv':  # says what was kept of the first run
        return path.read_bytes().replace(b',kept,', b',done,')
    if path.name == 'comparison.md':
        return _without_columns_of_times(path.read_text(encoding='utf-8')).encode()
    if path.suffix == '.npz':
        with np.load(path) as arrays:
            return pickle.dumps({name: _array(arrays[name]) for name in sorted(arrays)})
    if path.suffix == '.gz':
        return gzip.decompress(path.read_bytes())
    if path.suffix == '.pth':
        return _checkpoint(path)
    return path.read_bytes()


def _without_columns_of_times(table):
    """A table of run_rows.py without what took how long, its last two columns."""
    lines = table.splitlines()
    assert lines[0].endswith('| training, min | its processor time, min |'), lines[0]
    return '\n'.join(line.rsplit('|', 3)[0] if line.startswith('|') else line for line in lines)


def _without_times(value):
    if isinstance(value, dict):
        return {key: _without_times(v) for key, v in value.items() if key not in _TIMES}
    return [_without_times(v) for v in value] if isinstance(value, list) else value


def _array(array):
    return array.dtype.str, array.shape, array.tobytes()


def _checkpoint(path: Path) -> bytes:
    """Weights, optimizer, schedulers and losses of a checkpoint; not its time and speed."""
    content = load_from_local(str(path), 'cpu')
    parts = {key: content.get(key) for key in ('state_dict', 'optimizer', 'param_schedulers')}
    scalars = content.get('message_hub', {}).get('log_scalars', {})
    losses = {name: history.data[0] for name, history in scalars.items() if 'loss' in name}
    digest = hashlib.sha256()
    _feed(digest, [parts, losses, content['meta'].get('epoch'), content['meta'].get('iter')])
    return digest.digest()


def _feed(digest, value):
    """Feed nested values to a digest."""
    if isinstance(value, dict):
        for key in value:
            digest.update(repr(key).encode())
            _feed(digest, value[key])
    elif isinstance(value, (list, tuple)):
        for part in value:
            _feed(digest, part)
    elif hasattr(value, 'numpy'):
        _feed(digest, value.detach().numpy())
    elif isinstance(value, np.ndarray):
        digest.update(repr(_array(value)[:2]).encode() + value.tobytes())
    else:
        digest.update(repr(value).encode())
