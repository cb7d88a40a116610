import json

import pytest


@pytest.mark.parametrize('interval', [2.0, 5.0])
def test_all_load_the_same(tmp_path, run_tool, capsys, interval):
    out = tmp_path / 'figures.json'
    args = '--size', 64, '--slices', 12, '--series', 1, '--runs', 1, '--interval', interval
    run_tool('benchmarks/load_slices.py', *args, '--out', out)
    rows = json.loads(out.read_text())
    found = [(row['name'], row['num_slices'], row['epoch']) for row in rows]
    kinds = 'papers', 'decoding', 'plain', 'cached'
    assert found[:8] == [(name, 3, epoch) for name in kinds for epoch in (1, 2)]
    assert [row['num_slices'] for row in rows] == [3] * 8 + [7] * 8 + [9] * 8
    assert all(row['samples_per_second'] > 0 for row in rows)
    assert {row['name'] for row in rows if row['difference'] is None} == {'decoding'}
    assert all(row['difference'] < 1e-3 for row in rows if row['name'] != 'decoding')
    assert all(row['ratio'] == 1 for row in rows if row['name'] == 'papers')
    assert 'samples/cpu s' in capsys.readouterr().out


def test_bad_options(tmp_path, run_tool):
    with pytest.raises(SystemExit, match='--cache-size and --interval must be positive'):
        run_tool('benchmarks/load_slices.py', '--cache-size', 0)
    with pytest.raises(SystemExit, match='has no folders of slices'):
        run_tool('benchmarks/load_slices.py', '--images', tmp_path)
