"""Places that nothing can be written to, and disks that fill up, over the tools that write."""

import json
from pathlib import Path

import pytest
from bad_input_faults import disk_full, file_in_place, folder_in_place, forbidden, no_space
from bad_input_table import Case, Tool, check, files_in, table

COMMON = ' --out {out} --workers 1'
ROOT = '{data}' + COMMON
IMAGES = ' --images {data}/Images_png'
SLICES = ('out/cases/*.json', 'out/Images_png/*.png')
LISTED = (*SLICES, 'out/seriesuids.csv')
SMALL = ' --patients 1 1 --size 128 --slice-intervals 5 --workers 1'
FOLDERS = {
    'deeplesion': Tool(
        'dataset_converters/deeplesion.py',
        'deeplesion',
        '{data}/DL_info.csv --out {out}' + IMAGES,
    ),
    'deeplesion_3d': Tool(
        'dataset_converters/deeplesion_3d.py', 'converted', ROOT + IMAGES, ('out/volumes/*',)
    ),
    'kits19': Tool('dataset_converters/kits19.py', 'kits19', ROOT, SLICES),
    'lits': Tool('dataset_converters/lits.py', 'lits', ROOT, SLICES),
    'luna16': Tool(
        'dataset_converters/luna16.py', 'luna16', ROOT, ('out/volumes/*', 'out/seriesuids.csv')
    ),
    'luna16_slices': Tool('dataset_converters/luna16_slices.py', 'luna16', ROOT, LISTED),
    'nih_ln': Tool('dataset_converters/nih_ln.py', 'nih_ln', ROOT, SLICES),
    'nifti': Tool(
        'convert.py',
        'nifti',
        'nifti {data}/images --masks {data}/masks --val-share 0' + COMMON,
        SLICES,
    ),
    'nifti volumes': Tool(
        'convert.py',
        'nifti',
        'nifti {data}/images --masks {data}/masks --val-share 0 --volumes' + COMMON,
        ('out/volumes/*',),
    ),
}
PHANTOMS = {
    layout: Tool(
        'dataset_converters/make_phantom.py', 'nothing', f'--layout {layout} --out {{out}}{SMALL}'
    )
    for layout in ('kits19', 'lits', 'nih_ln')
}
PHANTOMS['luna16'] = Tool(
    'dataset_converters/make_phantom.py',
    'nothing',
    '--layout luna16 --out {out} --patients 1 0 --workers 1',
)
PHANTOMS['deeplesion'] = Tool(
    'dataset_converters/make_phantom.py',
    'nothing',
    '--out {out} --size 128 --slice-intervals 5 --workers 1 --patients 1 0 0',
)
EVALUATION = '--gt {data}/test.json --pred {data}/results.json'
SCORES = {
    'eval_froc': Tool(
        'analysis_tools/eval_froc.py', 'scores', f'deeplesion {EVALUATION} --out {{out}}'
    ),
    'compare_froc': Tool(
        'analysis_tools/compare_froc.py',
        'compared',
        '{data}/a/froc.json {data}/b/froc.json --draws 10 --out {out}',
    ),
}
FILES = {
    'subvolumes': Tool(
        'dataset_converters/deeplesion_subvolumes.py',
        'converted',
        '{data}/test.json --out {out}' + IMAGES,
    ),
    'masks': Tool(
        'dataset_converters/recist_masks.py',
        'converted',
        '{data}/train.json --out {out}' + IMAGES,
        ('out.partial.jsonl',),
    ),
    'merge': Tool(
        'analysis_tools/merge_detections.py',
        'scores',
        '{data}/results.json {data}/other.json --out {out}',
    ),
    'anchors': Tool(
        'analysis_tools/optimize_anchors.py',
        'scores',
        '{data}/test.json --maxiter 2 --popsize 2 --json {out}',
    ),
    'matches': Tool(
        'analysis_tools/draw_matches.py',
        'drawn',
        '--gt {data}/train.json --pred {data}/results.json --out {out}.png' + IMAGES,
    ),
    'masks compared': Tool(
        'analysis_tools/eval_recist_masks.py',
        'masked',
        '{data}/masks.json --truth {data}/truth --out {out}',
    ),
}
IN_FOLDERS = {**FOLDERS, **PHANTOMS, **SCORES}


def cases(tools, fault, name, says, options=''):
    return [
        Case(tool, f'{key}, {name}', says, fault=fault, options=options)
        for key, tool in tools.items()
    ]


@table(
    *cases(IN_FOLDERS, file_in_place, 'a file in its place', 'out'),
    *cases({**FOLDERS, **SCORES}, forbidden, 'no right to write', 'out'),
    *cases(PHANTOMS, forbidden, 'no right to write', 'out', '--out {out}/below'),
    *cases(IN_FOLDERS, no_space, 'no space', 'out'),
    *cases(IN_FOLDERS, file_in_place, 'a file for its parent', 'out', '--out {out}/below/here'),
)
def test_folders(case, refuses):
    refuses(case)


PLAIN_FILES = {key: tool for key, tool in FILES.items() if key != 'matches'}
NAMED = {key: tool for key, tool in PLAIN_FILES.items() if key != 'anchors'}


@table(
    *cases(PLAIN_FILES, folder_in_place, 'a folder in its place', 'out'),
    *cases(FILES, no_space, 'no space', 'out'),
    *cases(NAMED, file_in_place, 'a file for its folder', 'out', '--out {out}/below/here'),
)
def test_files(case, refuses):
    refuses(case)


@pytest.mark.parametrize('moves', [1, 2])
@pytest.mark.parametrize('key', FOLDERS)
def test_a_disk_that_fills_up(key, moves, valid_data, run_tool, tmp_path, monkeypatch, capsys):
    """The run fails, leaves no file that is half, and a second one makes what it should."""
    tool = FOLDERS[key]
    monkeypatch.chdir(tmp_path)
    case = Case(tool, 'a full disk', 'No space left', fault=disk_full(moves), keeps=('out/*.json',))
    check(case, valid_data(tool.data), run_tool, tmp_path, capsys)
    words = tool.arguments.split()
    for out in (tmp_path / 'out', tmp_path / 'whole'):
        run_tool(tool.script, *(word.format(data=tmp_path / 'data', out=out) for word in words))
    assert contents(tmp_path / 'out') == contents(tmp_path / 'whole')


def contents(folder):
    """The files of a folder: JSON as such, which may be in several lines, others as bytes."""
    found = {}
    for name in files_in(folder):
        content = (folder / name).read_bytes()
        found[name] = json.loads(content) if Path(name).suffix == '.json' else content
    return found
