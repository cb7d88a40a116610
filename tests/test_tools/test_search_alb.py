"""tools/search_alb.py as a user runs it, on a phantom of a few slices."""

import json
from pathlib import Path

import pytest
import torch
from forked_programs import run_script
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from phantom import PatientOptions, make_deeplesion_phantom

from mmlesion.engine import load_from_local
from mmlesion.models.layers import check_genotype

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/phantom/elixirnet/alb-search_r18_fpn_phantom.py'
BASELINE = ROOT / 'configs/phantom/baselines/faster-rcnn_r18_fpn_trpn_phantom.py'
CELLS = 'roi_head.bbox_head.encoder'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A phantom of four patients, converted."""
    root = tmp_path_factory.mktemp('phantom')
    make_deeplesion_phantom(
        root, patients=(2, 1, 1), overwrite=True, options=PatientOptions(size=128)
    )
    converter = ROOT / 'tools/dataset_converters/deeplesion.py'
    arguments = [root / 'DL_info.csv', '--images', root / 'Images_png', '--out', root]
    done = run_script(converter, *arguments)
    assert done.returncode == 0, done.stderr
    return root


def options(data, **extra):
    """--cfg-options for that data and a run of seconds."""
    values = {'load_from': None, 'randomness.seed': 0, 'visualizer.vis_backends': '[]'}
    for split in ('train', 'val', 'test'):
        values[f'{split}_dataloader.dataset.data_root'] = f'{data}/'
        values[f'{split}_dataloader.num_workers'] = 0
        values[f'{split}_dataloader.persistent_workers'] = False
    for split in ('val', 'test'):
        values[f'{split}_evaluator.ann_file'] = data / f'{split}.json'
    values.update({'train_cfg.max_epochs': 1, 'train_cfg.architecture_begin': 0})
    values['train_dataloader.dataset.pipeline.3.scale_factor'] = 0.5  # of Resize
    values.update({'train_dataloader.batch_size': 2, **extra})
    return ['--cfg-options', *(f'{key}={value}' for key, value in values.items())]


@pytest.fixture(scope='module')
def baseline(tmp_path_factory):
    """A checkpoint of the detector that lends its feature extractor and RPN."""
    init_default_scope('mmdet')
    path = tmp_path_factory.mktemp('baseline') / 'epoch_6.pth'
    torch.save(dict(state_dict=MODELS.build(Config.fromfile(BASELINE).model).state_dict()), path)
    return path


@pytest.fixture(scope='module')
def searched(launch, data, baseline, tmp_path_factory):
    """The work folder of a search in two processes."""
    work_dir = tmp_path_factory.mktemp('search')
    arguments = [CONFIG, '--launcher', 'pytorch', '--work-dir', work_dir]
    launch(ROOT / 'tools/search_alb.py', *arguments, *options(data, load_from=baseline))
    return work_dir


def test_search_finds_genotypes_and_leaves_what_is_frozen(searched, baseline):
    result = json.loads((searched / 'search.json').read_text())
    for genotype in result['genotypes'].values():
        check_genotype(genotype)
    assert (searched / 'cells.png').exists()
    checkpoint = load_from_local(str(searched / 'epoch_1.pth'))
    state, optimizers = checkpoint['state_dict'], checkpoint['optimizer']
    for name, value in load_from_local(str(baseline))['state_dict'].items():
        assert name.startswith('roi_head') or torch.equal(value, state[name]), name
    assert state[f'{CELLS}.conv.bn.num_batches_tracked'] > 0
    assert len(optimizers['architecture']['state']) == 2
    momenta = len(optimizers['weights']['state'])
    trained = [name for name in state if name.startswith('roi_head') and 'running' not in name]
    trained = [name for name in trained if 'num_batches' not in name and 'alphas' not in name]
    assert momenta == len(trained)


def test_a_config_takes_the_fragment_and_trains(searched, data, tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(
        f"_base_ = ['{ROOT}/configs/phantom/elixirnet/elixirnet_r18_fpn_phantom.py', "
        f"'{searched}/genotypes.py']\n"
        'model = dict(\n'
        '    roi_head=dict(bbox_head=dict(encoder=dict(genotypes=_base_.genotypes)))\n'
        ')\n'
    )
    cfg = Config.fromfile(config)
    model = MODELS.build(cfg.model)
    found = json.loads((searched / 'search.json').read_text())['genotypes']['alb']
    assert model.roi_head.bbox_head.encoder.alb.inputs == [(b[0], b[2]) for b in found]
    dataset = DATASETS.build(dict(cfg.train_dataloader.dataset, data_root=f'{data}/'))
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    batch = pseudo_collate([dataset[0], dataset[1]])
    before = model.roi_head.bbox_head.encoder.conv.conv.weight.clone()
    losses = model.train_step(batch, wrapper)
    assert torch.isfinite(losses['loss'])
    assert not torch.equal(before, model.roi_head.bbox_head.encoder.conv.conv.weight)


def test_random_search(data, tmp_path):
    arguments = ['--work-dir', tmp_path, '--strategy', 'random', '--num-samples', 2]
    done = run_script(ROOT / 'tools/search_alb.py', CONFIG, *arguments, *options(data))
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads((tmp_path / 'search.json').read_text())
    assert result['strategy'] == 'random' and len(result['candidates']) == 2
    assert result['genotypes']['alb'] == result['candidates'][0]['alb']


@pytest.mark.parametrize(
    'extra, says',
    [
        ({'load_from': 'no_such.pth'}, 'no_such.pth'),
        ({'train_cfg.architecture_begin': 1}, 'architecture_begin=1 of 1 epochs'),
    ],
)
def test_bad_input_is_one_line(extra, says, data, tmp_path):
    tool = ROOT / 'tools/search_alb.py'
    done = run_script(tool, CONFIG, '--work-dir', tmp_path, *options(data, **extra))
    errors = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert len(errors) == 1 and says in errors[0]
