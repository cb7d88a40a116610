"""What the tools that draw, compare masks, and search anchors refuse, and the phantom."""

from bad_input_spoil import (
    DEEP_JSON,
    binary,
    edited,
    field,
    folder_for,
    huge_png,
    remove,
    replaced,
    text,
    truncate,
    without,
)
from bad_input_table import Case, Tool, of_options, of_tool, table

ANCHORS = Tool(
    'analysis_tools/optimize_anchors.py',
    'scores',
    '{data}/test.json --maxiter 2 --popsize 2 --json {out}',
)
MATCHES = Tool(
    'analysis_tools/draw_matches.py',
    'drawn',
    '--gt {data}/train.json --pred {data}/results.json --images {data}/Images_png --out {out}.png',
)
COMPARED = Tool(
    'analysis_tools/eval_recist_masks.py',
    'masked',
    '{data}/masks.json --truth {data}/truth --out {out}',
)
COMPLETED = Tool(
    'analysis_tools/complete_annotations.py',
    'phantom',
    '{data}/train.json --images {data}/Images_png --truth {data}/truth --out {out}',
)
PHANTOM = Tool(
    'dataset_converters/make_phantom.py', 'nothing', '--out {out} --size 128 --workers 1'
)
NAN = float('nan')


def test_valid_data_are_taken(valid_data, run_tool, tmp_path):
    for number, tool in enumerate((ANCHORS, MATCHES, COMPARED, COMPLETED)):
        data, out = valid_data(tool.data), tmp_path / str(number)
        run_tool(tool.script, *tool.arguments.format(data=data, out=out).split())
    assert len(list(tmp_path.iterdir())) == 4


@table(
    *of_tool(
        ANCHORS,
        ('no file', 'test.json', remove('test.json')),
        ('deep JSON', 'is not valid JSON', text('test.json', DEEP_JSON)),
        ('no width', 'needs a positive "width"', without('test.json', 'width', 'images')),
        ('a width of 10^400', 'width', field('test.json', 'width', 10**400, 'images')),
        ('a NaN width', 'width', field('test.json', 'width', NAN, 'images')),
        ('a width as text', 'width', field('test.json', 'width', 'x', 'images')),
        ('a box of 10^400', '"bbox[3]": Number', field('test.json', 'bbox', [0, 0, 9, 10**400])),
        ('a box without extent', 'no box to fit', field('test.json', 'bbox', [0, 0, 0, 0])),
        ('no box', 'no box to fit', edited('test.json', lambda c: c.update(annotations=[]))),
    ),
    *of_options(
        ANCHORS,
        ('--seed -1', '--seed'),
        ('--scales 0', '--scales'),
        ('--popsize 0', '--popsize'),
        ('--popsize 1000000000000', '--popsize'),
        ('--scales 1000000000000', '--scales'),
        ('--ratio-pairs 1000000000000', '--ratio-pairs'),
        ('--maxiter 0', '--maxiter'),
        ('--image-size 0', '--image-size'),
        ('--ratio-bounds 1', '--ratio-bounds'),
        ('--ratio-bounds 2 1 1 2', 'bounds'),
        ('--ratio-bounds nan 1 1 2', 'bounds'),
        ('--scale-bounds 2 1', 'bounds'),
        ('--scale-bounds nan 1', 'bounds'),
        ('--scale-bounds 0 inf', 'bounds'),
        ('--sizes 0 1 2 3 4', 'sizes'),
        ('--sizes nan 1 2 3 4', 'sizes'),
        ('--strides 0 1 2 3 4 --positions grid', 'strides'),
        ('--sizes 1 2', 'sizes'),
        ('--out-image {out}.odd', 'must end in one of'),
    ),
    *of_options(ANCHORS, ('--sizes big', 'invalid float value'), status=2),
)
def test_optimize_anchors(case, refuses):
    refuses(case)


SLICE = 'Images_png/000001_01_02/006.png'


@table(
    *of_tool(
        MATCHES,
        ('no truth', 'train.json', remove('train.json')),
        ('no detections', 'results.json', remove('results.json')),
        ('empty detections', 'has no detections', text('results.json', '[]')),
        (
            'unknown images',
            'does not list',
            replaced('results.json', '"image_id": 1', '"image_id": 9'),
        ),
        ('no slice', 'no such slice', remove(SLICE)),
        ('truncated slice', 'truncated', truncate(SLICE)),
        ('a folder for a slice', '006.png', folder_for(SLICE)),
        ('a slice of 60,000 px', '006.png', huge_png(SLICE)),
        (
            'a file name outside',
            'leads outside',
            field('train.json', 'file_name', '../a.png', 'images'),
        ),
        ('no file name', 'has no "file_name"', without('train.json', 'file_name', 'images')),
        ('a number as file name', 'file_name', field('train.json', 'file_name', 7, 'images')),
        ('spacing as text', 'spacing', field('train.json', 'spacing', 'wide', 'images')),
        ('zero spacing', 'spacing', field('train.json', 'spacing', [0, 0], 'images')),
        ('NaN spacing', 'spacing', field('train.json', 'spacing', [NAN, 1], 'images')),
        ('windows as text', 'window', field('train.json', 'windows', 'wide', 'images')),
        ('windows the wrong way', 'window', field('train.json', 'windows', [[9, 1]], 'images')),
    ),
    *of_options(
        MATCHES,
        ('--num 0', '--num'),
        ('--size 1', '--size'),
        ('--size 100000', '--size'),
        ('--fp-per-image 0', '--fp-per-image'),
        ('--fp-per-image nan', '--fp-per-image'),
        ('--score-thr nan', '--score-thr'),
        ('--window 9 1', '--window'),
        ('--threshold nan', 'threshold'),
        ('--threshold -2', 'threshold'),
        ('--out {out}.txt', '--out'),
        ('--out {out}', '--out'),
    ),
    *of_options(
        MATCHES, ('--cases all', 'invalid choice'), ('--window a b', 'invalid float'), status=2
    ),
)
def test_draw_matches(case, refuses):
    refuses(case)


TRUTH = 'truth/000001_01_02.npz'


@table(
    *of_tool(
        COMPLETED,
        ('no file', 'train.json', remove('train.json')),
        ('deep file', 'is not valid JSON', text('train.json', DEEP_JSON)),
        ('no slice', '006.png', remove(SLICE)),
        ('a name outside', 'leads outside', field('train.json', 'file_name', '../a.png', 'images')),
        ('no truth', 'is not the truth', remove('truth')),
        ('truncated truth', 'is not the truth', truncate(TRUTH)),
        ('a folder for the truth', 'is not the truth', folder_for(TRUTH)),
    ),
)
def test_complete_annotations(case, refuses):
    refuses(case)


@table(
    *of_tool(
        COMPARED,
        ('no file', 'masks.json', remove('masks.json')),
        ('truncated file', 'is not valid JSON', truncate('masks.json')),
        ('no truth', 'lesions.json', remove('truth')),
        ('truncated truth', 'is not the truth', truncate(TRUTH)),
        ('binary truth', 'is not the truth', binary(TRUTH)),
        ('empty truth', 'is not the truth', truncate(TRUTH, 0)),
        ('a folder for the truth', 'is not the truth', folder_for(TRUTH)),
        ('lesions as a list', 'lesions.json', text('truth/lesions.json', '[]')),
        ('a lesion without center', 'lesions.json', replaced('truth/lesions.json', 'center', 'x')),
        ('RLE of another size', 'segmentation', replaced('masks.json', '[64, 64]', '[9, 9]')),
        ('RLE as text', 'segmentation', field('masks.json', 'segmentation', 'x')),
        ('polygons', 'segmentation', field('masks.json', 'segmentation', [[1, 1, 2, 2, 3, 1]])),
        ('RECIST of three numbers', 'recist', field('masks.json', 'recist', [1, 2, 3])),
        ('NaN RECIST', 'recist', field('masks.json', 'recist', [NAN] * 8)),
        ('no index of the slice', 'slice_index', without('masks.json', 'slice_index', 'images')),
        ('no file name', 'file_name', without('masks.json', 'file_name', 'images')),
        ('no masks', 'has no masks', without('masks.json', 'mask_source')),
    ),
)
def test_eval_recist_masks(case, refuses):
    refuses(case)


LAYOUTS = [
    Case(PHANTOM, f'{layout}: {words}', says, options=f'--layout {layout} {words}')
    for layout, count in (
        ('deeplesion', '1 1 1'),
        ('kits19', '1 1'),
        ('lits', '1 1'),
        ('luna16', '1 1'),
        ('nih_ln', '1 1'),
    )
    for words, says in (
        ('--patients 1', 'give'),
        ('--patients -1 1', 'give'),
        (f'--patients {count} --size 20', '20'),
        (f'--patients {count} --size 100000', '100000'),
        (f'--patients {count} --seed -1', '--seed'),
        (f'--patients {count} --workers 0', '--workers'),
        (f'--patients {count} --lesion-scale nan', 'scale is nan'),
        (f'--patients {count} --lesion-scale 0', 'scale is 0'),
        (f'--patients {count} --slice-intervals 0', 'intervals in mm is'),
        (f'--patients {count} --slice-intervals nan', 'intervals in mm is'),
    )
]


@table(
    *LAYOUTS,
    *of_options(
        PHANTOM,
        ('--unannotated 2', 'unannotated'),
        ('--noisy nan', 'noisy'),
        ('--noisy 2', 'noisy'),
        ('--context-mm -1', 'context'),
        ('--context-mm inf', 'context'),
        ('--layout lits --noisy 0.1', '--noisy is of --layout deeplesion'),
        ('--out {data}/..', 'is not empty'),
        ('--patients 1000000000000 1 1', 'patients'),
        ('--slice-intervals 1000000000', 'intervals'),
        ('--lesion-scale 1e9', 'scale'),
    ),
    *of_options(
        PHANTOM, ('--layout brats', 'invalid choice'), ('--patients one', 'invalid int'), status=2
    ),
)
def test_make_phantom(case, refuses):
    refuses(case)
