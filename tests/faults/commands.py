"""The long commands, each on an input so small that it takes seconds."""

from __future__ import annotations

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
    """

    name: str
    arguments: Callable[[Path], list]
    needs: tuple = ()
    launch: tuple = ()

    def line(self, inputs: Path) -> list:
        """Return the command line."""
        launch = [ROOT / 'tools' / self.launch[0], *self.launch[1:]] if self.launch else []
        tool, *arguments = self.arguments(inputs)
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
    Command('masks', _masks, ('deeplesion',)),
    TRAIN,
    _two(TRAIN),
    SEARCHING,
    MINE,
    _two(MINE),
    Command('run_rows', _rows, ('deeplesion', 'rows')),
    Command('infer', _infer, ('kits19', 'weights')),
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


def input_commands(name: str, inputs: Path) -> Iterable[list]:
    """Return the commands that make an input."""
    counts = dict(deeplesion=(4, 1, 1), kits19=(4, 1), lits=(4, 1), luna16=(3, 1), nih_ln=(2, 1))
    yield phantom(name, *counts[name], out=str(inputs / name))
    if name == 'deeplesion':
        data = inputs / name
        images = ['--images', data / 'Images_png', '--out', data]
        yield ['convert.py', name, data / 'DL_info.csv', *images]
