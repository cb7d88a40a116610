"""Where the time of tools/infer.py goes: wall seconds by stage, reading and writing included.

The detector of each config in turn, from random weights unless there is a --checkpoint, on a CT
repeated to --slices, or on noise. Loading runs beside the network in a thread of its own, listed as
"beside"; what the network waits for it is "waiting for loading".
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import SimpleITK as sitk
from harness.benchmark import BenchmarkParser, format_table
from harness.drawn import add_volume_options, read_or_draw_volume
from harness.timing import PeakMemory, StageClock, check_memory
from mmengine.config import DictAction

from mmlesion.utils import UserError, cli
from mmlesion.utils.configs import load_config
from mmlesion.utils.memory import keep_freed_memory

if TYPE_CHECKING:
    from mmlesion.apis import LesionInferencer

FOLDER = Path(__file__).resolve().parents[2] / 'configs'
CONFIGS = (
    'elixirnet/elixirnet_r50_fpn_9slices_4xb2-1x_deeplesion.py',
    'lens/lens_densenet121_1xb4-8e_deeplesion.py',
    'slice_context/faster-rcnn_r50-a3d_fpn_7slices_4xb2-1x_deeplesion.py',
    'aggregated_rcnn3d/aggregated-rcnn3d_dense-unet_da-lm_4xb2-50e_deeplesion-3d.py',
)


def build(path: str, args: argparse.Namespace) -> LesionInferencer:
    from mmlesion.apis import LesionInferencer

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of random weights
        cfg = load_config(path, args.cfg_options)
        return LesionInferencer(cfg, args.checkpoint, args.device, show_progress=False)


def waiting(device: str) -> Callable[[], Any]:
    """Return what waits for the device."""
    if not device.startswith('cuda'):
        return lambda: None
    import torch

    return partial(torch.cuda.synchronize, device)


def watch(inferencer: LesionInferencer, device: str) -> StageClock:
    """Return a clock of the stages of an inferencer."""
    from concurrent.futures import Future

    from mmcv.ops import batched_nms
    from mmengine.dataset import pseudo_collate

    from mmlesion.apis import inferencer as module
    from mmlesion.apis import lesion_writer
    from mmlesion.models.layers import nms_3d

    clock = StageClock(waiting(device))
    # names of the module that calls: what is replaced there is what it calls
    clock.add('reading', module, '_read')
    clock.add('orienting', module, 'CTVolume')
    clock.add('resampling to 1 mm', module, 'prepare_volume')
    # batches are loaded in a thread: the main one waits here only where loading is slower
    clock.add('waiting for loading', Future, 'result')
    for step in getattr(inferencer.pipeline, 'transforms', ()):
        clock.add(f'pipeline: {type(step).__name__}', step, 'transform')
    clock.add_everywhere('pipeline: collating', pseudo_collate)
    watch_network(clock, inferencer.model)
    clock.add_everywhere('NMS', batched_nms)
    clock.add_everywhere('NMS', nms_3d)
    clock.add('boxes to arrays', module, 'slice_detections')
    clock.add('stacking', module, 'stack_boxes')
    clock.add('describing lesions', module, 'describe_lesions')
    # less the parts below, which are called within it
    clock.add('writing: rest', module, 'write_lesions')
    for part in ('json', 'csv', 'label_map', 'overlay'):
        clock.add(f'writing: {part}', lesion_writer, f'_write_{part}')
    return clock


def watch_network(clock: StageClock, model: Any) -> None:
    """Add the parts of a detector to a clock."""
    clock.add('preprocessor', model.data_preprocessor, 'forward')
    for name, method in dict(
        backbone='forward', neck='forward', rpn_head='predict', roi_head='predict'
    ).items():
        part = getattr(model, name, None)
        if part is not None:
            clock.add(name, part, method)
    if getattr(model, 'windows', None) is not None:
        clock.add('windows: cutting', model.windows, 'cut')
        clock.add('windows: merging', model.windows, 'merge')


def profile(path: str, volume: Path, args: argparse.Namespace) -> dict:
    """Run one config's command; return its stages, seconds, MiB and number of lesions."""
    inferencer = build(path, args)
    options = dict(batch_size=args.batch_size, pred_score_thr=args.score_thr)
    with tempfile.TemporaryDirectory() as folder:
        clock = watch(inferencer, args.device)
        with PeakMemory(args.device) as memory, clock.running():
            lesions = inferencer(str(volume), out_dir=os.path.join(folder, 'out'), **options)
    return dict(
        name=Path(path).stem,
        seconds=clock.total,
        slices_per_second=args.slices / clock.total,
        mib=memory.mib,
        lesions=len(lesions),
        stages=clock.rows(),
    )


def measure(args: argparse.Namespace) -> list[dict]:
    """Profile the command with each config; see :func:`profile`."""
    check_memory(args.device)
    if args.slices < 1:
        raise UserError('--slices must be at least 1')
    if args.checkpoint and len(args.configs) != 1:
        raise UserError('--checkpoint is for a single config: give it')
    # as infer.py does
    if not args.return_memory:
        keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        volume = Path(folder) / 'volume.nii.gz'
        sitk.WriteImage(read_or_draw_volume(args), str(volume), useCompression=True)
        return [profile(path, volume, args) for path in args.configs]


COLUMNS = {
    'stage': lambda row: row['stage'],
    'seconds': lambda row: f'{row["seconds"]:.2f}',
    'share': lambda row: f'{row["share"]:.1%}',
    'calls': lambda row: str(row['calls']),
    'thread': lambda row: 'beside' if row['beside'] else 'main',
}


def show(figures: list[dict]) -> str:
    texts = []
    for one in figures:
        texts.append(
            f'{one["name"]}: {one["seconds"]:.1f} s, {one["slices_per_second"]:.3f} slices/s, '
            f'{one["mib"]:.0f} MiB, {one["lesions"]} lesions\n'
            + format_table(one['stages'], COLUMNS)
        )
    return '\n\n'.join(texts)


@cli
def main():
    parser = BenchmarkParser(__doc__, 'a volume of noise', runs=1)
    parser.add_argument(
        'configs',
        nargs='*',
        default=[str(FOLDER / name) for name in CONFIGS],
        help='(default: ElixirNet on nine slices, LENS, A3D on seven slices, and one of volumes)',
    )
    parser.add_argument('--checkpoint', help='of a single config (default: random weights)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='config overrides')
    add_volume_options(parser)
    parser.add_argument('--batch-size', type=int, help="(default: infer.py's)")
    parser.add_argument('--score-thr', type=float, help="(default: the config's)")
    parser.add_argument(
        '--return-memory', action='store_true', help='give freed memory back, as C programs do'
    )
    parser.run(measure, show)


if __name__ == '__main__':
    main()
