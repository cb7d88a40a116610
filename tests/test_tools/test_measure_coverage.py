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


def test_statements_that_a_test_runs(tool, tmp_path):
    pytest.importorskip('coverage')
    test = tmp_path / 'test_one.py'
    test.write_text('from mmlesion.structures.boxes import *\n\ndef test():\n    pass\n')
    data_file = tmp_path / 'data'
    assert tool.run_tests([str(test), '-q', '-p', 'no:cacheprovider'], data_file) == 0
    found = {str(file.path): file for file in tool.read_coverage(data_file)}
    boxes, cases = found['mmlesion/structures/boxes.py'], found['mmlesion/io/cases.py']
    assert 0 < boxes.missing < boxes.statements
    assert 0 < cases.missing == cases.statements
