import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / 'tools' / 'benchmarks' / 'train_step_3d.py'
CONFIG = f"""_base_ = [
    '{ROOT}/configs/phantom/_base_/models/aggregated_rcnn3d_small.py',
    '{ROOT}/configs/phantom/_base_/schedules/schedule_3d.py',
]
model = dict(roi_head=_base_.magnified_fprn)
"""


@pytest.fixture
def tool(load_tool):
    return load_tool(SCRIPT)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'small.py'
    path.write_text(CONFIG)
    return path


@pytest.mark.parametrize('branches', ['joint', 'rpn'])
def test_figures(config, run_tool, tmp_path, branches):
    out = tmp_path / 'step.json'
    options = '--size', 32, '--runs', 1, '--warmup', 0, '--branches', branches, '--out', out
    run_tool(SCRIPT, config, *options)
    figures = json.loads(out.read_text())
    assert figures['config'] == 'small' and figures['parameters'] > 100_000
    assert 0 < figures['seconds'] < 120 and figures['processor_seconds'] > 0
    assert figures['peak_gib'] > 0.1 and figures['added_gib'] >= 0


def test_a_batch_has_lesions_in_it(tool):
    batch = tool.make_batch(32, 2, seed=0)
    assert [tuple(crop.shape) for crop in batch['inputs']] == [(1, 32, 32, 32)] * 2
    for crop, sample in zip(batch['inputs'], batch['data_samples']):
        spheres = sample.gt_instances.bboxes
        assert len(spheres) == 4 and (spheres[:, :3] >= 0).all() and (spheres[:, :3] <= 32).all()
        assert -1000 <= crop.min() and crop.max() < 400


@pytest.mark.parametrize(
    'args, message',
    [
        (['--size', '100'], '--size 100'),
        (['--batch', '0'], '--batch 0'),
        (['--runs', '0'], '--runs'),
        (['nowhere.py'], 'nowhere.py does not exist'),
    ],
)
def test_bad_input(run_tool, config, args, message):
    with pytest.raises(SystemExit, match=f'error: .*{message}'):
        run_tool(SCRIPT, *([] if args[0].endswith('.py') else [config]), *args)
