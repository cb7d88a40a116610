"""The long commands, each on an input so small that it takes seconds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs' / 'phantom'
DETECTOR = CONFIGS / 'baselines' / 'faster-rcnn_r18_fpn_trpn_phantom.py'
SEARCH = CONFIGS / 'elixirnet' / 'alb-search_r18_fpn_phantom.py'
EMBEDDER = CONFIGS / 'lens' / 'lesion-embedding_r18_phantom.py'


@dataclass(frozen=True)
class Command:
    """A command that is run, killed, and run again.

    Args:
        name (str): What the table calls it.
        arguments (Callable): Takes the folder of the inputs; returns the tool and its arguments.
            It writes into ``out`` of the folder that it is run in.
        needs (tuple[str]): The inputs that must be made, see :data:`INPUTS`.
        launch (tuple[str]): Tool and options by which several processes are started.
        lay_out (Callable, optional): Puts into ``out``, its argument, what must be there before.
        variables (tuple[str]): NAME=VALUE of a shell script's environment.
    """

    name: str
    arguments: Callable[[Path], list]
    needs: tuple = ()
    launch: tuple = ()
    lay_out: Callable[[Path], None] | None = None
    variables: tuple = ()

    def line(self, inputs: Path) -> list:
        """Return the command line."""
        launch = [ROOT / 'tools' / self.launch[0], *self.launch[1:]] if self.launch else []
        tool, *arguments = self.arguments(inputs)
        if str(tool).endswith('.sh'):
            return ['env', *self.variables, 'bash', ROOT / 'tools' / tool, *arguments]
        return [sys.executable, *launch, ROOT / 'tools' / tool, *arguments]


def options(inputs: Path, **extra) -> list:
    """Return --cfg-options for the small phantom and a training of seconds."""
    data = inputs / 'deeplesion'
    values = {'randomness.seed': 0, 'train_cfg.max_epochs': 3}
    for split in ('train', 'val', 'test'):
        values[f'{split}_dataloader.dataset.data_root'] = f'{data}/'
        values[f'{split}_dataloader.num_workers'] = 1
    for split in ('val', 'test'):
        values[f'{split}_evaluator.ann_file'] = data / f'{split}.json'
    return ['--cfg-options', *(f'{key}={value}' for key, value in {**values, **extra}.items())]


def phantom(layout: str, *counts: int, out: str = 'out') -> list:
    size = () if layout == 'luna16' else ('--size', 128)
    spaced = ('--slice-intervals', 2.5) if layout == 'luna16' else ('--slice-intervals', 5)
    make = ['dataset_converters/make_phantom.py', '--layout', layout, '--out', out, '--overwrite']
    return [*make, '--patients', *counts, *size, *spaced, '--workers', 2]


def converter(name: str, layout: str, *more) -> Command:
    return Command(
        f'convert {name}',
        lambda inputs: ['convert.py', name, inputs / layout, '--out', 'out', *more],
        (layout,),
    )


def _deeplesion(inputs):
    data = inputs / 'deeplesion'
    return [
        *('convert.py', 'deeplesion', data / 'DL_info.csv'),
        *('--images', data / 'Images_png', '--out', 'out'),
    ]


def _deeplesion_3d(inputs):
    data = inputs / 'deeplesion'
    images = ['--images', data / 'Images_png', '--workers', 2]
    return ['convert.py', 'deeplesion_3d', data, '--out', 'out', *images]


def _masks(inputs):
    data = inputs / 'deeplesion'
    images = ['--images', data / 'Images_png', '--workers', 2]
    return [
        'dataset_converters/recist_masks.py',
        data / 'train.json',
        '--out',
        'out/m.json',
        *images,
    ]


def _train(inputs):
    keep = {'default_hooks.checkpoint.max_keep_ckpts': 1}
    return ['train.py', DETECTOR, '--work-dir', 'out', '--resume', *options(inputs, **keep)]


def _search(inputs):
    more = {
        'load_from': 'None',
        'train_cfg.architecture_begin': 0,
        'train_dataloader.batch_size': 2,
        'visualizer.vis_backends': '[]',
    }
    return ['search_alb.py', SEARCH, '--work-dir', 'out', '--resume', *options(inputs, **more)]


def _mine(inputs):
    weights = ['--embedder', EMBEDDER, inputs / 'weights' / 'embedder.pth']
    return [
        *('mine_annotations.py', DETECTOR, inputs / 'weights' / 'detector.pth'),
        *('--out', 'out/mined.json', '--num-workers', 1, '--device', 'cpu', '--delta', 2.1),
        *('--rules', 'propagation', 'matching', *weights),
        *options(inputs)[:2],
        f'train_dataloader.dataset.data_root={inputs / "deeplesion"}/',
    ]


def _rows(inputs):
    return ['run_rows.py', inputs / 'rows' / 'rows.yml', '--work-dir', 'out', '--draws', 20]


def _infer(inputs):
    volume = next((inputs / 'kits19').glob('case_00000/imaging.nii.gz'))
    weights = inputs / 'weights' / 'detector.pth'
    return ['infer.py', volume, DETECTOR, weights, '--out', 'out/found', '--device', 'cpu']


def _infer_many(inputs):
    volumes, weights = inputs / 'nifti', inputs / 'weights' / 'detector.pth'
    return ['infer.py', volumes, DETECTOR, weights, '--out', 'out', '--device', 'cpu']


def _nifti(inputs):
    masks = ['--masks', inputs / 'nifti' / 'masks', '--workers', 2]
    return ['convert.py', 'nifti', inputs / 'nifti', '--out', 'out', *masks]


def _nifti_volumes(inputs):
    return [*_nifti(inputs), '--volumes']


def _anchors(inputs):
    out = ['--json', 'out/anchors.json', '--out-image', 'out/anchors.png']
    return ['analysis_tools/optimize_anchors.py', inputs / 'deeplesion' / 'train.json', *out]


def _dist_train(inputs):
    _, config, *others = _train(inputs)
    return ['dist_train.sh', config, 2, *others]


SMALL = ('PATIENTS=4 1 1', 'OPTIONS=train_cfg.max_epochs=2 train_dataloader.batch_size=2')


def _quickstart(inputs):
    return [inputs.parent / 'out' / 'tools' / 'quickstart.sh']


def _lay_out_quickstart(out: Path) -> None:
    """Make a working tree of links, whose environment is the one that runs this."""
    for name in ('tools', 'configs', 'mmlesion', 'requirements', 'setup.py'):
        (out / name).symlink_to(ROOT / name)
    activate = out / '.venv' / 'bin' / 'activate'
    activate.parent.mkdir(parents=True)
    activate.write_text(f'PATH="{Path(sys.executable).parent}:$PATH"\n', encoding='utf-8')
    # all of the script but its last line, which would set up
    script = 'source <(sed "\\$d" tools/setup_env.sh); ROOT=$PWD; environment_stamp'
    stamp = subprocess.run(['bash', '-c', script], cwd=out, capture_output=True, check=True)
    (out / '.venv' / 'mmlesion-stamp').write_bytes(stamp.stdout)


def _two(command: Command) -> Command:
    """Return the same in two processes; each pair has a port, so that none waits for another's."""
    launch = ('dist_launch.py', '--standalone', '--nproc_per_node', 2)
    return Command(
        f'{command.name}, 2 processes',
        lambda inputs: with_launcher(command.arguments(inputs)),
        command.needs,
        launch,
    )


def with_launcher(arguments: list) -> list:
    """Return a tool's arguments with --launcher, which comes before --cfg-options."""
    end = arguments.index('--cfg-options')
    return [*arguments[:end], '--launcher', 'pytorch', *arguments[end:]]


TRAIN = Command('train', _train, ('deeplesion',))
SEARCHING = Command('search', _search, ('deeplesion',))
MINE = Command('mine and embed', _mine, ('deeplesion', 'weights'))
COMMANDS = (
    Command('phantom deeplesion', lambda _: phantom('deeplesion', 4, 1, 1)),
    Command('phantom kits19', lambda _: phantom('kits19', 4, 1)),
    Command('phantom luna16', lambda _: phantom('luna16', 3, 1)),
    Command('convert deeplesion', _deeplesion, ('deeplesion',)),
    Command('convert deeplesion_3d', _deeplesion_3d, ('deeplesion',)),
    converter('kits19', 'kits19', '--workers', 2),
    converter('lits', 'lits', '--workers', 2),
    converter('luna16', 'luna16', '--workers', 2),
    converter('luna16_slices', 'luna16', '--workers', 2),
    converter('nih_ln', 'nih_ln', '--workers', 2),
    Command('convert nifti', _nifti, ('kits19', 'nifti')),
    Command('convert nifti volumes', _nifti_volumes, ('kits19', 'nifti')),
    Command('masks', _masks, ('deeplesion',)),
    TRAIN,
    Command('train, 2 processes', _dist_train, ('deeplesion',)),
    SEARCHING,
    MINE,
    _two(MINE),
    Command('run_rows', _rows, ('deeplesion', 'rows')),
    Command('infer', _infer, ('kits19', 'weights')),
    Command('infer many', _infer_many, ('kits19', 'nifti', 'weights')),
    Command('optimize_anchors', _anchors, ('deeplesion',)),
    Command('quickstart', _quickstart, lay_out=_lay_out_quickstart, variables=SMALL),
)


def write_weights(folder: Path) -> None:
    """Write random weights of the detector and of the embedding."""
    import torch
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    import mmlesion  # noqa: F401 (registers mmlesion's components)

    init_default_scope('mmdet')
    folder.mkdir()
    for name, config in (('detector', DETECTOR), ('embedder', EMBEDDER)):
        torch.manual_seed(0)
        model = MODELS.build(Config.fromfile(config).model)
        torch.save(dict(state_dict=model.state_dict(), meta={}), folder / f'{name}.pth')


def write_rows(folder: Path) -> None:
    """Write the table of two rows that is trained."""
    folder.mkdir()
    settings = options(folder.parent)[1:]
    lines = [f'  {key}: "{value}"' for key, value in (item.split('=') for item in settings)]
    text = '\n'.join(['seeds: [0]', 'options:', *lines, 'rows:', f'  one: {DETECTOR}'])
    other = f'\n  two: {{config: {DETECTOR}, options: {{model.rpn_head.threshold: mean}}}}\n'
    (folder / 'rows.yml').write_text(text + other, encoding='utf-8')


def link_nifti(folder: Path) -> None:
    """Name the scans and masks of KiTS19 as a folder of NIfTI files has them."""
    (folder / 'masks').mkdir(parents=True)
    for mask in sorted((folder.parent / 'kits19').glob('case_*/segmentation.nii.gz')):
        name = f'{mask.parent.name}.nii.gz'
        (folder / name).symlink_to(mask.with_name('imaging.nii.gz'))
        (folder / 'masks' / name).symlink_to(mask)


def input_commands(name: str, inputs: Path) -> Iterable[list]:
    """Return the commands that make an input."""
    counts = dict(deeplesion=(4, 1, 1), kits19=(4, 1), lits=(4, 1), luna16=(3, 1), nih_ln=(2, 1))
    yield phantom(name, *counts[name], out=str(inputs / name))
    if name == 'deeplesion':
        data = inputs / name
        images = ['--images', data / 'Images_png', '--out', data]
        yield ['convert.py', name, data / 'DL_info.csv', *images]
