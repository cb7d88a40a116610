"""A forked program is like one that is started from a shell, but for its imports."""

import pytest
from forked_programs import launch, run_script

SCRIPT = """
import os, sys
sys.stderr.write(__name__ + ' ' + ' '.join(sys.argv[1:]))
print(os.getcwd(), os.environ.get('COLOR'), os.environ.get('RANK'), 'mmdet.models' in sys.modules)
if 'fail' in sys.argv:
    sys.exit('error: as told')
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / 'script.py'
    path.write_text(SCRIPT)
    return path


def test_command_line_folder_environment_and_output(script, tmp_path, monkeypatch):
    monkeypatch.setenv('COLOR', 'red')
    done = run_script(script, '--size', 3, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == f'{tmp_path} red None True\n' and done.stderr == '__main__ --size 3'
    done = run_script(script, cwd=tmp_path, variables={'COLOR': 'blue'})
    assert done.stdout == f'{tmp_path} blue None True\n'


def test_status_and_text_of_an_error(script):
    done = run_script(script, 'fail')
    assert done.returncode == 1 and done.stderr.endswith('error: as told\n')
    script.write_text('import os\nos.kill(os.getpid(), 9)\n')
    assert run_script(script).returncode == -9


def test_processes_of_a_run_know_their_rank(script, tmp_path):
    out = launch(script, cwd=tmp_path)
    assert out == f'{tmp_path} None 0 True\n{tmp_path} None 1 True\n'
    with pytest.raises(AssertionError, match='error: as told'):
        launch(script, 'fail')
