"""What the converters of DeepLesion refuse, and that of its masks."""

import json

from bad_input_spoil import (
    DEEP_JSON,
    HUGE_INTEGER,
    binary,
    edited,
    eight_bits,
    field,
    file_for,
    folder_for,
    huge_png,
    in_color,
    palette,
    png,
    remove,
    replaced,
    text,
    truncate,
    without,
)
from bad_input_table import Tool, of_options, of_tool, table

TABLE = Tool(
    'dataset_converters/deeplesion.py',
    'deeplesion',
    '{data}/DL_info.csv --images {data}/Images_png --out {out} --strict',
)
VOLUMES = Tool(
    'dataset_converters/deeplesion_3d.py',
    'converted',
    '{data} --images {data}/Images_png --out {out} --workers 1 --strict',
    ('out/volumes/*',),
)
SUB_VOLUMES = Tool(
    'dataset_converters/deeplesion_subvolumes.py',
    'converted',
    '{data}/test.json --images {data}/Images_png --out {out} --strict',
)
MASKS = Tool(
    'dataset_converters/recist_masks.py',
    'converted',
    '{data}/train.json --images {data}/Images_png --out {out} --strict',
)
ROW = '000001_01_02_006.png'
SLICE = 'Images_png/000001_01_02/006.png'
TESTED = 'Images_png/000003_01_02/006.png'
TRAIN, TEST = 'train.json', 'test.json'


def test_valid_data_are_converted(valid_data, run_tool, tmp_path):
    for number, tool in enumerate((TABLE, VOLUMES, SUB_VOLUMES, MASKS)):
        data, out = valid_data(tool.data), tmp_path / str(number)
        run_tool(tool.script, *tool.arguments.format(data=data, out=out).split())
        assert out.is_file() or list(out.glob('*.json'))


def cell(old, new):
    """Change the first row of the table, which it is followed by in quotes or commas."""
    return replaced('DL_info.csv', old, new)


@table(
    *of_tool(
        TABLE,
        ('no table', 'cannot be read as CSV', remove('DL_info.csv')),
        ('a folder for the table', 'cannot be read as CSV', folder_for('DL_info.csv')),
        ('empty table', 'is empty', truncate('DL_info.csv', 0)),
        ('binary table', 'cannot be read as CSV', binary('DL_info.csv')),
        ('another header', 'it lacks File_name', cell('File_name', 'File')),
        ('truncated row', 'line 4', truncate('DL_info.csv', 0.95)),
        ('broken quote', 'line 2', cell('"9, 11', '"9" 11')),
        ('text for a box', 'not 4 numbers', cell('"4, 4, 22, 20"', '"4, 4, 22, x"')),
        ('NaN for a box', 'not 4 numbers', cell('"4, 4, 22, 20"', '"4, 4, 22, nan"')),
        ('1e400 for a box', 'not 4 numbers', cell('"4, 4, 22, 20"', '"4, 4, 22, 1e400"')),
        ('a box of 1e12', 'outside its image', cell('"4, 4, 22, 20"', '"1e12, 4, 2e12, 20"')),
        ('zero spacing', 'Spacing_mm_px_', cell('"0.8, 0.8, 2"', '"0.8, 0, 2"')),
        ('infinite spacing', 'not 3 numbers', cell('"0.8, 0.8, 2"', '"0.8, inf, 2"')),
        ('spacing of 1e9', 'Spacing_mm_px_', cell('"0.8, 0.8, 2"', '"0.8, 0.8, 1e9"')),
        ('an interval of 1e-30', 'Spacing_mm_px_', cell('"0.8, 0.8, 2"', '"0.8, 0.8, 1e-30"')),
        ('size of 1e30', 'Image_size', cell('"64, 64"', '"1e30, 64"')),
        ('slices to 1e9', 'Slice_range', cell('"3, 9"', '"1, 1000000000"')),
        ('unknown split', 'Train_Val_Test is 4', replaced('DL_info.csv', ',F,60,1\n', ',F,60,4\n')),
        ('windows as text', 'not 2 numbers', cell('"-175, 275"', '"low, high"')),
        ('a path for a name', 'is not like', cell(ROW, f'../{ROW}')),
        ('no key slice', 'there is no key slice', remove(SLICE)),
        ('a folder for a slice', 'there is no key slice', folder_for(SLICE)),
        ('no images', 'is not a folder', remove('Images_png')),
        ('a file for the images', 'is not a folder', file_for('Images_png')),
    ),
    *of_options(TABLE, ('--allow-skipped -1', '--allow-skipped')),
    *of_options(TABLE, ('--allow-skipped some', 'invalid int value'), status=2),
)
def test_deeplesion(case, refuses):
    refuses(case)


def annotations(tool, name):
    """What all refuse of a COCO file."""
    return of_tool(
        tool,
        ('no file', f'{name}', remove(name)),
        ('a folder for the file', name, folder_for(name)),
        ('truncated file', 'is not valid JSON', truncate(name)),
        ('binary file', 'is not valid JSON', binary(name)),
        ('empty file', 'is not valid JSON', truncate(name, 0)),
        ('a list', name, text(name, '[1, 2]')),
        ('a number', name, text(name, '7')),
        ('deep JSON', 'is not valid JSON', text(name, DEEP_JSON)),
        ('a million digits', 'is not valid JSON', text(name, HUGE_INTEGER)),
        ('no images', name, edited(name, lambda coco: coco.pop('images') and None)),
        ('images as a dictionary', name, edited(name, lambda coco: coco.update(images={}))),
        ('an image as text', name, edited(name, lambda coco: coco.update(images=['a']))),
        ('an image without id', name, without(name, 'id', 'images')),
        ('a list as id', name, field(name, 'id', [1], 'images')),
        ('a number as file name', name, field(name, 'file_name', 7, 'images')),
        (
            'a file name outside',
            'leads outside',
            field(name, 'file_name', '../../006.png', 'images'),
        ),
        (
            'an absolute file name',
            'leads outside',
            field(name, 'file_name', '/etc/006.png', 'images'),
        ),
        (
            'an image twice',
            'same id',
            edited(name, lambda coco: coco['images'].extend(coco['images'])),
        ),
        ('an annotation of no image', name, field(name, 'image_id', 99)),
        ('a list as image id', name, field(name, 'image_id', [1])),
        ('no box', name, without(name, 'bbox')),
        ('three numbers for a box', name, field(name, 'bbox', [1, 2, 3])),
        ('text for a box', name, field(name, 'bbox', [1, 2, 3, 'x'])),
        ('NaN for a box', name, field(name, 'bbox', [1, 2, 3, float('nan')])),
        ('10^400 for a box', name, field(name, 'bbox', [1, 2, 3, 10**400])),
        ('text for the category', name, field(name, 'category_id', 'x')),
    )


@table(
    *annotations(VOLUMES, TRAIN),
    *of_tool(
        VOLUMES,
        ('no images folder', 'is not a folder', remove('Images_png')),
        ('zero spacing', 'spacing', field(TRAIN, 'spacing', [0.8, 0], 'images')),
        ('NaN spacing', 'spacing', field(TRAIN, 'spacing', [0.8, float('nan')], 'images')),
        ('text for spacing', 'train.json', field(TRAIN, 'spacing', 'wide', 'images')),
        ('three numbers for spacing', 'train.json', field(TRAIN, 'spacing', [1, 1, 1], 'images')),
        ('interval of 1e9', 'spacing', field(TRAIN, 'slice_interval', 1e9, 'images')),
        ('interval of 1e-30', 'spacing', field(TRAIN, 'slice_interval', 1e-30, 'images')),
        ('interval as text', 'train.json', field(TRAIN, 'slice_interval', 'x', 'images')),
        ('no interval', 'train.json', without(TRAIN, 'slice_interval', 'images')),
        ('range to 10^9', 'slice', field(TRAIN, 'slice_range', [1, 10**9], 'images')),
        ('range to 10^400', 'slice', field(TRAIN, 'slice_range', [1, 10**400], 'images')),
        ('range the wrong way', 'slice', field(TRAIN, 'slice_range', [9, 3], 'images')),
        ('range as text', 'train.json', field(TRAIN, 'slice_range', 'all', 'images')),
        ('index outside the range', 'slice', field(TRAIN, 'slice_index', 99, 'images')),
        ('negative index', 'slice', field(TRAIN, 'slice_index', -5, 'images')),
        ('no diameters', 'train.json', without(TRAIN, 'diameters_mm')),
        ('NaN diameters', 'train.json', field(TRAIN, 'diameters_mm', [float('nan'), 1])),
        ('negative diameters', 'train.json', field(TRAIN, 'diameters_mm', [-3, -4])),
        ('type as text', 'train.json', field(TRAIN, 'lesion_type', [1])),
        ('no slice', 'there is no', remove('Images_png/000001_01_02/005.png')),
        ('truncated slice', 'truncated', truncate(SLICE)),
        ('empty slice', 'truncated', truncate(SLICE, 0)),
        ('text for a slice', 'not a picture', text(SLICE, 'no picture')),
        ('folder for a slice', 'there is no', folder_for(SLICE)),
        ('slice of other size', 'another size', png(SLICE, lambda gray: gray[1:])),
        ('slice of 8 bits', '8 bits', eight_bits(SLICE)),
        ('slice with a palette', '8 bits', palette(SLICE)),
        ('slice in color', 'color picture', in_color(SLICE)),
        ('slice of 60,000 px', 'slice', huge_png(SLICE)),
    ),
    *of_options(
        VOLUMES,
        ('--max-diameter 0', 'the largest diameter is 0'),
        ('--max-diameter nan', 'the largest diameter is nan'),
        ('--small nan', 'small lesions are those below nan mm'),
        ('--workers 0', '--workers'),
    ),
)
def test_deeplesion_3d(case, refuses):
    refuses(case)


MANUAL = '--gt {data}/manual.json'
SUB_VOLUME, ENDLESS = '000003_01_02_003-009', '000003_01_02_001-1000000000000'


def manual(content):
    return text('manual.json', json.dumps(content) if not isinstance(content, str) else content)


@table(
    *annotations(SUB_VOLUMES, TEST),
    *of_tool(
        SUB_VOLUMES,
        ('no images folder', 'there is no folder', remove('Images_png')),
        ('no categories', TEST, edited(TEST, lambda coco: coco.pop('categories') and None)),
        (
            'a file without number',
            'slice number',
            field(TEST, 'file_name', '000003_01_02/b.png', 'images'),
        ),
        ('no key slice', 'there is no slice', remove(TESTED)),
    ),
    *of_options(
        SUB_VOLUMES,
        ('--split val', '--split is of the manual annotation'),
        ('--truth {data}', 'is not the truth of a series'),
        (MANUAL, 'manual.json'),
        ('--gt {data}/manual.pkl', 'manual.pkl'),
    ),
    *of_tool(
        SUB_VOLUMES,
        ('manual as a list', 'must be a dictionary', manual([1])),
        ('manual with odd names', 'is no sub-volume', manual({'a': [[1, 1, 1, 2, 2, 2]]})),
        ('sub-volume of 10^12 slices', 'is no sub-volume', manual({ENDLESS: []})),
        ('sub-volume of 10^400', 'is no sub-volume', manual({f'000003_01_02_001-{10**400}': []})),
        ('manual of five numbers', 'not 6 finite', manual({SUB_VOLUME: [[1, 1, 1, 2, 2]]})),
        ('manual of text', 'must have a list', manual({SUB_VOLUME: 'box'})),
        ('unknown series', 'no image of series', manual({'000009_01_02_003-009': []})),
        options=MANUAL,
    ),
    *of_options(SUB_VOLUMES, ('--gt a --truth b', 'not allowed with'), status=2),
)
def test_deeplesion_subvolumes(case, refuses):
    refuses(case)


@table(
    *annotations(MASKS, TRAIN),
    *of_tool(
        MASKS,
        (
            'no annotations',
            'has no annotations',
            edited(TRAIN, lambda coco: coco.update(annotations=[])),
        ),
        ('no images folder', 'is not a folder', remove('Images_png')),
        ('windows as text', 'window', field(TRAIN, 'windows', 'wide', 'images')),
        ('windows of three numbers', 'window', field(TRAIN, 'windows', [1, 2, 3], 'images')),
        ('NaN windows', 'window', field(TRAIN, 'windows', [[float('nan'), 1]], 'images')),
        ('RECIST as text', 'lesion', field(TRAIN, 'recist', 'x')),
        ('RECIST of three numbers', 'lesion', field(TRAIN, 'recist', [1, 2, 3])),
        ('NaN RECIST', 'lesion', field(TRAIN, 'recist', [float('nan')] * 8)),
        ('RECIST of 10^400', 'lesion', field(TRAIN, 'recist', [10**400] * 8)),
        ('RECIST of 10^12', 'lesion', field(TRAIN, 'recist', [10**12] * 8)),
        ('no RECIST', 'has no "recist"', without(TRAIN, 'recist')),
        ('zero box', 'lesion', field(TRAIN, 'bbox', [0, 0, 0, 0])),
        ('no slice', 'there is no image', remove(SLICE)),
        ('truncated slice', 'truncated', truncate(SLICE)),
        ('slice of other size', 'annotated as', png(SLICE, lambda gray: gray[1:])),
        ('slice of 60,000 px', 'slice', huge_png(SLICE)),
        ('height as text', 'annotated as', field(TRAIN, 'height', 'x', 'images')),
    ),
    *of_options(
        MASKS,
        ('--workers 0', '--workers'),
        ('--num 0', '--num'),
        ('--box-padding -1', '--box-padding'),
        ('--box-padding nan', '--box-padding'),
        ('--window 5 5', 'is not low < high'),
        ('--window nan 5', 'is not low < high'),
        ('--out {data}/train.json', 'is the annotation file itself'),
    ),
)
def test_recist_masks(case, refuses):
    refuses(case)
