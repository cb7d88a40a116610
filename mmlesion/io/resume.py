"""Work that a later run takes up where an earlier one was stopped."""

from __future__ import annotations

import json
from dataclasses import asdict

from .atomic import atomic_write
from .mhd import image_files


def convert_once(record, sources, options, convert, is_whole=None):
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
    files = [file for source in sources for file in image_files(source)]
    states = {'/'.join(path.parts[-2:]): path.stat() for path in files}
    made_of = {name: [state.st_size, state.st_mtime_ns] for name, state in states.items()}
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
