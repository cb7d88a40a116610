import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.converters import commands, luna16, lungs, mask_run
from mmlesion.converters.regions import SliceOptions
from mmlesion.io.schema import ABDOMEN_WINDOW

ROOT = Path(__file__).parents[2]
HEAVY = ('cv2', 'SimpleITK', 'torch', 'mmengine', 'mmdet', 'mmcv', 'scipy', 'matplotlib')


def test_help_imports_nothing_heavy():
    """Of all benchmarks in one process, in which each module would stay."""
    script = (
        'import sys\n'
        'from mmlesion.converters.commands import COMMANDS, main\n'
        'for arguments in [[], *([name] for name in COMMANDS)]:\n'
        '    try:\n'
        "        main([*arguments, '--help'])\n"
        '    except SystemExit as end:\n'
        '        assert end.code == 0\n'
        f'print("loaded:", [name for name in {HEAVY} if name in sys.modules])\n'
    )
    command = [sys.executable, '-c', script]
    done = subprocess.run(command, capture_output=True, encoding='utf-8', cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert 'loaded: []' in done.stdout
    for name in commands.COMMANDS:
        assert f'{name} [-h]' in done.stdout


def test_every_benchmark_has_a_script_of_its_name():
    scripts = {path.stem for path in (ROOT / 'tools' / 'dataset_converters').glob('*.py')}
    # a generator of data, crops of volumes that are converted already, and nodules pasted into some
    others = {'make_phantom', 'nodule_cubes', 'lung_nodules'}
    assert scripts - others == set(commands.COMMANDS) - {'nifti'}


def parse(name, *arguments):
    parser = commands.ArgumentParser()
    commands.COMMANDS[name].add_options(parser)
    return parser.parse_args(arguments)


def test_defaults_are_those_of_the_converters():
    """They stand on the command line apart, as importing them would take seconds."""
    kits19 = parse('kits19', 'root', '--out', 'out')
    assert (kits19.min_area, kits19.context_mm) == (SliceOptions.min_area, SliceOptions.context_mm)
    volumes = parse('luna16', 'root', '--out', 'out')
    assert (volumes.margin, volumes.outside) == (
        lungs.LungRegion.margin,
        lungs.LungRegion.outside,
    )
    for outside in lungs.OUTSIDE:
        assert parse('luna16', 'root', '--out', 'out', '--outside', outside).outside == outside
    masks = parse('recist_masks', 'ann', '--images', 'images', '--out', 'out')
    assert masks.box_padding == mask_run.MaskOptions.box_padding
    assert masks.window == mask_run.MaskOptions.window
    nifti = parse('nifti', 'images', '--masks', 'masks', '--out', 'out')
    assert nifti.window == ABDOMEN_WINDOW and nifti.frame == 'voxel'


def test_options_reach_the_converter(monkeypatch, tmp_path):
    called = {}
    monkeypatch.setattr(luna16, 'convert', lambda **options: called.update(options))
    commands.main(['luna16', 'data', '--out', 'out', '--margin', '3', '--strict', '--workers', '2'])
    assert called == dict(
        root='data',
        out='out',
        masks=None,
        annotations=None,
        excluded=None,
        margin=3.0,
        outside='fill',
        workers=2,
        strict=True,
        allow_skipped=0,
    )


@pytest.fixture
def scan(tmp_path):
    """A scan with a table of one box in it."""
    hu = np.full((6, 20, 24), 30, np.int16)
    hu[:, :2] = -900
    (tmp_path / 'images').mkdir()
    sitk.WriteImage(sitk.GetImageFromArray(hu), str(tmp_path / 'images' / 'a.nii.gz'))
    row = 'a,3.5,4.5,1.5,9.5,9.5,3.5'
    (tmp_path / 'boxes.txt').write_text(f'case,x1,y1,z1,x2,y2,z2\n{row}\n')
    return tmp_path


def test_nifti_on_the_command_line(scan, run_tool, capsys):
    arguments = ['nifti', scan / 'images', '--boxes', scan / 'boxes.txt', '--workers', 1]
    run_tool('convert.py', *arguments, '--val-share', 0, '--out', scan / 'out')
    coco = json.loads((scan / 'out' / 'train.json').read_text())
    assert [ann['bbox'] for ann in coco['annotations']] == [[4, 5, 6, 5]] * 2
    run_tool('convert.py', *arguments, '--volumes', '--val-share', 0, '--out', scan / 'volumes')
    content = json.loads((scan / 'volumes' / 'train.json').read_text())
    (annotation,) = content['annotations']
    assert annotation['bbox_3d'] == [6.5, 7.0, 2.5, 6.0, 5.0, 2.0]
    assert 'train.json' in capsys.readouterr().out
    with pytest.raises(SystemExit, match='error: .* lies outside of its scan'):
        (scan / 'boxes.txt').write_text('case,x1,y1,z1,x2,y2,z2\na,90,0,0,99,5,5\n')
        run_tool('convert.py', *arguments, '--world', '--strict', '--out', scan / 'strict')
