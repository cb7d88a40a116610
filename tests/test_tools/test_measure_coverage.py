import re
from pathlib import Path

import pytest

TOOL = 'dev/measure_coverage.py'


@pytest.fixture
def tool(load_tool):
    return load_tool(TOOL)


def test_packages_and_files_of_a_report(tool):
    files = [
        tool.FileCoverage(Path('mmlesion/version.py'), 1, 0),
        tool.FileCoverage(Path('mmlesion/io/coco.py'), 60, 3),
        tool.FileCoverage(Path('mmlesion/io/ct.py'), 40, 22),
        tool.FileCoverage(Path('mmlesion/models/layers/__init__.py'), 0, 0),
    ]
    text = tool.report(files)
    cells = [line.strip('|').split('|') for line in text.splitlines() if line.startswith('|')]
    rows = [[cell.strip() for cell in line] for line in cells]
    assert ['mmlesion', '1', '1', '0', '100.0%'] in rows
    assert ['mmlesion.io', '2', '100', '25', '75.0%'] in rows
    assert ['mmlesion.models', '1', '0', '0', '-'] in rows
    assert ['all', '4', '101', '25', '75.2%'] in rows
    assert rows[-2:] == [
        ['mmlesion/io/ct.py', '22', '45.0%'],
        ['mmlesion/io/coco.py', '3', '95.0%'],
    ]


@pytest.mark.parametrize('passes', [True, False])
def test_statements_that_a_test_runs(tool, tmp_path, capfd, passes):
    pytest.importorskip('coverage')
    test = tmp_path / 'test_one.py'
    body = f'    assert Path({str(tmp_path)!r}).exists() is {passes}\n'
    test.write_text(f'from pathlib import Path\nimport mmlesion.io.names\n\ndef test():\n{body}')
    status = tool.run_tests([str(test), '-q', '-p', 'no:cacheprovider'])
    assert status == (0 if passes else 1)
    lines = capfd.readouterr().out.splitlines()
    assert re.match('1 passed in' if passes else '1 failed in', lines[-1])
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
    shares = {row[0]: row[1:] for row in rows if len(row) == 5}
    files, statements, missing, share = shares['mmlesion.io']
    assert 0 < int(missing) < int(statements) and 0 < float(share[:-1]) < 100
    files, statements, missing, share = shares['mmlesion.models']
    assert int(missing) == int(statements) > 0 and share == '0.0%'
