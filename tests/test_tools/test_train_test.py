"""tools/train.py, tools/test.py and the scripts of several processes, on a phantom."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from forked_programs import run_script
from phantom import PatientOptions, make_deeplesion_phantom

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/phantom/baselines/faster-rcnn_r18_fpn_trpn_phantom.py'


def run(*command):
    """Run a command of the repository; return its status and its last lines."""
    env = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT), PORT='29641')
    return subprocess.run(
        [str(part) for part in command], capture_output=True, encoding='utf-8', timeout=280, env=env
    )


def python(tool, *arguments):
    return run_script(ROOT / 'tools' / tool, *arguments)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A phantom of three patients, converted."""
    root = tmp_path_factory.mktemp('phantom')
    make_deeplesion_phantom(
        root, patients=(1, 1, 1), overwrite=True, options=PatientOptions(size=128)
    )
    done = python(
        'dataset_converters/deeplesion.py',
        root / 'DL_info.csv',
        '--images',
        root / 'Images_png',
        '--out',
        root,
    )
    assert done.returncode == 0, done.stderr
    return root


def options(data, **extra):
    """--cfg-options for that data and a run of seconds."""
    values = {}
    for split in ('train', 'val', 'test'):
        values[f'{split}_dataloader.dataset.data_root'] = f'{data}/'
        values[f'{split}_dataloader.num_workers'] = 0
        values[f'{split}_dataloader.persistent_workers'] = False
    for split in ('val', 'test'):
        values[f'{split}_evaluator.ann_file'] = data / f'{split}.json'
    values.update({'train_cfg.max_epochs': 1, 'randomness.seed': 0, **extra})
    return ['--cfg-options', *(f'{key}={value}' for key, value in values.items())]


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory):
    """The work folder of an epoch in two processes."""
    work_dir = tmp_path_factory.mktemp('run')
    script = ROOT / 'tools/dist_train.sh'
    done = run('bash', script, CONFIG, 2, '--work-dir', work_dir, *options(data))
    assert done.returncode == 0, done.stderr[-3000:]
    return work_dir


def test_train_leaves_a_checkpoint_and_finite_losses(trained):
    assert (trained / 'epoch_1.pth').exists()
    log = next(trained.glob('*/vis_data/scalars.json')).read_text()
    assert 'NaN' not in log and 'Infinity' not in log


def test_two_processes_give_the_same_froc_as_one(data, trained, tmp_path):
    checkpoint = trained / 'epoch_1.pth'
    # mmengine would remove the blank from an option
    one, two = tmp_path / 'a a' / 'report', tmp_path / 'two'
    done = python(
        *('test.py', CONFIG, checkpoint, '--work-dir', tmp_path / 'a a'),
        *('--report', '--groups', 'diameter', *options(data)),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / 'a a' / 'report.html').read_text(encoding='utf-8')
    assert '"groups":{"<10 mm"' in page.replace('\\u003c', '<')
    assert f'"name":"{CONFIG.stem}"' in page and '"source":"data:image/jpeg' in page
    settings = options(data, **{'test_evaluator.outfile_prefix': two})
    script = ROOT / 'tools/dist_test.sh'
    done = run('bash', script, CONFIG, checkpoint, 2, '--work-dir', tmp_path / 'b', *settings)
    assert done.returncode == 0, done.stderr[-3000:]
    assert _froc(one) == _froc(two)
    assert json.loads(Path(f'{one}.bbox.json').read_text())  # there was something to compare


def _froc(prefix):
    result = json.loads(Path(f'{prefix}.json').read_text())
    del result['seconds']
    return result


@pytest.mark.parametrize(
    'tool, arguments, says',
    [
        ('train.py', ['no_such_config.py'], 'no_such_config.py'),
        ('train.py', [CONFIG, '--cfg-options', 'model.rpn_head.threshold=median'], "'mean' or"),
    ],
)
def test_bad_input_is_one_line(tool, arguments, says, data, tmp_path):
    settings = options(data)[1:] if '--cfg-options' in arguments else options(data)
    done = python(tool, *arguments, *settings, '--work-dir', tmp_path / 'run')
    errors = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert len(errors) == 1 and says in errors[0]


def test_truncated_slice_in_a_worker_is_one_line(data, trained, tmp_path):
    images = json.loads((data / 'test.json').read_text())['images']
    broken = data / 'Images_png' / images[0]['file_name']
    content = broken.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    try:
        settings = options(data, **{'test_dataloader.num_workers': 1})
        checkpoint = trained / 'epoch_1.pth'
        done = python('test.py', CONFIG, checkpoint, '--work-dir', tmp_path, *settings)
    finally:
        broken.write_bytes(content)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f'error: slice {broken} is truncated')


@pytest.mark.parametrize('script', ['dist_train', 'dist_test', 'slurm_train', 'slurm_test'])
def test_script_without_arguments_says_how(script):
    done = run('bash', ROOT / f'tools/{script}.sh')
    assert done.returncode == 1 and 'usage:' in done.stderr
