"""torchrun, with its options, but with one line about a process that ends early or a signal.

python tools/dist_launch.py --nproc_per_node N tools/TOOL.py ... --launcher pytorch
"""

import os
import signal
import sys
from pathlib import Path

from mmlesion.utils import UserError, cli
from mmlesion.utils.command_line import Terminated
from mmlesion.utils.processes import RESUME


def describe(failed):
    """Say which process ended first, and how."""
    rank, failure = failed.get_first_failure()
    # as subprocess has it, a negative status is the number of a signal
    if failure.exitcode < 0:
        how = f'was killed by {signal.Signals(-failure.exitcode).name}'
    else:
        how = f'ended with status {failure.exitcode}; its message is above'
    return f'process {rank} of the run {how}. {RESUME}'


@cli
def main():
    if set(sys.argv[1:2]) <= {'-h', '--help'}:
        print(f'usage: {Path(__file__).name} [options of torchrun] SCRIPT ...\n\n{__doc__}', end='')
        sys.exit()
    os.environ.setdefault('LOGLEVEL', 'CRITICAL')  # of torchrun itself, before it is imported
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        torchrun.run(torchrun.parse_args(None))
    except ChildFailedError as failed:
        raise UserError(describe(failed)) from None
    except SignalException as received:
        interrupted = received.sigval == signal.SIGINT
        raise (KeyboardInterrupt if interrupted else Terminated) from None


if __name__ == '__main__':
    main()
