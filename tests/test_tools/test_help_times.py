import pytest

TOOL = 'dev/help_times.py'


@pytest.fixture
def script(tmp_path):
    """Write a script that takes some processor seconds for its help, and give its path."""

    def write(seconds, status=0):
        path = tmp_path / f'takes_{seconds}.py'
        path.write_text(
            'import sys, time\n'
            f'while time.process_time() < {seconds}:\n    pass\n'
            f'sys.exit({status})\n'
        )
        return path

    return write


def test_table_and_check(run_tool, script, capsys):
    quick, slow = script(0), script(1.1)
    run_tool(TOOL, quick, slow)
    rows = [line for line in capsys.readouterr().out.splitlines() if 'takes_' in line]
    assert 'takes_1.1' in rows[0] and 'takes_0' in rows[1], 'the slowest first'
    assert float(rows[0].split('|')[2]) >= 1.1
    with pytest.raises(SystemExit, match='error: 1 tools take 1.0 s or more, first .*takes_1.1'):
        run_tool(TOOL, quick, slow, '--check')


def test_tools_that_fail_or_are_missing(run_tool, script):
    with pytest.raises(SystemExit, match='--help fails'):
        run_tool(TOOL, script(0, status=3))
    with pytest.raises(SystemExit, match='nowhere.py does not exist'):
        run_tool(TOOL, 'nowhere.py')
