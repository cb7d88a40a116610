import json

import pytest
from harness.benchmark import BenchmarkParser, format_table

from mmlesion.utils import UserError


def test_table():
    rows = [dict(name='a', s=1.25), dict(name='long', s=10)]
    columns = {'': lambda row: row['name'], 's': lambda row: f'{row["s"]:.2f}'}
    assert format_table(rows, columns) == '          s\na      1.25\nlong  10.00'


@pytest.fixture
def command(monkeypatch):
    """Run a benchmark whose figures are its options."""

    def run(*arguments):
        monkeypatch.setattr('sys.argv', ['benchmark', *map(str, arguments)])
        parser = BenchmarkParser('What is timed.', 'boxes', runs=3, warmup=1)
        parser.run(lambda args: dict(runs=args.runs, seed=args.seed))

    return run


def test_figures_are_printed_and_written(command, tmp_path, capsys):
    out = tmp_path / 'figures.json'
    command('--seed', 7, '--out', out)
    assert (
        json.loads(capsys.readouterr().out) == json.loads(out.read_text()) == dict(runs=3, seed=7)
    )


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--runs', 0], '--runs must be at least 1'),
        (['--warmup', -1], '--warmup at least 0'),
    ],
)
def test_options_that_cannot_be_timed(command, arguments, message):
    with pytest.raises(UserError, match=message):
        command(*arguments)
