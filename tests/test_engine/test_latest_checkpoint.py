"""What ``--resume`` goes on from when checkpoints are damaged, deleted or moved."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from line_runs import Kill, line_runner
from mmengine.hooks import Hook

from mmlesion.engine import (
    EpochSeedHook,
    LesionRunner,
    ValidatedCheckpointHook,
    find_latest_checkpoint,
)
from mmlesion.engine import checkpoints as module
from mmlesion.io.atomic import _HOST, PARTIAL
from mmlesion.utils import UserError


def make_runner(work_dir, hooks=(), checkpoint=None, **options):
    return line_runner(
        LesionRunner,
        work_dir,
        default_hooks=dict(checkpoint=checkpoint or ValidatedCheckpointHook(interval=1)),
        custom_hooks=[EpochSeedHook(), *hooks],
        **options,
    )


def weights(runner):
    return [float(value) for value in runner.model.state_dict().values()]


@pytest.fixture(scope='module')
def killed_run(tmp_path_factory):
    """A work folder with epochs 1 and 2 of 4."""
    folder = tmp_path_factory.mktemp('killed') / 'run'
    with pytest.raises(KeyboardInterrupt):
        make_runner(folder, [Kill()]).train()
    return folder


@pytest.fixture(scope='module')
def whole_weights(tmp_path_factory):
    runner = make_runner(tmp_path_factory.mktemp('whole') / 'run')
    runner.train()
    return weights(runner)


@pytest.fixture
def run(killed_run, tmp_path):
    """A copy of it, so that what ``last_checkpoint`` names is elsewhere."""
    return shutil.copytree(killed_run, tmp_path / 'run')


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def change_a_byte(path):
    content = bytearray(path.read_bytes())
    content[content.index(b'layer') + 1] ^= 0xFF
    path.write_bytes(content)


def drop_message_hub(path):
    content = torch.load(path, weights_only=False)
    del content['message_hub']
    torch.save(content, path)


DAMAGES = {
    'truncated': (lambda run: cut(run / 'epoch_2.pth', 1000), 'epoch_2.pth cannot be read'),
    'empty': (lambda run: cut(run / 'epoch_2.pth', 0), 'epoch_2.pth cannot be read'),
    'a byte': (lambda run: change_a_byte(run / 'epoch_2.pth'), 'epoch_2.pth cannot be read'),
    'weights alone': (lambda run: drop_message_hub(run / 'epoch_2.pth'), 'has no message_hub'),
    'deleted': (lambda run: (run / 'epoch_2.pth').unlink(), 'names no checkpoint that is there'),
    'link to nothing': (
        lambda run: (run / 'last_checkpoint').write_text('nowhere/epoch_9.pth'),
        'names no checkpoint that is there',
    ),
    'empty link': (
        lambda run: (run / 'last_checkpoint').write_text(''),
        'names no checkpoint that is there',
    ),
    'binary link': (
        lambda run: (run / 'last_checkpoint').write_bytes(b'\0\xff' * 3000),
        'names no checkpoint that is there',
    ),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_it_falls_back_to_the_newest_whole_one(run, killed_run, whole_weights, capsys, damage):
    shutil.rmtree(run)
    shutil.copytree(killed_run, run)
    # what is there elsewhere must not help
    (run / 'last_checkpoint').write_text('elsewhere/epoch_2.pth')
    harm, complaint = DAMAGES[damage]
    harm(run)
    runner = make_runner(run, resume=True)
    runner.train()
    said = [line for line in capsys.readouterr().out.splitlines() if '; resuming from' in line]
    epoch = 2 if 'link' in damage else 1
    assert len(said) == 1 and complaint in said[0]
    assert said[0].endswith(f'resuming from {run / f"epoch_{epoch}.pth"}')
    assert weights(runner) == whole_weights


@pytest.mark.parametrize('link', ['work_dirs/x/epoch_2.pth', '/gone/epoch_2.pth', 'epoch_2.pth'])
def test_a_moved_folder_is_resumed_without_a_word(run, link):
    (run / 'last_checkpoint').write_text(link)
    assert module.search_checkpoint(run) == module.Search(str(run / 'epoch_2.pth'))


def test_a_copy_goes_on_from_its_own_checkpoint(run, killed_run):
    assert (run / 'last_checkpoint').read_text() == str(killed_run / 'epoch_2.pth')
    assert find_latest_checkpoint(str(run)) == str(run / 'epoch_2.pth')


def test_checkpoints_in_another_folder(run, tmp_path):
    """``out_dir`` of the hook."""
    other = tmp_path / 'checkpoints'
    other.mkdir()
    shutil.move(run / 'epoch_2.pth', other)
    (run / 'last_checkpoint').write_text(str(other / 'epoch_2.pth'))
    assert find_latest_checkpoint(str(run)) == str(other / 'epoch_2.pth')


def test_a_relative_folder(run, monkeypatch):
    monkeypatch.chdir(run.parent)
    (run / 'last_checkpoint').write_text('')
    assert find_latest_checkpoint('run') == 'run/epoch_2.pth'


def test_the_first_checkpoint_counts_before_it_is_named(run):
    (run / 'last_checkpoint').unlink()
    assert find_latest_checkpoint(str(run)) == str(run / 'epoch_2.pth')


def test_the_newest_is_taken_by_time_not_by_name(run):
    """Later epochs may be of an older training in the same folder."""
    shutil.copy(run / 'epoch_2.pth', run / 'epoch_12.pth')
    os.utime(run / 'epoch_12.pth', (0, 0))
    (run / 'last_checkpoint').write_text('')
    assert find_latest_checkpoint(str(run)) == str(run / 'epoch_2.pth')


def test_neither_a_best_checkpoint_nor_a_part_of_one_is_taken(run):
    content = torch.load(run / 'epoch_2.pth', weights_only=False)
    del content['optimizer']
    torch.save(content, run / 'best_froc_epoch_2.pth')
    (run / 'epoch_2.pth').rename(run / '.abcdefgh.pth')
    (run / 'last_checkpoint').write_text('')
    assert find_latest_checkpoint(str(run)) == str(run / 'epoch_1.pth')


def test_none_is_whole(run):
    for path in run.glob('*.pth'):
        cut(path, 100)
    message = r'no whole checkpoint to resume from \(the checkpoint .*epoch_2.pth cannot be read.*'
    with pytest.raises(UserError, match=message + 'or delete .*last_checkpoint') as raised:
        make_runner(run, resume=True).load_or_resume()
    assert '\n' not in str(raised.value)


def test_a_new_folder_starts_from_the_beginning(tmp_path):
    assert find_latest_checkpoint(str(tmp_path)) is None
    torch.save(dict(state_dict={}), tmp_path / 'pretrained.pth')
    assert find_latest_checkpoint(str(tmp_path)) is None


def test_one_process_searches_and_all_raise(run, monkeypatch):
    """A process that is not the first gets the outcome from it."""
    monkeypatch.setattr(module.dist, 'is_main_process', lambda: False)
    monkeypatch.setattr(module, 'search_checkpoint', None)

    def broadcast(outcome):
        outcome[0] = module.Search(error='none is whole')

    monkeypatch.setattr(module.dist, 'broadcast_object_list', broadcast)
    with pytest.raises(UserError, match='none is whole'):
        find_latest_checkpoint(str(run))


class Scores(Hook):
    """Validation with given scores, in the place of a loop."""

    def __init__(self, checkpoint_hook, scores):
        self.hook, self.scores = checkpoint_hook, scores

    def after_train_epoch(self, runner):
        runner.train_loop._epoch += 1  # as the loop does between the two
        self.hook.after_val_epoch(runner, dict(froc=self.scores[runner.epoch]))
        runner.train_loop._epoch -= 1


def build_hook(**options):
    return ValidatedCheckpointHook(interval=1, **options)


def train_with_scores(folder, scores, hooks=(), resume=False):
    hook = build_hook(max_keep_ckpts=1, save_best='froc', rule='greater')
    scorer = Scores(hook, scores)
    scorer.priority = 'LOWEST'
    runner = make_runner(folder, [scorer, *hooks], checkpoint=hook, resume=resume)
    runner.train()


SCORES = {1: 0.1, 2: 0.2, 3: 0.15, 4: 0.3}


def files(folder):
    paths = [*folder.glob('*.pth'), folder / 'last_checkpoint']
    return sorted(path.name for path in paths)


def test_what_is_kept(tmp_path):
    train_with_scores(tmp_path / 'run', SCORES)
    names = ['best_froc_epoch_4.pth', 'epoch_4.pth', 'last_checkpoint']
    assert files(tmp_path / 'run') == names
    content = torch.load(tmp_path / 'run' / 'epoch_4.pth', weights_only=False)
    assert content['message_hub']['runtime_info']['keep_ckpt_ids'] == [4]


@pytest.mark.parametrize('number', range(1, 13))
def test_after_any_write_a_whole_one_is_there(tmp_path, monkeypatch, number):
    """Killed in the n-th write of a file, a run has lost nothing and ends as if it had not been.

    An epoch writes its checkpoint, ``last_checkpoint``, the best one, and the first two again.
    """
    folder = tmp_path / 'run'
    replace, count = os.replace, iter(range(1, 100))

    def break_off(source, target):
        if Path(target).suffix in ('', '.pth') and next(count) == number:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, 'replace', break_off)
        with pytest.raises(KeyboardInterrupt):
            train_with_scores(folder, SCORES)
    assert len(list(folder.glob('epoch_*.pth'))) >= (number > 1)
    assert len(list(folder.glob('best_*.pth'))) >= (number > 3)
    half = folder / f'{PARTIAL}{_HOST}-abcdefgh.pth'  # of a kill that leaves no time to clean up
    half.write_bytes(b'half')
    os.utime(half, (0, 0))
    train_with_scores(folder, SCORES, resume=True)
    assert not half.exists()
    assert {'epoch_4.pth', 'best_froc_epoch_4.pth', 'last_checkpoint'} <= set(files(folder))
    last = torch.load(folder / 'epoch_4.pth', weights_only=False)
    assert last['message_hub']['runtime_info']['best_score'] == 0.3


def test_a_copy_leaves_the_best_checkpoint_of_the_first_alone(tmp_path):
    first = tmp_path / 'first'
    with pytest.raises(KeyboardInterrupt):
        train_with_scores(first, SCORES, [Kill()])
    before = files(first)
    assert 'best_froc_epoch_2.pth' in before
    second = shutil.copytree(first, tmp_path / 'second')
    train_with_scores(second, SCORES, resume=True)
    assert files(first) == before
    assert 'best_froc_epoch_2.pth' not in files(second)
    np.testing.assert_equal((second / 'last_checkpoint').read_text(), str(second / 'epoch_4.pth'))


def test_several_best_ones(tmp_path):
    hook = build_hook(save_best=['froc', 'map'], rule='greater')
    runner = make_runner(tmp_path / 'run', checkpoint=hook)
    runner.message_hub.update_info('best_ckpt_froc', '/elsewhere/best_froc_epoch_1.pth')
    hook.before_train(runner)
    best = dict(froc=str(tmp_path / 'run' / 'best_froc_epoch_1.pth'), map=None)
    assert hook.best_ckpt_path_dict == best
    assert isinstance(hook, ValidatedCheckpointHook)
