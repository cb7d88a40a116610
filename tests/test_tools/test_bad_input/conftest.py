"""Fixtures of the tables of bad input; see ``bad_input_table.py``."""

import sys
from pathlib import Path

import pytest

# helpers beside the tests, which importlib's mode of importing does not find
sys.path.insert(0, str(Path(__file__).parent))

import bad_input_data  # noqa: E402
import bad_input_table  # noqa: E402


@pytest.fixture(scope='session')
def valid_data(tmp_path_factory, run_tool):
    """Return the folder of a kind of valid data, which is made once."""
    root = tmp_path_factory.mktemp('valid')

    def get(kind):
        folder = root / kind
        if not folder.exists():
            folder.mkdir()
            getattr(bad_input_data, kind)(folder, run_tool)
        return folder

    return get


@pytest.fixture
def refuses(valid_data, run_tool, tmp_path, monkeypatch, capsys):
    """Check that a tool refuses a case of a table as the case says."""

    def check(case):
        monkeypatch.chdir(tmp_path)
        bad_input_table.check(case, valid_data(case.tool.data), run_tool, tmp_path, capsys)

    return check


@pytest.fixture
def short_logs(monkeypatch):
    """Let no run look for compilers, which takes longer than to refuse it."""
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
