"""The choices of tools/setup_env.sh, with a Python that tells of another torch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / 'tools/setup_env.sh'
BASH = shutil.which('bash')

pytestmark = pytest.mark.skipif(BASH is None, reason='set-up needs bash')

FAKE_PYTHON = """#!/bin/sh
case "$*" in
  *torch.version.cuda*) echo "$TORCH_CUDA" ;;
  *is_available*) exit "$NO_GPU" ;;
  *get_compiling_cuda_version*) echo "$MMCV_CUDA" ;;
  *torch.__version__*) echo torch2.13.0-py311 ;;
esac
"""

# of mmcv 2.1.0
GET_VERSION = """
def get_version():
    version_file = 'version.py'
    with open(version_file, encoding='utf-8') as f:
        exec(compile(f.read(), version_file, 'exec'))
    return locals()['__version__']
"""


@pytest.fixture
def call(tmp_path):
    """Call a function of the script, without the set-up that its last line starts."""
    functions = tmp_path / 'functions.sh'
    lines = SCRIPT.read_text().splitlines()
    assert lines[-1] == 'setup_env'
    functions.write_text('\n'.join(lines[:-1]))
    programs = tmp_path / 'bin'
    programs.mkdir()
    for name in ('dirname', 'sed', 'sh'):
        (programs / name).symlink_to(shutil.which(name))
    write_program(programs / 'python', FAKE_PYTHON)

    def run(command, nvcc=False, **variables):
        if nvcc:
            write_program(programs / 'nvcc', '#!/bin/sh\n')
        env = dict(PATH=str(programs), HOME='/home/me', TORCH_CUDA='', NO_GPU='1', **{})
        env.update(variables)
        line = f'source {functions}; {command}'
        options = dict(capture_output=True, encoding='utf-8', env=env, cwd=tmp_path)
        return subprocess.run([BASH, '-c', line], **options)

    return run


def write_program(path, text):
    path.write_text(text)
    os.chmod(path, 0o755)


@pytest.mark.parametrize(
    'variables, operators, said',
    [
        (dict(), 'cpu', ''),
        (dict(TORCH_CUDA='13.0'), 'cpu', 'built for the CPU alone'),
        (dict(TORCH_CUDA='13.0', FORCE_CUDA='0', NO_GPU='0'), 'cpu', ''),
        (dict(TORCH_CUDA='13.0', NO_GPU='0', nvcc=True), 'cuda', ''),
        (dict(TORCH_CUDA='13.0', FORCE_CUDA='1', nvcc=True), 'cuda', ''),
        (dict(TORCH_CUDA='13.0', CUDA_HOME='/none', FORCE_CUDA='1', nvcc=True), '', 'toolkit 13'),
        (dict(TORCH_CUDA='12.8', NO_GPU='0'), '', 'install the CUDA toolkit 12'),
    ],
)
def test_operators_of_cpu_or_cuda(call, variables, operators, said):
    done = call('choose_operators', **variables)
    assert done.stdout.strip() == operators and done.returncode == (0 if operators else 1)
    assert said in done.stderr and bool(said) == bool(done.stderr)
    assert len(done.stderr.splitlines()) <= 1


def test_a_wheel_for_the_cpu_is_not_taken_for_cuda(call):
    folders = [call(f'wheel_cache {kind}').stdout.strip() for kind in ('cpu', 'cuda')]
    assert folders[0] == '/home/me/.cache/mmlesion/wheels/mmcv2.1.0-torch2.13.0-py311'
    assert folders[1] == f'{folders[0]}-cuda'
    fork = call('wheel_cache cpu', MMLAB='onedl').stdout.strip()
    assert fork.endswith('/onedl-mmcv2.3.6-torch2.13.0-py311')


@pytest.mark.parametrize(
    'torch, mmcv, said',
    [
        ('', 'not available', ''),
        ('13.0', '13.0', ''),
        ('13.0', '12.8', 'mmcv is built for CUDA 12.8, torch for 13.0'),
        ('13.0', 'not available', 'operators for the CPU alone'),
    ],
)
def test_operators_that_do_not_fit_torch(call, torch, mmcv, said):
    done = call('check_cuda_operators', TORCH_CUDA=torch, MMCV_CUDA=mmcv)
    assert done.returncode == 0 and said in done.stderr and bool(said) == bool(done.stderr)


def test_a_wrong_name_of_the_packages(call):
    done = call('true', MMLAB='mmlab')
    assert done.returncode == 1 and 'openmmlab or onedl, not mmlab' in done.stderr


def test_the_version_of_mmcv_is_read_without_locals(call, tmp_path):
    (tmp_path / 'setup.py').write_text(GET_VERSION)
    (tmp_path / 'version.py').write_text("__version__ = '2.1.0'\n")
    assert call('mend_version .').returncode == 0
    mended = (tmp_path / 'setup.py').read_text()
    assert 'locals()' not in mended
    program = f'{mended}\nassert get_version() == "2.1.0"'
    subprocess.run([shutil.which('python3'), '-c', program], cwd=tmp_path, check=True)


def test_a_half_made_environment_is_made_again(tmp_path):
    """Python's venv writes its scripts last."""
    (tmp_path / 'tools').mkdir()
    shutil.copy(SCRIPT, tmp_path / 'tools')
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
