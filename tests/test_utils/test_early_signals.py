import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import os, signal, sys
sys.modules['__main__'].__file__ = {file!r}
import mmlesion
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.parametrize(
    'file, status, line',
    [
        (str(ROOT / 'tools' / 'train.py'), 143, 'error: interrupted by SIGTERM'),
        (str(ROOT / 'tools' / 'benchmarks' / 'load.py'), 143, 'error: interrupted by SIGTERM'),
        ('/elsewhere/program.py', -signal.SIGTERM, ''),
    ],
)
def test_a_tool_tells_it_and_another_program_does_as_it_likes(file, status, line):
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT.format(file=file)],
        capture_output=True,
        encoding='utf-8',
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        timeout=120,
    )
    assert (done.returncode, done.stderr.strip()) == (status, line)
