import functools
import sys


class UserError(Exception):
    """Input that mmlesion cannot use. The message says what, where and what to do."""


def cli(main):
    """Let a command-line ``main`` report a :class:`UserError` as one line and exit status 1."""

    @functools.wraps(main)
    def wrapped(*args):
        try:
            return main(*args)
        except UserError as error:
            sys.exit(f'error: {error}')

    return wrapped
