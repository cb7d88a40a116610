"""The tools as subcommands of ``mmlesion``."""

import subprocess
import sys

import pytest

from mmlesion import __main__
from mmlesion.__main__ import COMMANDS, main
from mmlesion.utils.configs import shipped_path


def test_each_command_is_a_tool():
    for name, _ in COMMANDS.values():
        assert shipped_path(f'tools/{name}').is_file(), name


def test_help_lists_them(capsys):
    main(['--help'])
    shown = capsys.readouterr().out
    main([])
    assert capsys.readouterr().out == shown
    assert all(f'  {name} ' in shown for name in COMMANDS)


def test_no_such_command():
    with pytest.raises(SystemExit, match='error: no command trian: choose one of train, test'):
        main(['trian'])


def test_arguments_are_the_tools(monkeypatch):
    started = []
    monkeypatch.setattr(__main__.os, 'execv', lambda *call: started.append(call))
    main(['eval', 'a file', '--out', 'b'])
    ((program, words),) = started
    assert program == words[0] == sys.executable
    assert words[1].endswith('eval_froc.py') and words[2:] == ['a file', '--out', 'b']


def test_the_status_is_the_tools(tmp_path):
    command = [sys.executable, '-m', 'mmlesion', 'publish', 'nowhere.pth', 'out.pth']
    done = subprocess.run(command, capture_output=True, encoding='utf-8', cwd=tmp_path)
    assert done.returncode == 1 and 'error: ' in done.stderr and 'nowhere.pth' in done.stderr
