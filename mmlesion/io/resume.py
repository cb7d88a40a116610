"""Work that a later run takes up where an earlier one was stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from .atomic import atomic_write
from .mhd import image_files


def convert_once(
    record: Path,
    sources: Sequence[Path],
    options: Any,
    convert: Callable[[], Any],
    is_whole: Callable[[Any], bool] | None = None,
) -> Any:
    """Convert a volume, or take what an earlier run has made of the same files and options.

    Args:
        record (Path): JSON file that says so; it is written when ``convert`` is through.
        sources (Sequence[Path]): The volume's files; of an MHD file the one with its voxels counts
            too.
        options (SliceOptions): How it is converted, a dataclass.
        convert (Callable): Takes nothing, writes slices or a volume and returns their description.
        is_whole (Callable, optional): Takes such a description and says whether what it describes
            is still there. Defaults to None, it is.

    Returns:
        list[dict] | dict: What ``convert`` returned.
    """
    made_of: dict[str, Any] = {}
    for path in chain.from_iterable(map(image_files, sources)):
        state = path.stat()
        made_of['/'.join(path.parts[-2:])] = [state.st_size, state.st_mtime_ns]
    made_of['options'] = asdict(options)
    if record.exists():
        done = json.loads(record.read_text(encoding='utf-8'))
        if done['made_of'] == made_of and (is_whole is None or is_whole(done['images'])):
            return done['images']
    images = convert()
    with atomic_write(record) as path:
        text = json.dumps({'made_of': made_of, 'images': images})
        path.write_text(text, encoding='utf-8')
    return images
