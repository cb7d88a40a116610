"""Load the configs of the repository and of mmdet fast, which tests load a thousand times."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mmdet
import pytest
from mmengine.config import Config, config, utils

ROOT = Path(__file__).parents[2]
SHIPPED = (f'{ROOT / "configs"}{os.sep}', f'{Path(mmdet.__file__).parent}{os.sep}')


@contextmanager
def parsed_once() -> Iterator[None]:
    """Parse each config that nobody edits once, and give copies of it.

    For each base that a config has in mmdet, mmengine also imports pkg_resources anew and reads all
    of mmdet's hundred metafiles.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, 'is_installed', functools.cache(config.is_installed))
        patch.setattr(utils, 'load', functools.cache(utils.load))
        patch.setattr(Config, '_file2dict', staticmethod(_parse_once(Config._file2dict)))
        yield


def _parse_once(parse: Any) -> Any:
    known: dict = {}

    def parse_once(filename: str, *args: Any, **options: Any) -> tuple:
        path = os.path.abspath(filename)
        if not path.startswith(SHIPPED):
            return parse(filename, *args, **options)
        key = (path, args, tuple(options.items()))
        if key not in known:
            values, text, variables = parse(filename, *args, **options)
            if variables:  # of the environment, which another test may set
                return values, text, variables
            known[key] = values, text, variables
        return copy.deepcopy(known[key])

    return parse_once
