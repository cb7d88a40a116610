"""What the tools refuse that run a detector: on volumes, for mining, and to look into it."""

from bad_input_faults import disk_full, file_in_place
from bad_input_spoil import (
    DEEP_JSON,
    binary,
    edited,
    eight_bits,
    field,
    folder_for,
    header,
    huge_png,
    image,
    nifti_spacing,
    remove,
    replaced,
    text,
    truncate,
    voxel,
    without,
)
from bad_input_table import Case, Tool, of_options, of_tool, table

NAN, INF = float('nan'), float('inf')
DETECTOR = '{data}/config.py {data}/config.pth '
INFER = Tool(
    'infer.py',
    'detector',
    '{data}/scan.nii ' + DETECTOR + '--out {out} --device cpu --batch-size 5 --score-thr 0.9',
)
STORED = ('out.mining/*',)
MINE = Tool(
    'mine_annotations.py',
    'detector',
    DETECTOR + '--out {out} --rules propagation --num-workers 0 --device cpu',
    STORED,
)
SCAN, SLICE = 'scan.nii', 'Images_png/000001_01_02/006.png'


def test_valid_data_are_taken(valid_data, run_tool, tmp_path):
    for number, tool in enumerate((INFER, MINE)):
        data, out = valid_data(tool.data), tmp_path / str(number)
        run_tool(tool.script, *tool.arguments.format(data=data, out=out).split())
        assert out.exists()


def detectors(tool):
    """What all refuse of a config and a checkpoint."""
    old = 'load_from = None'

    def another(name, says):
        arguments = tool.arguments.replace('{data}/config.pth', f'{{data}}/{name}')
        return Case(tool._replace(arguments=arguments), f'checkpoint {name}', says)

    return [
        *of_tool(
            tool,
            ('no config', 'config.py', remove('config.py')),
            ('a folder for the config', 'config.py', folder_for('config.py')),
            ('empty config', 'config.py', text('config.py', '')),
            ('binary config', 'the config', binary('config.py')),
            ('truncated config', 'config.py', replaced('config.py', old, 'load_from =')),
            ('a NameError', 'nowhere', replaced('config.py', old, 'a = nowhere')),
            ('a division by zero', 'config.py', replaced('config.py', old, 'a = 1 / 0')),
            ('no base', 'no_such_base', replaced('config.py', 'faster-rcnn_r18', 'no_such_base')),
            ('no model', 'the config', text('config.py', 'test_dataloader = dict(dataset=dict())')),
            (
                'an unknown model',
                'NoModel',
                replaced('config.py', 'model = dict(', "model = dict(type='NoModel',"),
            ),
            ('truncated checkpoint', 'config.pth', truncate('config.pth')),
        ),
        another('wide.pth', 'does not fit the config'),
        another('empty.pth', 'does not fit the config'),
        another('half.pth', 'does not fit the config'),
        another('odd.pth', 'odd.pth'),
        another('none.pth', 'none.pth'),
        another('list.pth', 'list.pth'),
        another('missing.pth', 'missing.pth'),
        another('test.json', 'test.json'),
        another('', 'data'),
    ]


@table(
    *detectors(INFER),
    *of_tool(
        INFER,
        ('no volume', 'does not exist', remove(SCAN)),
        ('an empty folder', 'nor DICOM series', folder_for(SCAN)),
        ('truncated volume', 'cannot read', truncate(SCAN)),
        ('empty volume', 'cannot read', truncate(SCAN, 0)),
        ('text for a volume', 'cannot read', text(SCAN, 'no volume')),
        ('a picture', 'not a single', image(SCAN, lambda scan: scan[:, :, :1])),
        ('a normalized volume', 'cannot be a CT scan', image(SCAN, lambda scan: scan * 0)),
        ('NaN voxel', 'NaN or infinite', voxel(SCAN, NAN)),
        ('infinite voxel', 'NaN or infinite', voxel(SCAN, INF)),
        ('NaN spacing', 'spacing', nifti_spacing(SCAN, NAN)),
        ('zero spacing', 'spacing', nifti_spacing(SCAN, 0.0)),
        ('infinite spacing', 'spacing', nifti_spacing(SCAN, INF)),
        ('spacing 1e9', 'spacing', nifti_spacing(SCAN, 1e9)),
        ('NaN origin', 'origin', header(SCAN, 292, '<f', NAN)),
        ('NaN direction', 'scan.nii', header(SCAN, 280, '<f', NAN)),
        ('10^12 voxels', 'scan.nii', header(SCAN, 42, '<3h', 32767, 32767, 32767)),
        ('negative size', 'scan.nii', header(SCAN, 42, '<h', -5)),
        ('unknown type', 'scan.nii', header(SCAN, 70, '<h', 999)),
    ),
    *of_options(
        INFER,
        ('--series 1.2', 'is a file'),
        ('--lungs {data}/scan.nii', 'was not trained on lungs'),
        ('--device nowhere', 'device'),
        ('--score-thr nan', 'score'),
        ('--iou-thr nan', 'iou'),
        ('--iou-thr -1', 'iou'),
        ('--box-margin nan', 'margin'),
        ('--box-margin -1', 'margin'),
        ('--cfg-options test_dataloader.dataset.pipeline.0.num_slices=2', 'num_slices'),
        ('--out {data}/test.json', 'test.json'),
        ('--out {data}/test.json/below', 'test.json'),
    ),
    *of_options(
        INFER,
        ('--batch-size 0', 'must be at least 1'),
        ('--batch-size many', 'invalid'),
        ('--max-overlays -1', 'must be at least 0'),
        status=2,
    ),
    Case(INFER, 'a file for the folder', 'out', fault=file_in_place),
    Case(INFER, 'no space', 'out', fault=disk_full(0)),
)
def test_infer(case, refuses):
    refuses(case)


@table(
    *detectors(MINE),
    *of_tool(
        MINE,
        ('no annotations', 'train.json', remove('train.json')),
        ('deep annotations', 'train.json', text('train.json', DEEP_JSON)),
        ('a box of 10^400', '"bbox[3]": Number', field('train.json', 'bbox', [1, 2, 3, 10**400])),
        (
            'a name outside',
            'leads outside',
            field('train.json', 'file_name', '../a/1.png', 'images'),
        ),
        ('no file name', 'file_name', without('train.json', 'file_name', 'images')),
        ('no images', 'there is no folder', remove('Images_png')),
        ('no annotated slice', 'there is no slice', remove(SLICE)),
        ('truncated slice', 'truncated', truncate(SLICE)),
        ('a slice of 8 bits', '8 bits', eight_bits(SLICE)),
        ('a slice of 60,000 px', '006.png', huge_png(SLICE)),
        ('an interval of 0', 'slice_interval', field('train.json', 'slice_interval', 0, 'images')),
        ('a file for the store', 'out.mining', text('../out.mining', '')),
    ),
    *of_options(
        MINE,
        ('--theta 2', '--theta'),
        ('--theta nan', '--theta'),
        ('--sigma -1', '--sigma'),
        ('--score-thr nan', '--score-thr'),
        ('--delta 0', '--delta'),
        ('--delta nan', '--delta'),
        ('--batch-size 0', '--batch-size'),
        ('--num-workers -1', '--num-workers'),
        ('--rules matching', '--embedder'),
        ('--rules cross_dataset', 'as LENS has'),
        ('--truth {data}', "phantom's truth"),
        ('--truth {data}/nothing.json', 'nothing.json'),
        ('--truth {data}/Images_png/000001_01_01/003.png', '003.png'),
        ('--out {data}/train.json', 'is the annotation file itself'),
        ('--work-dir {data}/train.json', 'train.json'),
        ('--device nowhere', 'device'),
    ),
    *of_options(MINE, ('--rules guess', 'invalid choice'), status=2),
)
def test_mine_annotations(case, refuses):
    refuses(case)


def stored(name, content):
    """Spoil what a run of mining has stored."""
    return text(f'mined.mining/proposals/{name}', content)


LABEL = Tool(
    'label_proposals.py',
    'mined',
    '{data}/train.json --images {data}/Images_png --work-dir {data}/mined.mining --out {out}',
)
PROPOSALS = 'mined.mining/proposals/000001_01_02.npz'


@table(
    *of_tool(
        LABEL,
        ('no annotations', 'train.json', remove('train.json')),
        ('deep annotations', 'train.json', text('train.json', DEEP_JSON)),
        ('no images', 'there is no folder', remove('Images_png')),
        ('no store', 'holds no results of a pass', remove('mined.mining')),
        ('no proposals', 'has no proposals of', remove(PROPOSALS)),
        ('truncated proposals', PROPOSALS, truncate(PROPOSALS)),
        ('empty proposals', PROPOSALS, truncate(PROPOSALS, 0)),
        ('binary proposals', PROPOSALS, binary(PROPOSALS)),
        ('a folder for proposals', PROPOSALS, folder_for(PROPOSALS)),
    ),
    *of_options(
        LABEL,
        ('--theta 1', '--theta'),
        ('--theta nan', '--theta'),
        ('--theta-fp 0', '--theta-fp'),
        ('--theta-fp 0.9', '--theta-fp'),
    ),
)
def test_label_proposals(case, refuses):
    refuses(case)


RELATIONS = Tool(
    'analysis_tools/plot_relations.py',
    'detector',
    DETECTOR + '--out {out} --device cpu',
)
BALANCE = Tool('analysis_tools/loss_balance.py', 'detector', '{data}/config.py --out {out}')
BROWSE = Tool(
    'analysis_tools/browse_dataset.py',
    'detector',
    '{data}/config.py --output-dir {out}',
)


def inspected(tool):
    old = 'load_from = None'
    return of_tool(
        tool,
        ('no config', 'config.py', remove('config.py')),
        ('empty config', 'config.py', text('config.py', '')),
        ('a folder for the config', 'config.py', folder_for('config.py')),
        ('a NameError', 'nowhere', replaced('config.py', old, 'a = nowhere')),
    )


@table(
    *inspected(RELATIONS),
    Case(RELATIONS, 'no relations', 'has no relations between regions'),
    *of_options(
        RELATIONS,
        ('--num 0', 'must be positive'),
        ('--window 9 1', 'lower and an upper'),
        status=2,
    ),
    *inspected(BALANCE),
    *of_tool(
        BALANCE,
        ('no annotations', 'train.json', remove('train.json')),
        ('truncated slice', 'truncated', truncate(SLICE)),
    ),
    *of_options(
        BALANCE,
        ('--batches 0', '--batches'),
        ('--seed -1', '--seed'),
        ('--part nowhere', '--part nowhere'),
        ('--device nowhere', 'device'),
        ('--checkpoint {data}/missing.pth', 'missing.pth'),
        ('--checkpoint {data}/wide.pth', 'wide.pth'),
        ('--checkpoint {data}/empty.pth', 'empty.pth'),
    ),
    Case(BALANCE, 'no space', 'out', fault=disk_full(0)),
    *inspected(BROWSE),
    *of_tool(
        BROWSE,
        ('no annotations', 'train.json', remove('train.json')),
        ('no slice', 'does not exist', remove(SLICE)),
        ('truncated slice', 'truncated', truncate(SLICE)),
        ('no lesions', 'filter_cfg', edited('train.json', lambda c: c.update(annotations=[]))),
    ),
    *of_options(
        BROWSE,
        ('--output-dir {data}/test.json', 'test.json'),
        ('--cfg-options train_dataloader.dataset.pipeline.0.num_slices=2', 'num_slices'),
    ),
    *of_options(
        BROWSE, ('--num 0', 'must be positive'), ('--phase all', 'invalid choice'), status=2
    ),
)
def test_inspection(case, refuses):
    refuses(case)
