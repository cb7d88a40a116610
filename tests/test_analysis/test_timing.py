import json

import pytest

from mmlesion.analysis.timing import (
    Seconds,
    benchmark_parser,
    format_table,
    interleave,
    median,
    median_ratio,
    run_benchmark,
    time_call,
)
from mmlesion.utils import UserError


def test_rounds_change_direction_and_leave_the_warm_up_out():
    calls = []
    functions = {name: lambda name=name: calls.append(name) or len(calls) for name in 'ab'}
    rounds = interleave(functions, runs=2, warmup=1)
    assert calls == ['b', 'a', 'a', 'b', 'b', 'a']
    assert rounds == [dict(a=3, b=4), dict(a=6, b=5)]


def test_ratio_is_the_median_of_ratios():
    rounds = [dict(a=1, b=2), dict(a=10, b=40), dict(a=2, b=6)]
    assert median_ratio(rounds, 'b', 'a') == 3
    assert median(rounds, 'b') == 6
    tenth = [dict(a=[0, 1], b=[0, 10])]
    assert median_ratio(tenth, 'a', 'b', lambda result: result[1]) == 0.1


def test_time_of_a_call():
    result, seconds = time_call(sum, range(10**6))
    assert result == 499999500000
    assert 0 < seconds.processor and 0 < seconds.wall < 10
    assert seconds + Seconds(1, 2) == Seconds(seconds.wall + 1, seconds.processor + 2)


def test_table():
    rows = [dict(name='a', s=1.25), dict(name='long', s=10)]
    columns = {'': lambda row: row['name'], 's': lambda row: f'{row["s"]:.2f}'}
    assert format_table(rows, columns) == '          s\na      1.25\nlong  10.00'


@pytest.fixture
def command(monkeypatch):
    """Run a benchmark whose figures are its options."""

    def run(*arguments):
        monkeypatch.setattr('sys.argv', ['benchmark', *map(str, arguments)])
        parser = benchmark_parser('What is timed.', 'boxes', runs=3, warmup=1)
        run_benchmark(parser, lambda args: dict(runs=args.runs, seed=args.seed))

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
