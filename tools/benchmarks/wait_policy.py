"""Time a training step alone and beside busy processes, by how OpenMP's threads wait.

Each measurement is a process of its own, since OpenMP reads its variables when torch loads it; all
are run in turns. The step is of a small detector's backbone and neck.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from harness.benchmark import BenchmarkParser, format_table
from harness.timing import interleave, time_call

from mmlesion.io.json_files import parse_json, to_json
from mmlesion.utils import UserError, cli
from mmlesion.utils.command_line import POLICY

CONFIG = Path(__file__).parents[2] / 'configs/phantom/baselines/faster-rcnn_r18_fpn_phantom.py'
POLICIES = {'default': None, 'passive': 'PASSIVE'}


def take_steps(count, size):
    """Take steps after one that is not timed; print the wall s of each."""
    import torch
    from harness.detectors import build_detector, random_image

    from mmlesion.utils.configs import load_config

    model = build_detector(load_config(CONFIG)).train()
    channels = model.backbone.conv1.in_channels
    image, _ = random_image(size, channels=channels)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def step():
        optimizer.zero_grad()
        sum(level.square().mean() for level in model.extract_feat(image)).backward()
        optimizer.step()

    # the first step allocates memory and starts the threads
    step()
    print(to_json([time_call(step)[1].wall for _ in range(count)]))


def spin():
    while True:
        pass


@contextmanager
def busy_processes(count):
    """Keep as many processes busy during a block."""
    processes = [multiprocessing.Process(target=spin, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def run_steps(policy, busy, args):
    """Return the median wall s of a step in a process of its own."""
    # a policy of the user must not decide for the default
    environment = {name: value for name, value in os.environ.items() if name != POLICY}
    environment['OMP_NUM_THREADS'] = str(args.threads)
    if policy is not None:
        environment[POLICY] = policy
    line = [sys.executable, __file__, '--child', '--steps', str(args.steps), '--size']
    with busy_processes(busy):
        done = subprocess.run(
            [*line, str(args.size)], env=environment, capture_output=True, encoding='utf-8'
        )
    if done.returncode:
        raise UserError(f'a step fails: {done.stderr[-500:]}')
    seconds = sorted(parse_json(done.stdout.splitlines()[-1], 'a step'))
    # the median, the upper one of an even number
    return seconds[len(seconds) // 2]


def measure(args):
    """Measure all policies, alone and beside busy processes."""
    if min(args.threads, args.steps) < 1 or args.busy < 0:
        raise UserError('--threads and --steps take numbers from 1 on, --busy from 0 on')
    cases = {}
    for busy in sorted({0, args.busy}):
        for name, policy in POLICIES.items():
            cases[f'{name}, {busy} busy'] = partial(run_steps, policy, busy, args)
    rounds = interleave(cases, args.runs, args.warmup)
    rows = [{'case': name, 'step_s': rounds.median(name)} for name in cases]
    return {'cores': os.cpu_count(), 'threads': args.threads, 'rows': rows, 'rounds': rounds}


COLUMNS = {
    'case': lambda row: row['case'],
    'step ms': lambda row: f'{1000 * row["step_s"]:.0f}',
}


def main():
    parser = BenchmarkParser(__doc__, runs=3)
    parser.add_argument('--child', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--steps', type=int, default=5, help='of each process (default 5)')
    parser.add_argument('--size', type=int, default=128, help='side of the image, px (default 128)')
    cores = os.cpu_count() or 1
    parser.add_argument('--threads', type=int, default=cores, help='of OpenMP (one a core)')
    parser.add_argument('--busy', type=int, default=cores, help='busy processes (one a core)')
    args = parser.parse_args()
    if args.child:
        take_steps(args.steps, args.size)
    else:
        # not around the child, whose policy is what is measured
        cli(parser.run)(measure, lambda figures: format_table(figures['rows'], COLUMNS))


if __name__ == '__main__':
    main()
