"""Importing mmlesion changes registries and the loaders of checkpoints, and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mmlesion

# what mmlesion imports of others is there before the first look, so that it can be compared
PROGRAM = """
import inspect, json, os, signal, sys, threading
from importlib import import_module

names = json.loads(sys.argv[1])
if not names:
    import mmlesion.register
    print(json.dumps([name for name in sys.modules if not name.startswith(('mmlesion', '__'))]))
    sys.exit()
for name in names:
    try:
        import_module(name)
    except ImportError:  # one that a package has put into sys.modules by itself
        pass


def contents():
    found = {}
    for name, module in list(sys.modules.items()):
        if name.startswith(('mmlesion', '__')):
            continue
        for key, value in list(getattr(module, '__dict__', {}).items()):
            found[name, key] = value
            if inspect.isclass(value) and value.__module__ == name:
                found.update(((name, f'{key}.{part}'), one) for part, one in vars(value).items())
    return found


def process():
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    return handlers, dict(os.environ), threading.active_count(), sys.argv[:]


before, state, finders = contents(), process(), len(sys.meta_path)
import mmlesion, mmlesion.register
after = contents()
from mmengine.fileio.backends import LocalBackend, backends
assert backends['local'] is LocalBackend
changed = [
    f'{name}: {key}'
    for (name, key), value in after.items()
    if key != '__warningregistry__' and before.get((name, key), value) is not value
]
wrapped = [
    f'{name}.{key}'
    for name, module in sys.modules.items() if name.startswith('mmlesion')
    for key, value in vars(module).items()
    if inspect.isclass(value) and hasattr(vars(value).get('__init__'), '__wrapped__')
]
finders = len(sys.meta_path) - finders
print(json.dumps(dict(changed=changed, wrapped=wrapped, state=state == process(), finders=finders)))
"""


def run(names):
    root = str(Path(mmlesion.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, json.dumps(names)],
        capture_output=True,
        encoding='utf-8',
        timeout=300,
        env=dict(os.environ, PYTHONPATH=root),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_nothing_is_replaced():
    others = run([])
    assert {'torch', 'mmcv', 'mmengine.runner.runner', 'mmdet.registry', 'threading'} <= {*others}
    found = run(others)
    # mmengine's own door for loaders, register_scheme, makes a new table
    assert found['changed'] == ['mmengine.runner.checkpoint: CheckpointLoader._schemes']
    assert found['wrapped'] == []
    assert found['state'], 'a signal handler, an environment variable or a thread'
    assert found['finders'] <= 1
