"""Atomic writes for mmengine's local files."""

from __future__ import annotations

import os
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from mmlesion.io.atomic import atomic_write


@register_backend('local', force=True, prefixes='')
class AtomicLocalBackend(LocalBackend):
    """mmengine's local file backend with atomic writes.

    A checkpoint that is saved again, as after its validation, is never half of one: until the new
    file is complete the old one is there. Importing :mod:`mmlesion` puts this backend in the place
    of mmengine's.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes.

        Raises:
            OutputError: If they cannot be written; what was there before stays.
        """
        with atomic_write(filepath) as path, path.open('wb') as file:
            file.write(obj)
            file.flush()
            # else a power cut may keep the new name and lose what it stands for
            os.fsync(file.fileno())

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text.

        Raises:
            OutputError: If it cannot be written; what was there before stays.
        """
        with atomic_write(filepath) as path:
            path.write_text(obj, encoding=encoding)
