import json
from pathlib import Path

import pytest
from harness.timing import PeakMemory

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / 'tools' / 'benchmarks' / 'scan_3d.py'
FOLDER = ROOT / 'configs/phantom/aggregated_rcnn3d'
CONFIG = FOLDER / 'aggregated-rcnn3d_dense-unet_da-lm_luna16-phantom.py'


@pytest.fixture
def tool(load_tool):
    return load_tool(SCRIPT)


def test_figures(run_tool, tmp_path):
    out = tmp_path / 'scan.json'
    size = '--size', 48, 48, 48, '--window', 48, '--proposals', 5, '--doublings', 1
    run_tool(SCRIPT, CONFIG, *size, '--runs', 1, '--warmup', 0, '--out', out)
    figures = json.loads(out.read_text())
    scans = figures['scans']
    assert list(scans) == ['RPN', '+ FPRN', '+ Local Magnification']
    assert scans['RPN']['seconds_ratio'] == scans['RPN']['processor_seconds_ratio'] == 1
    assert all(scan['processor_seconds'] > 0 for scan in scans.values())
    speeds = figures['speeds']
    assert list(speeds) == ['plain', 'channels last', 'amp', 'amp, channels last']
    assert speeds['plain']['processor_seconds_ratio'] == 1
    assert [(row['shape'][0], row['windows']) for row in figures['doubled']] == [(48, 1), (96, 4)]
    assert all(row['peak_mib'] >= 0 for row in figures['doubled'])


def test_the_scan_is_mapped(tool, tmp_path):
    with PeakMemory('cpu') as peak:
        scan = tool.draw_scan(str(tmp_path), (64, 512, 512), 0)  # 32 MiB
        assert scan.shape == (1, 64, 512, 512) and -1000 <= scan.min() and scan.max() < 400
    assert peak.mib < 25


@pytest.mark.parametrize(
    'args, message',
    [
        (['--batch', '0'], '--batch 1'),
        (['--runs', '0'], '--runs'),
        (['nowhere.py'], 'nowhere.py does not exist'),
    ],
)
def test_bad_input(run_tool, args, message):
    with pytest.raises(SystemExit, match=f'error: .*{message}'):
        run_tool(SCRIPT, *args)


def test_a_config_of_something_else(run_tool):
    other = ROOT / 'configs/phantom/baselines/faster-rcnn_r18_fpn_phantom.py'
    with pytest.raises(SystemExit, match='has no fprn'):
        run_tool(SCRIPT, other, '--size', 32, 32, 32)
