import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / 'tools' / 'benchmarks' / 'improved_retinanet.py'
FOLDER = ROOT / 'configs' / 'phantom' / 'improved_retinanet'


@pytest.fixture
def tool(load_tool):
    return load_tool(SCRIPT)


def test_figures_of_two_rows(run_tool, tmp_path, capsys):
    names = ['retinanet_r18_fpn_default-anchors_phantom', 'retinanet_r18_fpn_anchors-dense_phantom']
    configs = [FOLDER / f'{name}.py' for name in names]
    out = tmp_path / 'cost.json'
    run_tool(SCRIPT, *configs, '--size', 128, '--runs', 2, '--warmup', 1, '--out', out)
    first, second = json.loads(out.read_text())
    assert [first['name'], second['name']] == names
    assert first['ratio'] == 1 and first['added'] == 0
    # heads and pyramid on P2, and the segmentation: more of all, whatever the clock says
    assert second['gigamacs'] > 1.5 * first['gigamacs']
    assert second['parameters'] > first['parameters']
    assert 0 < first['seconds'] < 60 and second['ratio'] > 0
    assert all(name in capsys.readouterr().out for name in names[:1])


def test_default_rows_exist(tool):
    assert len(tool.ROWS) == 5 and all(path.is_file() for path in tool.ROWS)


@pytest.mark.parametrize(
    'args, message',
    [
        (['--size', '100'], '--size 100'),
        (['--runs', '0'], '--runs'),
        (['nowhere.py'], 'nowhere.py does not exist'),
        (['--checkpoints', 'a.pth'], '1 checkpoints for 5 configs'),
    ],
)
def test_bad_input(run_tool, args, message):
    # sys.exit of a text: it goes to stderr, and the status is 1
    with pytest.raises(SystemExit, match=f'error: .*{message}'):
        run_tool(SCRIPT, *args)
