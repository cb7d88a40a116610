"""tools/dist_launch.py starts processes that end early, or is told to end itself."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
rank = os.environ['RANK']
signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
Path(f'rank{rank}').write_text(str(os.getpid()))
if rank == '1' and sys.argv[1] == 'killed':
    os.kill(os.getpid(), signal.SIGKILL)
if rank == '1' and sys.argv[1] == 'fails':
    sys.exit(3)
time.sleep(60)
"""


@pytest.fixture
def launch(tmp_path):
    (tmp_path / 'script.py').write_text(SCRIPT)
    command = [sys.executable, ROOT / 'tools' / 'dist_launch.py', '--standalone']
    command += ['--nproc_per_node', '2', 'script.py']
    env = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')

    def start(case):
        return subprocess.Popen(
            [*command, case], cwd=tmp_path, stderr=subprocess.PIPE, encoding='utf-8', env=env
        )

    return start


@pytest.mark.parametrize('how', ['killed', 'fails', 'SIGTERM', 'SIGINT'])
def test_the_end_is_one_line(launch, tmp_path, how):
    with launch(how) as process:
        if how.startswith('SIG'):
            end = time.monotonic() + 100
            while not all((tmp_path / f'rank{rank}').exists() for rank in (0, 1)):
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.05)
            time.sleep(1)  # torchrun's handlers are set before it starts processes
            process.send_signal(getattr(signal, how))
        stderr = process.communicate(timeout=150)[1]
    status = {'SIGTERM': 143, 'SIGINT': 130}
    line = {
        'killed': 'error: process 1 of the run was killed by SIGKILL. What is saved is kept',
        'fails': 'error: process 1 of the run ended with status 3; its message is above',
    }
    assert process.returncode == status.get(how, 1)
    assert stderr.strip().splitlines()[-1].startswith(line.get(how, f'error: interrupted by {how}'))
    assert 'Traceback' not in stderr
    for rank in (0, 1):
        pid = (tmp_path / f'rank{rank}').read_text()
        stat = Path('/proc', pid, 'stat')
        assert not stat.exists() or 'script.py' not in Path('/proc', pid, 'cmdline').read_text()
