import os

import pytest
import torch

from mmlesion.engine import load_from_local

TOOL = 'model_converters/convert_checkpoint.py'


class RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def legacy(tmp_path):
    path = tmp_path / 'old.pth'
    saved = dict(state_dict=torch.nn.Linear(2, 3).state_dict())
    torch.save(saved, path, _use_new_zipfile_serialization=False)
    return path


@pytest.mark.parametrize('trust', [(), ('--trust',)])
def test_an_old_file_of_tensors_needs_no_trust(run_tool, legacy, tmp_path, capsys, trust):
    out = tmp_path / 'sub/new.pth'
    run_tool(TOOL, legacy, out, *trust)
    assert 'wrote' in capsys.readouterr().out
    expected = torch.load(legacy, weights_only=False)['state_dict']
    torch.testing.assert_close(load_from_local(str(out))['state_dict'], expected)


@pytest.mark.parametrize('kind', ['script', 'module'])
def test_programs_and_modules_become_weights(run_tool, tmp_path, kind):
    module, path, out = torch.nn.Linear(2, 3), tmp_path / 'a.pth', tmp_path / 'b.pth'
    torch.jit.script(module).save(str(path)) if kind == 'script' else torch.save(module, path)
    run_tool(TOOL, path, out, '--trust')
    torch.testing.assert_close(load_from_local(str(out)), module.state_dict())


def test_nothing_runs_without_trust(run_tool, tmp_path):
    path, out = tmp_path / 'bad.pth', tmp_path / 'new.pth'
    torch.save(dict(a=RunsCode(tmp_path / 'made')), path, _use_new_zipfile_serialization=False)
    with pytest.raises(
        SystemExit, match='error: loading .*bad.pth may run code in it: give --trust'
    ):
        run_tool(TOOL, path, out)
    assert not (tmp_path / 'made').exists() and not out.exists()


def test_bad_files(run_tool, legacy, tmp_path):
    (tmp_path / 'text.pth').write_text('text')
    torch.save([1], tmp_path / 'list.pth')
    torch.save(dict(a=slice(1)), tmp_path / 'slice.pth')
    for name, message in dict(
        none='torch cannot read', text='not a checkpoint', list='holds a list', slice='was rejected'
    ).items():
        with pytest.raises(SystemExit, match=f'error: .*{message}'):
            run_tool(TOOL, tmp_path / f'{name}.pth', tmp_path / 'out.pth', '--trust')
    assert not (tmp_path / 'out.pth').exists()
    with pytest.raises(SystemExit, match='exists: name another file'):
        run_tool(TOOL, legacy, legacy, '--trust')
