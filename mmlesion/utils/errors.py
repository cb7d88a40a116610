"""Errors that the command-line tools report in one line."""

from __future__ import annotations

import functools
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Callable, NoReturn

from .lost_processes import lost_process
from .openmp import let_threads_sleep

FRAMEWORKS = ('torch', 'mmcv', 'mmengine', 'mmdet')
"""What networks need, and no other part of the package; they are installed by their own rules."""


class UserError(Exception):
    """Input that mmlesion cannot use. The message states what, where and what to do."""


class OptionError(UserError, ValueError):
    """An option of a config that a component cannot take.

    It is the one kind that constructors raise, so that every tool tells it in one line.

    Args:
        message: What is wrong, with the option's name.
        owner: The component, whose class is named first.
    """

    def __init__(self, message: str, owner: object = None) -> None:
        super().__init__(message if owner is None else f'{type(owner).__name__}: {message}')


class OutputError(OSError):
    """An output file that cannot be written. It ends a run, whereas a bad case is skipped."""

    def __str__(self) -> str:
        if self.filename is None:
            return super().__str__()
        return f'{self.filename} cannot be written: {self.strerror}'


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a run like Ctrl-C."""


def printable(text: str) -> str:
    """Return text without the characters by which a file's names could control a terminal."""
    return ''.join(one if one.isprintable() or one in '\n\t' else ascii(one)[1:-1] for one in text)


def _clean(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable(record.getMessage()), ()
    return True


# warnings name files, and quote what is in them
logging.getLogger('mmlesion').addFilter(_clean)


@contextmanager
def terminable() -> Iterator[None]:
    """Raise :class:`Terminated` on SIGTERM within the block, as Python does on Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    # given back after the block, which may be nested or in another's program
    before = signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _raise_terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


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


def cli(main: Callable[..., Any]) -> Callable[..., Any]:
    """Run a command-line ``main`` as a program, and report errors of the user in one line.

    :class:`UserError` and :class:`OutputError`, and what is wrong with a config or with memory,
    give exit status 1, Ctrl-C 130 and SIGTERM 143. The threads of OpenMP wait as
    :func:`~mmlesion.utils.openmp.let_threads_sleep` has it, where ``main`` is what imports torch.
    """

    @functools.wraps(main)
    def wrapped(*args: Any) -> Any:
        from .configs import refuse_blanks  # which needs the errors of this module

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
