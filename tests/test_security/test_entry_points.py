"""Each tool that takes a checkpoint refuses a program, in one line."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from mmlesion.phantom import PatientOptions, make_deeplesion_phantom

CONFIGS = Path(__file__).parents[2] / 'configs'
DETECTOR = CONFIGS / 'phantom/baselines/faster-rcnn_r18_fpn_phantom.py'
RELATIONS = CONFIGS / 'phantom/elixirnet/faster-rcnn_r18_fpn_rtm_phantom.py'
SEARCH = CONFIGS / 'phantom/elixirnet/alb-search_r18_fpn_phantom.py'


class ForgedArray:
    """Bytes that NumPy takes for pointers to objects."""

    def __reduce__(self):
        return np.ndarray, ((2,), 'O', b'A' * 16)


@pytest.fixture(scope='module')
def data(tmp_path_factory, run_tool):
    root = tmp_path_factory.mktemp('phantom')
    options = PatientOptions(size=128)
    make_deeplesion_phantom(root, patients=(4, 1, 1), overwrite=True, options=options)
    images = ['--images', root / 'Images_png', '--out', root]
    run_tool('dataset_converters/deeplesion.py', root / 'DL_info.csv', *images)
    return root


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp('hostile') / 'bad.pth'
    torch.save(dict(state_dict={}, meta=ForgedArray()), path)
    return path


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


WAYS = [train, resume, resume_automatically, initialize, evaluate, search, infer, plot_relations]


@pytest.mark.parametrize('way', WAYS)
def test_tools_refuse_it(run_tool, data, checkpoint, tmp_path, way):
    with pytest.raises(SystemExit) as raised:
        run_tool(*way(data, checkpoint, tmp_path / 'run'))
    assert str(raised.value).startswith(f'error: the checkpoint {checkpoint} was rejected: ')
    assert '\n' not in str(raised.value)
