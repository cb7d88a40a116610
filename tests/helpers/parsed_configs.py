"""Load the configs of the repository and of mmdet fast, which tests load a thousand times."""

from __future__ import annotations

import copy
import functools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config, config, utils

ROOT = Path(__file__).parents[2]
# {{$NAME:default}}, with or without quotes, which another test may set
_OF_ENVIRONMENT = re.compile(r'\{\{\W*\$')
MMDET = Path(find_spec('mmdet').origin).parent
SHIPPED = (f'{ROOT / "configs"}{os.sep}', f'{MMDET}{os.sep}')


@contextmanager
def parsed_once() -> Iterator[None]:
    """Parse each config that nobody edits once, give copies of it, and write it as it comes.

    For each base that a config has in mmdet, mmengine also imports pkg_resources anew and reads all
    of mmdet's hundred metafiles. Before a run it formats the config's text as one reads it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, 'is_installed', functools.cache(config.is_installed))
        patch.setattr(utils, 'load', functools.cache(utils.load))
        patch.setattr(Config, '_file2dict', staticmethod(_parse_once(Config._file2dict)))
        patch.setattr(Config, 'pretty_text', property(_plain_text))
        yield


def _plain_text(cfg: Config) -> str:
    """Return a config as a file that can be loaded again."""
    return ''.join(f'{name} = {value!r}\n' for name, value in cfg._cfg_dict.items())


def _parse_once(parse: Any) -> Any:
    known: dict = {}

    def parse_once(filename: str, *args: Any, **options: Any) -> tuple:
        path = os.path.abspath(filename)
        if not path.startswith(SHIPPED):
            return parse(filename, *args, **options)
        key = (path, args, tuple(options.items()))
        if key not in known:
            values, text, variables = parse(filename, *args, **options)
            # `text` is that of the bases too
            if _OF_ENVIRONMENT.search(text):
                return values, text, variables
            known[key] = values, text, variables
        return copy.deepcopy(known[key])

    return parse_once
