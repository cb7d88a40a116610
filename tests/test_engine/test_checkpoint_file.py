"""Hostile checkpoints, each loaded in a process of its own."""

import importlib.util
import multiprocessing
import os
import pickle
import resource
import sys
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmlesion.engine import load_from_local
from mmlesion.io import restricted_pickle
from mmlesion.io.pickled_arrays import load_arrays
from mmlesion.utils import UserError

SPEC = importlib.util.spec_from_file_location(
    'hostile_files', Path(__file__).with_name('hostile_files.py')
)
hostile_files = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(hostile_files)
WEIGHTS = Path(__file__).parents[3] / 'shared/data/weights'
GIB = 1 << 30


@pytest.fixture(scope='module')
def hostile(tmp_path_factory):
    """All hostile files by name, and the folder for what they do."""
    folder = tmp_path_factory.mktemp('hostile')
    effects = folder / 'effects'
    effects.mkdir()
    victim = folder / 'victim'
    victim.write_text('')
    victim.chmod(0o644)
    return hostile_files.write_all(folder, effects / 'canary', victim), effects, victim


def _load_all(load, files, folder, sender):
    os.chdir(folder)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * GIB, most))
    for path in files:
        try:
            loaded = load(str(path))
            sender.send(f'loaded {type(loaded).__name__}')
        except UserError as error:
            sender.send(f'UserError: {error}')
        except BaseException as error:
            sender.send(f'{type(error).__name__}: {str(error)[:200]}')


def outcomes(load, files, folder, seconds=20):
    """Load files in a process of their own, a new one after each that ends it.

    Returns:
        dict[str, str]: How each load ended, by the file's name.
    """
    context, names, said = multiprocessing.get_context('fork'), list(files), {}
    while len(said) < len(names):
        left = [files[name] for name in names[len(said) :]]
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_load_all, args=(load, left, folder, sender))
        child.start()
        sender.close()
        for name in names[len(said) :]:
            try:
                said[name] = receiver.recv() if receiver.poll(seconds) else 'hangs'
            except EOFError:
                child.join()
                said[name] = f'died of signal {-child.exitcode}'
            if said[name].startswith(('hangs', 'died')):
                break
        child.kill()
        child.join()
    return said


needs_fork = pytest.mark.skipif(
    sys.platform != 'linux', reason='limits the memory of a fork as Linux does'
)


@needs_fork
def test_every_hostile_file_is_refused(hostile):
    files, effects, victim = hostile
    said = outcomes(load_from_local, files, effects)
    for name, path in files.items():
        assert said[name].startswith(f'UserError: the checkpoint {path} '), (name, said[name])
        assert '\n' not in said[name] and len(said[name]) < 600
    assert len(said) == len(files) > 80
    assert list(effects.iterdir()) == []
    assert victim.stat().st_mode & 0o777 == 0o644


@needs_fork
def test_every_hostile_pickle_of_arrays_is_refused(hostile):
    files, effects, _ = hostile
    files = {name: path for name, path in files.items() if path.suffix == '.pkl'}
    said = outcomes(load_arrays, files, effects)
    assert len(said) > 35
    for name, outcome in said.items():
        assert outcome.startswith('UserError: ') and '\n' not in outcome, (name, outcome)
    assert list(effects.iterdir()) == []


def test_the_machine_can_be_tired(monkeypatch, tmp_path):
    monkeypatch.setattr(restricted_pickle, 'MAX_OPCODES', 1000)
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps(list(range(990)), 4))
    assert load_arrays(path) == list(range(990))
    path.write_bytes(pickle.dumps(list(range(1000)), 4))
    with pytest.raises(UserError, match='more than 1000 opcodes'):
        load_arrays(path)


@pytest.mark.parametrize('name', ['legacy_module', 'torchscript', 'tar_fifo'])
def test_the_message_says_how_to_convert(hostile, name):
    path = hostile[0][name]
    with pytest.raises(UserError, match=rf'trust.*convert_checkpoint\.py {path} OUT\.pth --trust'):
        load_from_local(str(path))


def assert_same(first, second):
    """Compare all that a checkpoint may hold, types, strides and sharing included."""
    assert type(first) is type(second)
    if isinstance(first, dict):
        assert list(first) == list(second)
        for key in first:
            assert_same(first[key], second[key])
        assert_same(getattr(first, '_metadata', None), getattr(second, '_metadata', None))
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for one, other in zip(first, second):
            assert_same(one, other)
    elif isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype and first.stride() == second.stride()
        assert first.requires_grad == second.requires_grad
        assert first.device == second.device
        torch.testing.assert_close(first, second, rtol=0, atol=0)
    elif isinstance(first, (np.ndarray, np.generic)):
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)
    elif isinstance(first, HistoryBuffer):
        assert first.max_length == second.max_length
        assert_same(first.data, second.data)
        assert first._statistics_methods == second._statistics_methods
    else:
        assert first == second


@pytest.mark.parametrize(
    'name', ['densenet121_blocks123_from_densenet169', 'resnet18_imagenet_folded_c2c4']
)
def test_imagenet_weights(name):
    path = WEIGHTS / f'{name}.pth'
    if not path.is_file():
        pytest.skip(f'needs {path}')
    assert_same(load_from_local(str(path)), torch.load(path, weights_only=True))


def test_everything_that_a_checkpoint_may_hold(tmp_path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    whole = torch.arange(12.0).reshape(3, 4)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    dtypes = [torch.float16, torch.bfloat16, torch.int8, torch.bool, torch.complex64, torch.uint8]
    saved = dict(
        state_dict=module.state_dict(),
        parameter=torch.nn.Parameter(torch.ones(2, dtype=torch.float16)),
        frozen=torch.nn.Parameter(torch.ones(2), requires_grad=False),
        views=[whole, whole[1:, ::2], whole.t(), whole[:0], whole[1, 2]],
        typed=[torch.ones(3).to(dtype) for dtype in dtypes],
        unsigned=torch.arange(3, dtype=torch.int32).to(torch.uint16),
        special=dict(size=torch.Size([2, 3]), dtype=torch.bfloat16, device=torch.device('cpu')),
        plain=[None, True, -1, 1 << 40, 1 << 90, 0.5, 1j, 'ä', b'', b'\xff', bytearray(b'a'), (1,)],
        sets=[{1, 2}, frozenset('ab')],
        arrays=[np.arange(3), np.zeros((0, 6), 'f4'), np.ones((2, 3), order='F'), np.array(2.0)],
        scalars=[np.float64(0.5), np.bool_(True), np.int32(4)],
        swapped=np.arange(3, dtype='>i4'),
        milestones=Counter([8, 11, 11]),
        ordered=OrderedDict(b=1, a=2),
        history=history,
    )
    path = tmp_path / 'a.pth'
    torch.save(saved, path)
    loaded = load_from_local(str(path))
    assert_same(loaded, torch.load(path, weights_only=False))
    assert loaded['views'][0].data_ptr() == loaded['views'][2].data_ptr()
    assert loaded['arrays'][0].flags.writeable
    loaded['history'].update(3.0)
    assert loaded['history'].mean() == 2


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1))

    def forward(self, x, mode):
        return dict(loss=self.layer(x).square().mean())


def test_a_part_of_a_config_becomes_a_plain_dictionary(tmp_path):
    """A dataset's metainfo is in the checkpoint as the config has it."""
    cfg = Config(dict(metainfo=dict(classes=('nodule',), preparation=dict(region='lungs', mm=[1]))))
    torch.save(dict(meta=dict(dataset_meta=dict(cfg.metainfo)), state_dict={}), tmp_path / 'a.pth')
    meta = load_from_local(str(tmp_path / 'a.pth'))['meta']['dataset_meta']
    assert meta == dict(classes=('nodule',), preparation=dict(region='lungs', mm=[1]))
    assert type(meta['preparation']) is dict


def test_checkpoint_of_mmengine(tmp_path):
    """Optimizer, schedules, message hub and averaged weights."""
    data = [dict(x=torch.full((1,), float(i))) for i in range(8)]
    Runner(
        model=Line(),
        work_dir=str(tmp_path),
        train_dataloader=DataLoader(data, batch_size=4),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=2),
            dict(type='MultiStepLR', milestones=[1, 1]),
        ],
        custom_hooks=[dict(type='EMAHook')],
        experiment_name=tmp_path.name,
    ).train()
    path = tmp_path / 'epoch_2.pth'
    loaded, whole = load_from_local(str(path)), torch.load(path, weights_only=False)
    # the config's text is all that is left out
    for place in (whole['meta'], *map(whole['message_hub'].get, ('runtime_info', 'resumed_keys'))):
        del place['cfg']
    assert_same(loaded, whole)
    assert {'optimizer', 'param_schedulers', 'message_hub', 'ema_state_dict'} < set(loaded)
    assert len(loaded['message_hub']['log_scalars']['train/loss'].data[0]) == 4


@pytest.mark.parametrize(
    'location',
    [None, 'cpu', torch.device('cpu'), {'cpu': 'cpu'}, {}, 'meta', lambda storage, place: None],
)
def test_map_location(tmp_path, location):
    path = tmp_path / 'a.pth'
    torch.save(dict(weight=torch.arange(4.0)), path)
    loaded = load_from_local(str(path), location)['weight']
    expected = torch.load(path, map_location=location)['weight']
    assert loaded.device == expected.device
    if location != 'meta':
        assert torch.equal(loaded, expected)
