"""Time of a training iteration beside mmdet's own training of the same detector.

"mmlesion" loads 16-bit slices with their neighbors by the config's pipeline; "mmdet" loads the same
pictures as 8-bit PNG by mmdet's LoadImageFromFile, with mmdet's transforms of the same kinds and
options. Detector and optimizer are the config's. Loading is in the same process, and timed apart.
"kept" is "mmlesion" with freed memory kept by the process (docs/speed.md).
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import cv2
import numpy as np
from harness.benchmark import BenchmarkParser, format_table
from harness.drawn import KeySlice, list_key_slices, write_series
from harness.timing import Rounds, Seconds, interleave, time_call

from mmlesion.utils import UserError, cli
from mmlesion.utils.configs import load_config
from mmlesion.utils.memory import keep_freed_memory, return_freed_memory

if TYPE_CHECKING:
    from mmengine.config import Config

CONFIG = Path(__file__).resolve().parents[2] / (
    'configs/baselines/faster-rcnn_r50_fpn_4xb2-1x_deeplesion.py'
)
PICTURES = '8bit'  # suffix of the folders of 8-bit pictures
KINDS = ('mmdet', 'mmlesion', 'kept')


def write_pictures(keys: list[KeySlice], pipeline: Callable[[dict], dict], interval: float) -> None:
    """Write what the detector sees of key slices as 8-bit PNG of three channels."""
    for key in keys:
        image = pipeline(key.sample(interval))['img']
        path = picture_path(key)
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), image[..., :3].round().astype(np.uint8))


def picture_path(key: KeySlice) -> Path:
    return key.folder.with_name(f'{key.folder.name}-{PICTURES}') / Path(key.path).name


def mmdet_pipeline(steps: list[dict]) -> list[dict]:
    """Return mmdet's transforms of the same kinds and options as a config's."""
    exchanged: list[dict] = []
    for step in map(copy.deepcopy, steps):
        if step['type'] == 'LoadCTSlices':
            step = dict(type='LoadImageFromFile', imdecode_backend='cv2')
        elif step['type'] == 'WindowHU':  # pictures are windowed
            continue
        elif step['type'] == 'RandomCTAffine':
            step = dict(
                type='RandomAffine',
                max_rotate_degree=5.73,
                scaling_ratio_range=(0.9, 1.1),
                max_shear_degree=5.73,
                border_val=(0, 0, 0),
            )
        exchanged.append(step)
    return exchanged


def with_lesions(sample: dict, size: int, drawn: np.random.Generator) -> dict:
    """Add a lesion or two, of 4 to 12 % of the side of the slice."""
    instances = []
    for _ in range(drawn.integers(1, 3)):
        side = drawn.uniform(0.04, 0.12) * size
        x, y = drawn.uniform(0.2 * size, 0.8 * size - side, 2)
        instances.append(dict(bbox=[x, y, x + side, y + side], bbox_label=0, ignore_flag=0))
    return dict(sample, instances=instances, height=size, width=size, img_id=0, spacing=[0.8, 0.8])


def iterate(
    samples: list[dict], pipeline: Callable[[dict], dict], model: Any, optimizer: Any, keeps: bool
) -> dict[str, Seconds]:
    """Load a batch and take a step; return the time of both."""
    from mmengine.dataset import pseudo_collate

    # process-wide, and so set anew before each iteration
    if keeps:
        keep_freed_memory()
    else:
        return_freed_memory()
    device = next(model.parameters()).device

    def load() -> dict:
        # transforms change a sample in place
        return pseudo_collate([pipeline(copy.deepcopy(sample)) for sample in samples])

    batch, loading = time_call(load)
    _, step = time_call(model.train_step, batch, optimizer, device=device)
    return dict(loading=loading, step=step, total=loading + step)


def prepare(cfg: Config, folder: Path, args: argparse.Namespace) -> dict[str, Callable]:
    """Return a function for each kind that runs an iteration."""
    from harness.detectors import build_detector
    from mmengine.dataset import Compose
    from mmengine.optim import build_optim_wrapper

    steps = cfg.train_dataloader.dataset.pipeline
    write_series(folder, 1, args.batch + 8, args.size, args.seed)
    # not the first ones, which have no neighbors on one side
    keys = list_key_slices(folder)[4 : 4 + args.batch]
    # one model and optimizer for all kinds: only loading and memory differ
    model = build_detector(cfg, seed=args.seed, device=args.device).train()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    windowed = [step for step in steps if step['type'] in ('LoadCTSlices', 'WindowHU')]
    write_pictures(keys, Compose(windowed), args.interval)
    samples = []
    for number, key in enumerate(keys):
        drawn = np.random.default_rng(args.seed + number)
        samples.append(with_lesions(key.sample(args.interval), args.size, drawn))
    pictures = [dict(s, img_path=str(picture_path(key))) for s, key in zip(samples, keys)]
    # the same steps; pictures are decoded and windowed beforehand
    own, theirs = Compose(steps), Compose(mmdet_pipeline(steps))
    shared = dict(model=model, optimizer=optimizer)
    return dict(
        mmdet=partial(iterate, pictures, theirs, keeps=False, **shared),
        mmlesion=partial(iterate, samples, own, keeps=False, **shared),
        kept=partial(iterate, samples, own, keeps=True, **shared),
    )


def measure(args: argparse.Namespace) -> list[dict]:
    """Time iterations in turn.

    Returns:
        list[dict]: ``name``, medians of the processor seconds of ``loading`` and ``step``, ``wall``
        seconds of both, and ``ratio``, the median ratio of processor time to mmdet's, and
        ``wall_ratio``.
    """
    if min(args.batch, args.size) < 1 or not args.interval > 0:
        raise UserError('--batch, --size and --interval must be positive')
    cfg = load_config(args.config, args.cfg_options)
    cv2.setNumThreads(0)  # as in a worker
    with tempfile.TemporaryDirectory() as folder:
        rounds = interleave(prepare(cfg, Path(folder), args), args.runs, args.warmup)
    return [summarize(rounds, name) for name in KINDS]


def summarize(rounds: Rounds, name: str) -> dict:
    """Return the figures of one kind, as :func:`measure` returns them."""
    return dict(
        name=name,
        loading=rounds.median(name, lambda run: run['loading'].processor),
        step=rounds.median(name, lambda run: run['step'].processor),
        wall=rounds.median(name, lambda run: run['total'].wall),
        ratio=rounds.median_ratio(name, 'mmdet', lambda run: run['total'].processor),
        wall_ratio=rounds.median_ratio(name, 'mmdet', lambda run: run['total'].wall),
    )


COLUMNS = {
    'training': lambda row: row['name'],
    'loading, cpu s': lambda row: f'{row["loading"]:.3f}',
    'step, cpu s': lambda row: f'{row["step"]:.3f}',
    'seconds': lambda row: f'{row["wall"]:.3f}',
    'to mmdet': lambda row: f'{row["ratio"]:.2f}',
    'by seconds': lambda row: f'{row["wall_ratio"]:.2f}',
}


@cli
def main():
    from mmengine.config import DictAction

    parser = BenchmarkParser(__doc__, 'slices, lesions and weights', runs=3, warmup=1)
    parser.add_argument('config', nargs='?', default=str(CONFIG), help=f'(default {CONFIG.name})')
    parser.add_argument('--batch', type=int, default=2, help='slices of an iteration (default 2)')
    parser.add_argument('--size', type=int, default=512, help='side of a slice, px (default 512)')
    parser.add_argument('--interval', type=float, default=2.0, help='of the slices, mm (default 2)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='config overrides')
    parser.run(measure, partial(format_table, columns=COLUMNS))


if __name__ == '__main__':
    main()
