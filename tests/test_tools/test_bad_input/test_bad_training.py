"""What training, testing and searching refuse."""

from bad_input_faults import file_in_place
from bad_input_spoil import (
    edited,
    eight_bits,
    field,
    folder_for,
    huge_png,
    palette,
    remove,
    replaced,
    text,
    truncate,
)
from bad_input_table import Case, Tool, of_options, of_tool, table

LOGS = ('out/*.py', 'out/*.log', 'out/*/vis_data/*')
TRAIN = Tool('train.py', 'detector', '{data}/config.py --work-dir {out}', LOGS)
TEST = Tool('test.py', 'detector', '{data}/config.py {data}/config.pth --work-dir {out}', LOGS)
SEARCH = Tool('search_alb.py', 'detector', '{data}/alb.py --work-dir {out}', LOGS)
SLICE = 'Images_png/000001_01_02/006.png'
NAN = float('nan')


def test_valid_data_are_trained_with(valid_data, run_tool, tmp_path, monkeypatch, short_logs):
    monkeypatch.chdir(tmp_path)
    data = valid_data('detector')
    run_tool('train.py', data / 'config.py', '--work-dir', tmp_path / 'run')
    assert (tmp_path / 'run/epoch_1.pth').is_file()
    run_tool('test.py', data / 'config.py', data / 'config.pth', '--work-dir', tmp_path / 'test')


def configs(tool):
    """What all refuse of a config."""
    return of_tool(
        tool,
        ('no config', 'config.py', remove('config.py')),
        ('a folder for the config', 'config.py', folder_for('config.py')),
        (
            'truncated config',
            'the config',
            replaced('config.py', 'load_from = None', 'load_from ='),
        ),
        ('a NameError', 'nowhere', replaced('config.py', 'load_from = None', 'a = nowhere')),
        ('no base', 'base', replaced('config.py', 'faster-rcnn_r18', 'no_such_base')),
        (
            'no module',
            'no_module',
            replaced(
                'config.py', 'load_from = None', "custom_imports = dict(imports=['no_module'])"
            ),
        ),
        (
            'a list as model',
            'model',
            replaced('config.py', 'model = dict(', 'model = [1] ; x = dict('),
        ),
        (
            'an unknown model',
            'NoModel',
            replaced(
                'config.py',
                'model = dict(',
                "model = dict(_delete_=True, type='NoModel') ; x = dict(",
            ),
        ),
    )


def option(words, says):
    return f'--cfg-options {words}', says


TRAINED = 'train_dataloader.dataset'


@table(
    *configs(TRAIN),
    *of_options(
        TRAIN,
        option('model.rpn_head.type=TruncatedRPNHead model.rpn_head.threshold=median', "'mean' or"),
        option(f'{TRAINED}.ann_file=none.json', 'none.json'),
        option(f'{TRAINED}.data_prefix.img=nowhere', 'nowhere'),
        option(f'{TRAINED}.metainfo.classes="[a,b]"', 'classes'),
        option('val_evaluator.ann_file=none.json', 'none.json'),
        option('val_evaluator.fold=3', 'fold'),
        option('load_from={data}/none.pth', 'none.pth'),
        option('load_from={data}/list.pth', 'list.pth'),
        option('load_from={data}/missing.pth', 'missing.pth'),
        option('load_from={data}/test.json', 'test.json'),
        option('load_from={data}', 'data'),
        ('--resume {data}/missing.pth', 'missing.pth'),
        ('--resume {data}/wide.pth', 'wide.pth'),
        ('--resume {data}/config.pth', 'config.pth'),
        ('--resume {data}/none.pth', 'none.pth'),
        ('--resume {data}/test.json', 'test.json'),
    ),
    Case(
        TRAIN._replace(arguments='{data}/iterations.py --work-dir {out}'),
        'an iteration past the last one',
        'past the 2 of the config',
        options='--resume {data}/far.pth',
    ),
    Case(TRAIN, 'a file for the work folder', 'out', fault=file_in_place),
    Case(
        TRAIN, 'a file for its parent', 'out', None, '--work-dir {out}/below', fault=file_in_place
    ),
    *of_options(
        TRAIN, ('--launcher none such', 'unrecognized'), ('--unknown', 'unrecognized'), status=2
    ),
)
def test_train(case, refuses, short_logs):
    refuses(case)


@table(
    *of_tool(
        TRAIN,
        ('no annotations', 'train.json', remove('train.json')),
        ('truncated annotations', 'train.json', truncate('train.json')),
        ('a list', 'train.json', text('train.json', '[1]')),
        ('no images', 'train.json', edited('train.json', lambda c: c.update(images=[]))),
        ('no lesions', 'train.json', edited('train.json', lambda c: c.update(annotations=[]))),
        ('other categories', 'train.json', field('train.json', 'name', 'a', 'categories')),
        ('a name outside', 'leads outside', field('train.json', 'file_name', '../a.png', 'images')),
        ('no slice', 'does not exist', remove(SLICE)),
        ('truncated slice', 'truncated', truncate(SLICE)),
        ('a folder for a slice', '006.png', folder_for(SLICE)),
        ('a slice of 8 bits', '8 bits', eight_bits(SLICE)),
        ('a slice with a palette', '8 bits', palette(SLICE)),
        ('a slice of 60,000 px', '006.png', huge_png(SLICE)),
    ),
)
def test_training_data(case, refuses, short_logs):
    refuses(case)


def checkpoint(name, says):
    """Another checkpoint than the config's."""
    arguments = f'{{data}}/config.py {{data}}/{name} --work-dir {{out}}'
    return Case(TEST._replace(arguments=arguments), f'checkpoint {name}', says)


@table(
    checkpoint('none.pth', 'none.pth'),
    checkpoint('list.pth', 'list.pth'),
    checkpoint('missing.pth', 'missing.pth'),
    checkpoint('test.json', 'test.json'),
    checkpoint('', 'data'),
    *of_tool(
        TEST,
        ('truncated checkpoint', 'config.pth', truncate('config.pth')),
        ('no annotations', 'test.json', remove('test.json')),
        ('no slice', 'does not exist', remove('Images_png/000003_01_02/006.png')),
    ),
    *of_options(
        TEST,
        ('--out {out}/results.json', 'pkl'),
        option('test_evaluator.ann_file={data}/none.json', 'none.json'),
        option('test_evaluator.outfile_prefix={data}/test.json/froc', 'test.json'),
        option('test_evaluator.format_only=True', 'outfile_prefix'),
        option('test_dataloader.dataset.metainfo.classes="[a]"', 'classes'),
        option('model.roi_head.bbox_head.num_classes=8', 'config.pth'),
    ),
    Case(TEST, 'a file for the work folder', 'out', fault=file_in_place),
    Case(TEST, 'a file for pictures', 'test.json', options='--show-dir {data}/test.json'),
)
def test_test(case, refuses, short_logs):
    refuses(case)


@table(
    *of_options(
        SEARCH,
        ('--num-samples 0 --strategy random', 'num_samples'),
        ('--num-samples -1 --strategy random', 'num_samples'),
        option('train_cfg.strategy=magic', 'strategy'),
        option('train_cfg.architecture_begin=-1', 'architecture_begin'),
    ),
    Case(
        SEARCH._replace(arguments='{data}/config.py --work-dir {out}'),
        'no search',
        'no ALBSearchLoop',
        options='--strategy random',
    ),
    Case(SEARCH._replace(arguments='{data}/none.py --work-dir {out}'), 'no config', 'none.py'),
    *of_options(
        SEARCH, ('--strategy magic', 'invalid choice'), ('--num-samples x', 'invalid int'), status=2
    ),
)
def test_search_alb(case, refuses, short_logs):
    refuses(case)
