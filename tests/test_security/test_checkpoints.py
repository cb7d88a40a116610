"""Hostile checkpoints, each loaded in a process of its own."""

import os
import pickle
import sys
from collections import OrderedDict

import attacks
import numpy as np
import pytest
import torch
from attack_checkpoints import multiarray
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.infer.infer import BaseInferencer
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmlesion.engine import load_from_local
from mmlesion.io.pickled_arrays import load_arrays
from mmlesion.utils import UserError

needs_fork = pytest.mark.skipif(
    sys.platform != 'linux', reason='limits the memory of a fork as Linux does'
)


# Time has no bound: each of these takes a second or more, the hash of a shared tuple for ever.
# attacks.py loads them, too.
SLOW = """
shared_key plain_shared_key plain_shared_in_set plain_shared_in_frozenset
counters_of_same_dictionary plain_counters_of_same_dictionary sets_of_same_list
plain_sets_of_same_list many_opcodes plain_many_opcodes histories_of_same_array many_dictionaries
plain_many_dictionaries records_in_records plain_records_in_records arrays_of_same_bytes
plain_arrays_of_same_bytes buffers_of_same_bytes plain_buffers_of_same_bytes
plain_sizes_of_same_tuple sizes_of_same_tuple plain_bytes_of_same_text bytes_of_same_text
bytearrays_of_same_bytes plain_bytearrays_of_same_bytes many_sets plain_many_sets
""".split()
# plain data, which does no harm where it is loaded
HARMLESS = """
large_set tensor_of_truth_values_in_bytes deep_key shared_value widely_shared
list_in_itself nan_keys many_opcodes tensor_of_no_stride tensor_without_stride
tensor_of_many_dimensions storage_of_numbered_key code local_name larger_than_stored
constructor_as_value storage_type_as_value
""".split()


@needs_fork
def test_no_hostile_file_has_an_effect(checkpoints):
    files = {name: path for name, path in checkpoints.files.items() if name not in SLOW}
    said = attacks.outcomes(load_from_local, files, checkpoints.effects)
    for name, path in files.items():
        if said[name] != 'loaded dict' or name not in HARMLESS:
            assert said[name].startswith(f'UserError: the checkpoint {path} '), (name, said[name])
            assert '\n' not in said[name] and len(said[name]) < 600
    assert len(said) == len(files) > 190
    assert checkpoints.is_untouched()


@needs_fork
def test_no_hostile_pickle_of_arrays_has_an_effect(checkpoints):
    plain = {n: f for n, f in checkpoints.files.items() if n.startswith('plain_') and n not in SLOW}
    said = attacks.outcomes(load_arrays, plain, checkpoints.effects)
    assert len(said) > 50
    for name, outcome in said.items():
        assert outcome.startswith(('UserError: ', 'loaded ')) and '\n' not in outcome, (
            name,
            outcome,
        )
    assert checkpoints.is_untouched()


@pytest.mark.parametrize('name', ['torchscript', 'tar_fifo'])
def test_the_message_says_how_to_convert(checkpoints, name):
    path = checkpoints.files[name]
    with pytest.raises(UserError, match=rf'convert_checkpoint\.py {path} OUT\.pth$'):
        load_from_local(str(path))


@pytest.mark.parametrize('kind', ['pipe', 'folder', 'device', 'loop', 'link to a pipe', 'none'])
def test_what_is_no_file(tmp_path, kind):
    """None is waited for, or read without an end."""
    path = tmp_path / 'a.pth'
    if kind == 'pipe':
        os.mkfifo(path)
    elif kind == 'folder':
        path.mkdir()
    elif kind == 'device':
        path.symlink_to('/dev/zero')
    elif kind == 'loop':
        path.symlink_to(path)
    elif kind == 'link to a pipe':
        os.mkfifo(tmp_path / 'pipe')
        path.symlink_to('pipe')
    with pytest.raises(FileNotFoundError, match='can not be found'):
        load_from_local(str(path))


def test_truth_values_have_one_bit(tmp_path):
    """NumPy counts them by adding their bytes, and would write beyond an array of that size."""

    class Forged:
        def __reduce__(self):
            state = (1, (4,), np.dtype(bool), False, b'\x00\x01\x80\xff')
            return multiarray._reconstruct, (np.ndarray, (0,), b'b'), state

    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps(Forged()))
    loaded = load_arrays(path)
    assert loaded.view(np.uint8).tolist() == [0, 1, 1, 1]
    assert np.arange(4)[loaded].tolist() == [1, 2, 3]


def saved(path, **content):
    torch.save(content, path)
    return load_from_local(str(path))


def test_only_versions_of_modules_are_kept(tmp_path):
    weights = OrderedDict(weight=torch.ones(1))
    weights._metadata = {'': dict(version=2, assign_to_params_buffers=True), 'a': {}}
    loaded = saved(tmp_path / 'a.pth', state_dict=weights)['state_dict']
    assert loaded._metadata == {'': dict(version=2)}


def test_meta_has_what_resuming_needs(tmp_path):
    meta = dict(epoch=3, iter=9, seed=1, fold=[2], cfg='import os', config='import os', hooks=[1])
    loaded = saved(tmp_path / 'a.pth', state_dict={}, meta=meta)
    assert loaded['meta'] == dict(epoch=3, iter=9, seed=1, fold=[2])


def test_a_config_in_a_checkpoint_is_not_run(tmp_path):
    """mmengine's inferencers run the text of a config that the message hub or ``meta`` has."""
    code = f'import os\nos.mkdir({str(tmp_path / "made")!r})\nmodel = dict()\n'
    hub = dict(log_scalars={}, runtime_info=dict(cfg=code), resumed_keys=dict(cfg=True))
    path = str(tmp_path / 'a.pth')
    torch.save(dict(state_dict={}, message_hub=hub, meta=dict(cfg=code)), path)

    class Inferencer(BaseInferencer):
        _init_pipeline = preprocess = visualize = postprocess = lambda *_, **__: None

    with pytest.raises(Exception, match='[Cc]annot find the config'):
        Inferencer(weights=path)
    assert not (tmp_path / 'made').exists()


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x, mode):
        return dict(loss=self.layer(x).square().mean()) if mode == 'loss' else [x]


class Better(BaseMetric):
    """A score that rises."""

    score = 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        Better.score += 1
        return dict(score=Better.score)


def train(work_dir, epochs, **options):
    data = DataLoader([dict(x=torch.ones(1))] * 2, batch_size=2)
    runner = Runner(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=data,
        val_dataloader=data,
        val_evaluator=Evaluator([Better()]),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        val_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', save_best='score', rule='greater')
        ),
        experiment_name=f'{work_dir.name}{epochs}',
        **options,
    )
    runner.train()
    return runner


def test_a_named_best_checkpoint_is_not_deleted(tmp_path):
    """mmengine deletes what a checkpoint names as the best one before, even a whole folder."""
    train(tmp_path / 'run', 1)
    path, precious = tmp_path / 'run/epoch_1.pth', tmp_path / 'precious'
    precious.mkdir()
    (precious / 'work').write_text('of years')
    for victim in (precious, precious / 'work', 'run/../precious', 'precious'):
        content = torch.load(path, weights_only=False)
        content['message_hub']['runtime_info'].update(best_ckpt=str(victim), best_score=-9)
        torch.save(content, tmp_path / 'bad.pth')
        MessageHub._instance_dict.clear()
        train(tmp_path / 'other', 2, load_from=str(tmp_path / 'bad.pth'), resume=True)
        assert (precious / 'work').read_text() == 'of years'


def test_the_best_checkpoint_of_a_run_is_replaced(tmp_path):
    """Also after its folder was moved."""
    train(tmp_path / 'run', 1)
    (tmp_path / 'run').rename(tmp_path / 'moved')
    assert (tmp_path / 'moved/best_score_epoch_1.pth').is_file()
    MessageHub._instance_dict.clear()
    train(tmp_path / 'moved', 2, load_from=str(tmp_path / 'moved/epoch_1.pth'), resume=True)
    assert [file.name for file in (tmp_path / 'moved').glob('best*')] == ['best_score_epoch_2.pth']
