"""Each tool refuses hostile checkpoints and names in one line, with status 1 and no effect."""

import json
import os
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from phantom import PatientOptions, make_deeplesion_phantom

CONFIGS = Path(__file__).parents[2] / 'configs'
DETECTOR = CONFIGS / 'phantom/baselines/faster-rcnn_r18_fpn_phantom.py'
RELATIONS = CONFIGS / 'phantom/elixirnet/faster-rcnn_r18_fpn_rtm_phantom.py'
SEARCH = CONFIGS / 'phantom/elixirnet/alb-search_r18_fpn_phantom.py'


@pytest.fixture(scope='module')
def data(tmp_path_factory, run_tool):
    root = tmp_path_factory.mktemp('phantom')
    options = PatientOptions(size=128)
    make_deeplesion_phantom(root, patients=(4, 1, 1), overwrite=True, options=options)
    images = ['--images', root / 'Images_png', '--out', root]
    run_tool('dataset_converters/deeplesion.py', root / 'DL_info.csv', *images)
    model = MODELS.build(Config.fromfile(DETECTOR).model)
    torch.save(dict(state_dict=model.state_dict()), root / 'detector.pth')
    return root


class CommandOf:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def settings(data, *more):
    values = []
    for split in ('train', 'val', 'test'):
        values += [f'{split}_dataloader.dataset.data_root={data}/']
        values += [f'{split}_dataloader.num_workers=0']
        values += [f'{split}_dataloader.persistent_workers=False']
    for split in ('val', 'test'):
        values += [f'{split}_evaluator.ann_file={data}/{split}.json']
    return ['--cfg-options', *values, *more]


def train(data, checkpoint, work_dir):
    return [
        'train.py',
        DETECTOR,
        '--work-dir',
        work_dir,
        *settings(data, f'load_from={checkpoint}'),
    ]


def resume(data, checkpoint, work_dir):
    options = ['--resume', checkpoint, '--work-dir', work_dir]
    return ['train.py', DETECTOR, *options, *settings(data)]


def resume_automatically(data, checkpoint, work_dir):
    work_dir.mkdir()
    (work_dir / 'last_checkpoint').write_text(str(checkpoint))
    return ['train.py', DETECTOR, '--resume', '--work-dir', work_dir, *settings(data)]


def initialize(data, checkpoint, work_dir):
    pretrained = ['model.init_cfg.type=Pretrained', f'model.init_cfg.checkpoint={checkpoint}']
    return ['train.py', DETECTOR, '--work-dir', work_dir, *settings(data, *pretrained)]


def evaluate(data, checkpoint, work_dir):
    return ['test.py', DETECTOR, checkpoint, '--work-dir', work_dir, *settings(data)]


def search(data, checkpoint, work_dir):
    options = ['--resume', checkpoint, '--work-dir', work_dir]
    return ['search_alb.py', SEARCH, *options, *settings(data)]


def infer(data, checkpoint, work_dir):
    volume = data / 'volume.nii.gz'
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((5, 64, 64), np.int16)), str(volume))
    return ['infer.py', volume, DETECTOR, checkpoint, '--out', work_dir, '--device', 'cpu']


def plot_relations(data, checkpoint, work_dir):
    options = ['--out', work_dir, '--device', 'cpu', *settings(data)]
    return ['analysis_tools/plot_relations.py', RELATIONS, checkpoint, *options]


def convert_checkpoint(data, checkpoint, work_dir):
    return ['model_converters/convert_checkpoint.py', checkpoint, work_dir / 'new.pth']


def mine(data, checkpoint, work_dir):
    options = ['--out', work_dir / 'mined.json', '--num-workers', 0, '--device', 'cpu']
    tool = ['mine_annotations.py', DETECTOR, checkpoint, '--rules', 'propagation']
    return [*tool, *options, *settings(data)]


WAYS = [train, resume, resume_automatically, initialize, evaluate, search, infer, plot_relations]
WAYS += [mine, convert_checkpoint]
# one of each kind; the loader is given all in test_checkpoints.py
ATTACK = 'command'  # test_checkpoints.py has all others
SECONDS = 120  # on a busy machine; each takes about one


@contextmanager
def time_limit():
    def end(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fails(run_tool, checkpoints, *arguments):
    """The one line that a tool ends with, status 1; nothing else happened."""
    with pytest.raises(SystemExit) as raised, time_limit():
        run_tool(*arguments)
    message = str(raised.value)  # text is status 1
    assert message.startswith('error: ') and '\n' not in message
    assert checkpoints.is_untouched()
    return message


@pytest.mark.parametrize('way', WAYS)
def test_tools_refuse_it(run_tool, data, checkpoints, tmp_path, monkeypatch, way):
    checkpoint = checkpoints.files[ATTACK]
    monkeypatch.chdir(checkpoints.effects)
    message = fails(run_tool, checkpoints, *way(data, checkpoint, tmp_path / 'run'))
    if way is convert_checkpoint:
        assert f'loading {checkpoint} may run code in it: give --trust' in message
    else:
        assert f'the checkpoint {checkpoint} was rejected: ' in message


@pytest.mark.parametrize('way', [resume, evaluate, infer, mine])
def test_tools_do_not_wait_for_a_pipe(run_tool, data, checkpoints, tmp_path, way):
    os.mkfifo(tmp_path / 'a.pth')
    message = fails(run_tool, checkpoints, *way(data, tmp_path / 'a.pth', tmp_path / 'run'))
    assert str(tmp_path / 'a.pth') in message


@pytest.fixture
def hostile_names(data, tmp_path):
    """The data set with a name that leads to a file outside of its folder, which is there."""
    for folder in data.iterdir():
        (tmp_path / 'data' / folder.name).parent.mkdir(exist_ok=True)
        (tmp_path / 'data' / folder.name).symlink_to(folder)
    for split in ('train', 'val', 'test'):
        content = json.loads((data / f'{split}.json').read_text())
        for image in content['images']:
            image['file_name'] = f'../../{data.name}/Images_png/{image["file_name"]}'
        (tmp_path / 'data' / f'{split}.json').unlink()
        (tmp_path / 'data' / f'{split}.json').write_text(json.dumps(content))
    return tmp_path / 'data'


def browse(data, work_dir):
    return ['analysis_tools/browse_dataset.py', DETECTOR, '--output-dir', work_dir, *settings(data)]


def label_proposals(data, work_dir):
    paths = ['--images', data / 'Images_png', '--work-dir', work_dir, '--out', work_dir / 'a.json']
    return ['label_proposals.py', data / 'train.json', *paths]


def draw_matches(data, work_dir):
    image = json.loads((data / 'train.json').read_text())['annotations'][0]['image_id']
    result = dict(image_id=image, bbox=[1, 1, 9, 9], score=1)
    (data / 'pred.json').write_text(json.dumps([result]))
    paths = ['--gt', data / 'train.json', '--pred', data / 'pred.json']
    images = ['--images', data / 'Images_png', '--out', work_dir / 'a.png']
    return ['analysis_tools/draw_matches.py', *paths, *images]


def make_masks(data, work_dir):
    paths = ['--images', data / 'Images_png', '--out', work_dir / 'a.json']
    return ['dataset_converters/recist_masks.py', data / 'train.json', *paths]


def make_volumes(data, work_dir):
    paths = ['--images', data / 'Images_png', '--out', work_dir]
    return ['dataset_converters/deeplesion_3d.py', data, *paths]


def mine_names(data, work_dir):
    return mine(data, data / 'detector.pth', work_dir)


def evaluate_names(data, work_dir):
    pictures = ['--show-dir', work_dir / 'shown']
    test = evaluate(data, data / 'detector.pth', work_dir)
    return [*test[:3], *pictures, *test[3:]]


READERS = [browse, label_proposals, draw_matches, make_masks, make_volumes, mine_names]
READERS += [evaluate_names]


@pytest.mark.parametrize('way', READERS)
def test_names_lead_nowhere(run_tool, hostile_names, checkpoints, tmp_path, way):
    work_dir = tmp_path / 'run'
    message = fails(run_tool, checkpoints, *way(hostile_names, work_dir))
    assert 'leads outside' in message
    assert not list(work_dir.rglob('*.png'))


def test_pickled_proposals_are_not_loaded(run_tool, data, checkpoints, tmp_path):
    """NumPy's own files may have pickles."""
    from mmlesion.io.slices import list_series

    content = json.loads((data / 'train.json').read_text())
    volume = list_series(content, data / 'Images_png')[0]
    store = tmp_path / 'run/proposals'
    store.mkdir(parents=True)
    (store / 'run.json').write_text('{"made_of": "a"}')
    command = np.array([CommandOf(checkpoints.effects / 'canary')], dtype=object)
    np.savez(store / f'{volume.name}.npz', boxes=command, allow_pickle=True)
    message = fails(run_tool, checkpoints, *label_proposals(data, tmp_path / 'run'))
    assert 'Object arrays cannot be loaded' in message
