"""Every tool prints its help without torch, mmcv, mmdet and matplotlib.

Benchmarks report options that cannot be used without them, too.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# scripts, and not the packages beside them
TOOLS = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / 'tools').rglob('*.py')
    if not (path.parent / '__init__.py').exists()
)
BAD_OPTIONS = [
    'tools/benchmarks/elixirnet.py --size 100',
    'tools/benchmarks/elixirnet.py nowhere.py',
    'tools/benchmarks/followup.py --patients 0',
    'tools/benchmarks/froc.py --repeats 0',
    'tools/benchmarks/grabcut.py nowhere.json --images . --num 0',
    'tools/benchmarks/improved_retinanet.py --checkpoints a.pth',
    'tools/benchmarks/load.py --seed -1',
    'tools/benchmarks/load_slices.py --series 0',
    'tools/benchmarks/infer_profile.py --slices 0',
    'tools/benchmarks/lens.py configs/_base_/models/faster-rcnn_r50_fpn.py',
    'tools/benchmarks/nms_roi_align_3d.py --boxes 0',
    'tools/benchmarks/scan_3d.py --batch 0',
    'tools/benchmarks/shared_layers.py --size 3',
    'tools/benchmarks/slice_context.py --size 3',
    'tools/benchmarks/train_iteration.py --batch 0',
    'tools/benchmarks/train_step_3d.py --runs 0',
    'tools/benchmarks/trpn.py --size 3',
    'tools/benchmarks/volume_inference.py --runs 0',
    'tools/benchmarks/wait_policy.py --runs 0',
]
SLOW = ('torch', 'mmcv', 'mmdet', 'matplotlib')

# runs each command in one process, in which these cannot be imported
PROGRAM = """
import contextlib, io, json, os, runpy, sys
from importlib.machinery import PathFinder

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name not in SLOW:
            return None
        spec = PathFinder.find_spec(name, path)
        spec.loader.exec_module = self.refuse
        return spec

    def refuse(self, module):
        # no ImportError, which would be caught where a package can do without it
        raise RuntimeError(f'{module.__name__} is imported')

SLOW, *commands = json.loads(sys.argv[1])
sys.meta_path.insert(0, Refuse())
results = {}
for command in commands:
    sys.argv = command.split()
    sys.path[0] = os.path.dirname(sys.argv[0])  # as where it is started as a program
    with contextlib.redirect_stdout(io.StringIO()) as text:
        try:
            runpy.run_path(sys.argv[0], run_name='__main__')
            results[command] = 'it did not exit'
        except SystemExit as end:
            results[command] = str(end.code) if end.code else text.getvalue()
        except Exception as error:
            results[command] = repr(error)
json.dump(results, sys.stdout)
"""


def outputs(commands):
    """What each command prints, or ends with."""
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, json.dumps([SLOW, *commands])],
        capture_output=True,
        encoding='utf-8',
        timeout=300,
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1'),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_help_needs_no_framework():
    texts = outputs([f'{tool} --help' for tool in TOOLS])
    assert len(texts) == len(TOOLS) > 30
    assert not {tool: text for tool, text in texts.items() if not text.startswith('usage: ')}


def test_benchmarks_check_their_options_first():
    texts = outputs(BAD_OPTIONS)
    assert {command.split()[0] for command in texts} == {
        tool for tool in TOOLS if 'benchmarks/' in tool
    }
    assert not {command: text for command, text in texts.items() if not text.startswith('error: ')}
