"""tools/setup_env.sh where an earlier run of it was broken off."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_half_made_environment_is_made_again(tmp_path):
    """Python's venv writes its scripts last."""
    (tmp_path / 'tools').mkdir()
    shutil.copy(ROOT / 'tools' / 'setup_env.sh', tmp_path / 'tools')
    (tmp_path / '.venv' / 'bin').mkdir(parents=True)
    (tmp_path / '.venv' / 'bin' / 'python').symlink_to(sys.executable)
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\ncase "$*" in *venv*) echo "$*" > made; exit 1;; esac\n')
    python.chmod(0o755)
    done = subprocess.run(
        ['bash', '-c', 'source tools/setup_env.sh'],
        cwd=tmp_path,
        env={'PYTHON': str(python), 'PATH': '/usr/bin:/bin'},
        capture_output=True,
        encoding='utf-8',
    )
    assert done.returncode == 1 and 'venv failed' in done.stderr
    assert str(tmp_path / '.venv') in (tmp_path / 'made').read_text()
