import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file

from mmlesion.engine import load_from_local
from mmlesion.utils import UserError

TOOL = 'model_converters/publish_model.py'


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    weights = dict(a=torch.arange(4.0))
    torch.save(dict(state_dict=weights, meta=dict(epoch=1), optimizer=dict(lr=1.0)), path)
    return path


def test_weights_and_meta_are_kept_under_their_hash(checkpoint, run_tool, capsys):
    run_tool(TOOL, checkpoint, checkpoint.parent / 'published.pth')
    (path,) = checkpoint.parent.glob('published*')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name == f'published-{digest[:8]}.pth' and str(path) in capsys.readouterr().out
    published = torch.load(path, weights_only=True)
    assert published['meta'] == dict(epoch=1) and 'optimizer' not in published
    assert torch.equal(published['state_dict']['a'], torch.arange(4.0))


@pytest.mark.parametrize('half', [False, True])
def test_safetensors_and_a_card(checkpoint, run_tool, half):
    out = checkpoint.parent / 'published.safetensors'
    run_tool(TOOL, checkpoint, out, *(['--half'] if half else []))
    (path,) = checkpoint.parent.glob('*.safetensors')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name == f'published-{digest[:8]}.safetensors'
    assert load_file(path)['a'].dtype is (torch.float16 if half else torch.float32)
    assert json.loads(path.with_suffix('.json').read_text()) == dict(meta=dict(epoch=1))
    (weights,) = load_from_local(str(path)).values()
    assert weights['a'].dtype is torch.float32 and weights['a'].tolist() == [0, 1, 2, 3]


def test_half_of_a_pth(checkpoint, run_tool):
    with pytest.raises(SystemExit, match='--half is for OUT.safetensors'):
        run_tool(TOOL, checkpoint, checkpoint.parent / 'out.pth', '--half')


def test_a_damaged_file_of_safetensors(tmp_path):
    path = tmp_path / 'a.safetensors'
    path.write_bytes(b'damaged' * 9)
    with pytest.raises(UserError, match='the checkpoint .*a.safetensors') as raised:
        load_from_local(str(path))
    assert '\n' not in str(raised.value)


def test_a_part_that_is_missing(checkpoint, run_tool):
    with pytest.raises(SystemExit, match='has no ema, but state_dict, meta, optimizer'):
        run_tool(TOOL, checkpoint, checkpoint.parent / 'out.pth', '--save-keys', 'ema')
    assert len(list(checkpoint.parent.iterdir())) == 1


def test_what_is_no_checkpoint(tmp_path, run_tool):
    path = tmp_path / 'a.pth'
    path.write_text('text')
    with pytest.raises(SystemExit, match='a.pth'):
        run_tool(TOOL, path, tmp_path / 'out.pth')
