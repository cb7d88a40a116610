"""What checkpoints may hold is read as torch.load reads it; tests/test_security has the rest."""

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
from mmlesion.utils import UserError

WEIGHTS = Path(__file__).parents[3] / 'shared/data/weights'


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


@pytest.mark.parametrize(
    'tensor',
    [
        torch.eye(2).to_sparse(),
        torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]),
        torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8),
    ],
    ids=['sparse', 'nested', 'quantized'],
)
def test_only_strided_tensors_are_taken(tmp_path, tensor):
    path = tmp_path / 'a.pth'
    torch.save(dict(weight=tensor), path)
    with pytest.raises(UserError, match='a.pth was rejected'):
        load_from_local(str(path))
