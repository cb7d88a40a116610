"""Runs of tools in an environment that lacks packages."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FRAMEWORKS = ('torch', 'torchvision', 'mmcv', 'mmengine', 'mmdet')
HOOK = """
import importlib.abc
import sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {absent}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Absent())
"""


def run_without(folder, absent, tool, *arguments):
    """Run a tool in a process that finds none of these packages; return what it ended with."""
    hook = folder / 'absent'
    hook.mkdir(exist_ok=True)
    (hook / 'sitecustomize.py').write_text(HOOK.format(absent=set(absent)))
    return subprocess.run(
        [sys.executable, str(ROOT / 'tools' / tool), *map(str, arguments)],
        env={**os.environ, 'PYTHONPATH': f'{hook}{os.pathsep}{ROOT}'},
        capture_output=True,
        text=True,
    )
