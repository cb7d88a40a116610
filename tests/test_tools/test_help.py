"""The help of every tool is printed without torch, mmcv, mmdet and matplotlib.

tools/benchmarks are left out: most time torch, and are for developers.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / 'tools').rglob('*.py')
    if path.parent.name != 'benchmarks'
)
SLOW = ('torch', 'mmcv', 'mmdet', 'matplotlib')

# runs each tool in one process, in which these cannot be imported
PROGRAM = """
import contextlib, io, json, runpy, sys
from importlib.machinery import PathFinder

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name not in SLOW:
            return None
        spec = PathFinder.find_spec(name, path)
        spec.loader.exec_module = self.refuse
        return spec

    def refuse(self, module):
        raise ImportError(f'{module.__name__} is imported')

SLOW, *tools = json.loads(sys.argv[1])
sys.meta_path.insert(0, Refuse())
results = {}
for tool in tools:
    sys.argv = [tool, '--help']
    with contextlib.redirect_stdout(io.StringIO()) as text:
        try:
            results[tool] = runpy.run_path(tool, run_name='__main__') and 'it did not exit'
        except SystemExit as end:
            results[tool] = str(end.code) if end.code else text.getvalue()
        except ImportError as error:
            results[tool] = str(error)
json.dump(results, sys.stdout)
"""


def test_help_needs_no_framework():
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, json.dumps([SLOW, *TOOLS])],
        capture_output=True,
        encoding='utf-8',
        timeout=300,
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1'),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    texts = json.loads(done.stdout)
    assert len(texts) == len(TOOLS) > 20
    assert not {tool: text for tool, text in texts.items() if not text.startswith('usage: ')}
