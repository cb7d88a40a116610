"""What every command-line tool shares: its errors in one line, signals, OpenMP's threads."""

from __future__ import annotations

import functools
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Callable, NoReturn

from .errors import UserError, printable
from .processes import lost_process

FRAMEWORKS = ('torch', 'mmcv', 'mmengine', 'mmdet')
"""What networks need, and no other part of the package; they are installed by their own rules."""
POLICY = 'OMP_WAIT_POLICY'
# what a user may have decided: the policy, or how long GNU's, LLVM's and Intel's threads spin
_DECISIONS = (POLICY, 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME')
_INNER_BLANK = re.compile(r'[^\s,(\[{:]\s+[^\s,)\]}:]')


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a run like Ctrl-C."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raise :class:`Terminated` on SIGTERM within the block, as Python does on Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    own = os.getpid()

    def end(number: int, frame: FrameType | None) -> NoReturn:
        if os.getpid() != own:  # a process just forked, which is not to go on as this one
            os._exit(128 + number)
        raise Terminated

    # given back after the block, which may be nested or in another's program
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def explain(error: Exception) -> str | None:
    """Return an error of the user's in one line, or None of any other, whose traceback helps.

    These are errors of files, names that no registry has, and processes that are gone. What a
    component raises about its options stays a traceback, as in mmdet.
    """
    if lost := lost_process(error):
        return lost
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    message = _without_worker_traceback(text)
    if isinstance(error, UserError):
        return message
    unknown = isinstance(error, KeyError) and 'registry. Please check' in message
    return ' '.join(message.split()) if isinstance(error, OSError) or unknown else None


def _without_worker_traceback(message: str) -> str:
    """Cut what torch puts before the message of an exception from a data loader's worker."""
    if not message.startswith('Caught ') or 'Original Traceback' not in message:
        return message
    # the worker's exception is in the lines after its last frame, as "Kind: message"
    lines = message.splitlines()
    last_frame = max(i for i, line in enumerate(lines) if line.startswith('  '))
    return '\n'.join(lines[last_frame + 1 :]).split(': ', 1)[1]


def refuse_blanks(arguments: Sequence[str]) -> None:
    """Refuse a blank in a value of ``--cfg-options``: mmengine would remove it silently.

    Blanks beside commas and brackets, and around a value, mean nothing and may go.

    Args:
        arguments: Of the command line.

    Raises:
        UserError: If a value has one, such as a path.
    """
    in_options = False
    for argument in arguments:
        if argument.startswith('--'):
            in_options = argument == '--cfg-options'
        elif in_options and _INNER_BLANK.search(argument.partition('=')[2].strip()):
            raise UserError(
                f'--cfg-options {argument}: mmengine removes the blanks of a value; name a path '
                'without, or set the value in a config file'
            )


def let_threads_sleep() -> None:
    """Let OpenMP's threads sleep while they wait for each other, unless the user has decided.

    By default they spin. Beside another busy process the thread that all wait for is then kept from
    its core by those that wait, and a training step takes a multiple of its time
    (docs/development.md). OpenMP reads the variable when torch loads it, so that a tool calls this
    before torch is imported; processes that it starts inherit it.
    """
    if not any(name in os.environ for name in _DECISIONS):
        os.environ[POLICY] = 'PASSIVE'


def cli(main: Callable[..., Any]) -> Callable[..., Any]:
    """Run a command-line ``main`` as a program, and report errors of the user in one line.

    :class:`UserError` and :class:`OutputError`, and what is wrong with a config or with memory,
    give exit status 1, Ctrl-C 130 and SIGTERM 143. The threads of OpenMP wait as
    :func:`let_threads_sleep` has it, where ``main`` is what imports torch.
    """

    @functools.wraps(main)
    def wrapped(*args: Any) -> Any:
        let_threads_sleep()
        try:
            with terminable():
                refuse_blanks(sys.argv)
                return main(*args)
        except RecursionError:
            sys.exit('error: an input file is nested too deeply')
        except MemoryError as error:
            what = printable(f' ({error})' if str(error) else '')
            sys.exit(f'error: the memory does not suffice for the input{what}')
        except ModuleNotFoundError as error:
            # scoring, conversion and export do without
            if (error.name or '').partition('.')[0] not in FRAMEWORKS:
                raise
            sys.exit(
                f'error: this needs {", ".join(FRAMEWORKS)}, and {error.name} is not installed: '
                'install them by tools/setup_env.sh, or by pip as docs/installation.md says'
            )
        except Exception as error:
            message = explain(error)
            if message is None:
                raise
            sys.exit(f'error: {printable(message)}')
        except KeyboardInterrupt as error:
            # the status that a shell gives a program that a signal has ended
            number = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
            print(f'\nerror: interrupted by {number.name}', file=sys.stderr)
            sys.exit(128 + number)

    return wrapped
