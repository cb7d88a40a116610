import runpy
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / 'tools/dev/code_figures.py'
FIRST = '''"""A module."""
from .second import two


def one(values: list, other):
    """Say what."""
    # a comment
    return [[v for v in values] for _ in zip(*other)]
'''


@pytest.fixture
def figures(tmp_path, capsys):
    """Return what the tool prints of a tree of two modules, by the name of the column."""
    (tmp_path / 'code').mkdir()
    (tmp_path / 'code/first.py').write_text(FIRST)
    (tmp_path / 'code/second.py').write_text('import code.first\n\n\ndef two():\n    pass\n')
    runpy.run_path(str(TOOL))['main']([str(tmp_path), '--folders', 'code'])
    found = {}
    for table in capsys.readouterr().out.strip().split('\n\n'):
        header, _, row = (line.strip('|').split('|') for line in table.splitlines())
        found.update(zip(map(str.strip, header), map(str.strip, row)))
    return found


def test_size(figures):
    assert figures['files'] == '2' and figures['lines'] == '13'
    assert figures['public functions with docstring'] == '50.0 %'
    assert figures['modules with docstring'] == '50.0 %'
    assert figures['parameters annotated'] == '50.0 %'
    assert figures['comment lines'] == '7.7 %'
    assert figures['function code lines median / p90 / max'] == '2 / 2 / 2'


def test_density_is_per_100_lines_of_code(figures):
    # six lines have code: three of each file
    assert figures['comprehensions'] == '33.33'
    assert figures['nested comprehensions'] == '16.67'
    assert figures['starred arguments and targets'] == '16.67'
    assert figures['zip'] == '16.67'


def test_structure(figures):
    assert figures['modules'] == '2' and figures['import cycles'] == '1'
    assert figures['largest folder'] == 'code, 2' and figures['configs'] == '0'


def test_a_folder_without_code_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        runpy.run_path(str(TOOL))['main']([str(tmp_path)])
    assert 'no Python file in mmlesion, tools' in capsys.readouterr().err
