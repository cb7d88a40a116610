import hashlib

import pytest
import torch

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


def test_a_part_that_is_missing(checkpoint, run_tool):
    with pytest.raises(SystemExit, match='has no ema, but state_dict, meta, optimizer'):
        run_tool(TOOL, checkpoint, checkpoint.parent / 'out.pth', '--save-keys', 'ema')
    assert len(list(checkpoint.parent.iterdir())) == 1


def test_what_is_no_checkpoint(tmp_path, run_tool):
    path = tmp_path / 'a.pth'
    path.write_text('text')
    with pytest.raises(SystemExit, match='a.pth'):
        run_tool(TOOL, path, tmp_path / 'out.pth')
