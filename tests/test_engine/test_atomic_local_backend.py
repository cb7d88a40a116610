import errno
import os

import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.runner import save_checkpoint

from mmlesion.engine import AtomicLocalBackend
from mmlesion.utils import OutputError


def test_it_takes_the_place_of_mmengine_s(tmp_path):
    assert isinstance(get_file_backend(str(tmp_path / 'a')), AtomicLocalBackend)
    assert isinstance(get_file_backend(backend_args=dict(backend='local')), AtomicLocalBackend)


def test_a_checkpoint_is_whole_or_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / 'run' / 'epoch_1.pth'
    save_checkpoint(dict(epoch=1), str(path))

    def break_off(file):
        os.ftruncate(file, os.fstat(file).st_size // 2)
        raise OSError(errno.ENOSPC, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', break_off)
        with pytest.raises(OutputError, match='epoch_1.pth cannot be written: No space'):
            save_checkpoint(dict(epoch=2), str(path))
    assert torch.load(path) == dict(epoch=1)
    save_checkpoint(dict(epoch=2), str(path))
    assert torch.load(path) == dict(epoch=2)
    assert [file.name for file in path.parent.iterdir()] == ['epoch_1.pth']


def test_text(tmp_path):
    get_file_backend(str(tmp_path)).put_text('größer', tmp_path / 'a' / 'text.txt')
    assert (tmp_path / 'a' / 'text.txt').read_text(encoding='utf-8') == 'größer'
