"""Faults of the system: context managers that take the path of a tool's output."""

import errno
import os
import resource
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def file_in_place(out):
    """Put a file in the place of the output's folder."""
    out.write_text('a file')
    yield
    assert out.read_text() == 'a file'


@contextmanager
def folder_in_place(out):
    """Put a folder, which is not empty, in the place of the output file."""
    out.mkdir()
    (out / 'kept').write_text('a file')
    yield
    assert (out / 'kept').read_text() == 'a file'


@contextmanager
def forbidden(out):
    """Refuse to write under the output's folder, as to a user without rights."""
    out.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in ('mkdtemp', 'mkstemp'):
            plain = getattr(tempfile, name)
            patch.setattr(tempfile, name, _refusing(plain, out, _temporary))
        patch.setattr(os, 'mkdir', _refusing(os.mkdir, out, _first))
        patch.setattr('builtins.open', _refusing(open, out, _written))
        patch.setattr(os, 'access', lambda path, mode: not str(path).startswith(str(out)))
        yield


def _refusing(plain, out, path_of):
    def call(*args, **options):
        path = str(path_of(*args, **options))
        if path.startswith(str(out)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return plain(*args, **options)

    return call


def _temporary(*_, dir='', **__):
    return dir


def _first(path, *_, **__):
    return path


def _written(path, mode='r', *_, **__):
    return path if set(mode) & set('wax+') else ''


def disk_full(after):
    """Let so many files and folders get their final names, and then none."""

    @contextmanager
    def fault(out):
        left = [after]

        def limited(plain):
            def move(*args, **options):
                if not left[0]:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(args[0]))
                left[0] -= 1
                return plain(*args, **options)

            return move

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, 'replace', limited(os.replace))
            patch.setattr(Path, 'rename', limited(Path.rename))
            yield

    return fault


@contextmanager
def no_space(out):
    """Refuse to write a byte to any file, in whatever library, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
