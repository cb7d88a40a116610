"""Run the command-line tools that mmdet ships, so that their options are mmdet's own.

torch and mmdet are imported when a tool runs: its ``--help`` needs neither.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import runpy
import sys
import traceback
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Callable

from mmengine.config.utils import ConfigParsingError

from .configs import load_config
from .errors import UserError
from .lost_processes import end_with_parent, lost_process
from .whole_checkpoints import whole_checkpoints

PACKAGE = Path(__file__).parents[1]

# what mmengine's registries say of a type, and Python of an option, that does not exist
_UNKNOWN_NAME = re.compile(
    r'is not in the .+ registry|__init__\(\) got an unexpected keyword argument'
)


def run_mmdet_tool(name: str, prepare: Callable[[], None] | None = None) -> None:
    """Run ``tools/<name>`` of the installed mmdet on this process's command line.

    What a user can mend (a missing file, a malformed config, an unknown component, an option that
    the tool or a constructor refuses) is raised as :class:`UserError`; anything else passes with
    its traceback.

    Args:
        name (str): The script.
        prepare (Callable, optional): Called before it, unless it only prints its help. Defaults to
            None.

    Raises:
        UserError: If mmdet has no such script, or the user can mend what is wrong.
    """
    script = _mmdet_script(name)
    if {'-h', '--help'} & set(sys.argv[1:]):
        print_help(script)
    from .distributed import leave_process_group

    end_with_parent()
    try:
        prepare_cpu_launch()
        if prepare:
            prepare()
        with whole_checkpoints(always=name == 'test.py'):
            runpy.run_path(str(script), run_name='__main__')
    except Exception as error:
        message = explain(error, script)
        if message is None:
            raise
        raise UserError(message) from error
    leave_process_group()


def _mmdet_script(name: str) -> Path:
    spec = find_spec('mmdet')
    if spec is None or spec.origin is None:
        raise UserError('mmdet is not installed: pip install "mmdet>=3.3.0,<4.0.0"')
    script = Path(spec.origin).parent / '.mim' / 'tools' / name
    if not script.is_file():
        raise UserError(f'mmdet has no {script}: install mmdet with pip or mim, not by PYTHONPATH')
    return script


def print_help(script: Path) -> None:
    """Print a tool's help and exit, without the imports that the tool needs to run.

    Returns if this is not possible, as of a script without ``parse_args``: the tool itself has to
    be run for its help then.

    Args:
        script (Path): The tool.
    """
    try:
        _parse_args(script)
    except (ImportError, LookupError, NameError):
        return


def tool_arguments(name: str) -> argparse.Namespace:
    """Parse this process's command line as a tool of mmdet does, without running it.

    Args:
        name (str): The script, which has a function ``parse_args``.
    """
    return _parse_args(_mmdet_script(name))


def _parse_args(script: Path) -> argparse.Namespace:
    tree = ast.parse(script.read_text(encoding='utf-8'))
    names: dict = {}
    # the installed mmdet's own code, which running the tool would execute as well
    exec(compile(ast.Module(_parts_of_parser(tree), []), str(script), 'exec'), names)
    return names['parse_args']()


def _parts_of_parser(tree: ast.Module) -> list[ast.stmt]:
    """The function ``parse_args`` of a script, and those imports that load no framework."""
    light = ('argparse', 'os', 'mmengine.config')
    # What else is at the top of the script, its call of main() too, is left out.
    parts = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            wanted = all(alias.name.startswith(light[:2]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            wanted = node.module in light
        else:
            wanted = isinstance(node, ast.FunctionDef) and node.name == 'parse_args'
        if wanted:
            parts.append(node)
    return parts


def prepare_cpu_launch() -> None:
    """Make ``--launcher pytorch`` work on a machine without an accelerator.

    mmengine's launcher selects a CUDA device before it looks at the backend, but leaves a process
    group alone that exists already. Its runner wraps the model for that device, which
    :class:`~mmlesion.engine.CPURunner` does not; a config that names a runner keeps it.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('--launcher')
    launcher = parser.parse_known_args()[0].launcher
    if launcher != 'pytorch' or 'WORLD_SIZE' not in os.environ:
        return
    from mmengine.device import get_device
    from torch import distributed

    if get_device() != 'cpu':
        return
    distributed.init_process_group('gloo')
    if not _names_runner(sys.argv[1:]):
        sys.argv += ['--cfg-options', 'runner_type=CPURunner']


def _names_runner(arguments: Sequence[str]) -> bool:
    """Return whether the config among a tool's arguments, at any position, sets a runner."""
    # --cfg-options and others may have values that end in .py, but those are no files
    config = next((arg for arg in arguments if arg.endswith('.py') and Path(arg).is_file()), None)
    return config is not None and 'runner_type' in load_config(config)


def explain(error: Exception, script: Path | None = None) -> str | None:
    """Explain a user's error in one line; return None if the error is not the user's.

    Args:
        error (Exception): What came out of mmdet's tool.
        script (Path, optional): mmdet's tool. What it raises itself is about its options. Defaults
            to None, it was none.
    """
    if isinstance(error, UserError):
        return without_worker_traceback(str(error))
    if lost := lost_process(error):
        return lost
    if isinstance(error, (OSError, ConfigParsingError)):
        return one_line(error)
    if isinstance(error, SyntaxError):
        return f'the config: {one_line(error)}'
    if isinstance(error, MemoryError):
        return f'there is not enough memory: {one_line(error) or "what is asked for is too much"}'
    if _UNKNOWN_NAME.search(str(error)) and isinstance(error, (KeyError, TypeError)):
        return one_line(error)
    if name := _unknown_optimizer(error):
        return f'optim_wrapper.optimizer.type is {name}, which is no registered optimizer'
    if owner := _constructor(error) or _set_up(error):
        return f'{owner}: {one_line(error)}{_place_unless_raised(error)}'
    last = traceback.extract_tb(error.__traceback__)[-1]
    if last.filename == str(script) or last.name == '_check_head':  # of mmdet's NumClassCheckHook
        return one_line(error)
    if place := _place_in_config(error):
        if isinstance(error, KeyError) and place == 'the config':
            return f'the config has no {one_line(error)!r}'
        return f'{place}: {one_line(error)}'
    return None


def _frames(error: Exception) -> list[FrameType]:
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]


def _constructor(error: Exception) -> str | None:
    """Name the class whose constructor an error comes from.

    A constructor's arguments are a config's options, so that what it cannot take is the user's to
    mend.
    """
    frames = _frames(error)
    if _is_ours(frames[-1]) and isinstance(error, (TypeError, ValueError)):
        for frame in reversed(frames):
            if frame.f_code.co_name in ('__init__', '__post_init__') and _is_ours(frame):
                return type(frame.f_locals['self']).__name__
    for frame in reversed(frames):
        if frame.f_code.co_name == 'build_from_cfg':
            built = getattr(frame.f_locals.get('obj_cls'), '__name__', None)
            return built or _option_of(frame.f_locals.get('cfg'), frames) or 'the config'
    return None


def _option_of(value: object, frames: Sequence[FrameType]) -> str | None:
    """Name the component, and its option, that a value was given to which names no component."""
    for frame in reversed(frames):
        if frame.f_code.co_name == '__init__' and 'self' in frame.f_locals:
            for name, given in frame.f_locals.items():
                if given is value:
                    return f'{type(frame.f_locals["self"]).__name__}: {name}'
    return None


def _unknown_optimizer(error: Exception) -> str | None:
    """Return the type of an optimizer that mmengine has looked for in vain, without a word."""
    if isinstance(error, TypeError):
        for frame in _frames(error):
            if frame.f_locals.get('optimizer_cls', '') is None:
                return str(frame.f_locals['self'].optimizer_cfg['type'])
    return None


def _set_up(error: Exception) -> str | None:
    """Say that an error comes from mmengine's runner where it prepares what the config asks for."""
    for frame in _frames(error):
        module, name = frame.f_globals.get('__name__', ''), frame.f_code.co_name
        if module.startswith('mmengine.runner') and name.startswith(('build_', 'set_randomness')):
            return 'the config'
    return None


def _place_in_config(error: Exception) -> str | None:
    """Return file and line where an error comes from the code of a config, or what it imports."""
    frames = _frames(error)
    names = [frame.f_code.co_name for frame in frames]
    if 'import_modules_from_strings' in names:
        return 'custom_imports of the config'
    last = traceback.extract_tb(error.__traceback__)[-1]
    if last.name == '<module>' and '_file2dict' in names:
        return f'{last.filename}, line {last.lineno}'
    is_config = any(frame.f_globals.get('__name__') == 'mmengine.config.config' for frame in frames)
    return 'the config' if is_config else None


def _is_ours(frame: FrameType) -> bool:
    return PACKAGE in Path(frame.f_code.co_filename).parents


def _place_unless_raised(error: Exception) -> str:
    """The line that an error is from, and the options, where no message names option and value."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    package = _frames(error)[-1].f_globals.get('__name__', '').partition('.')[0]
    raised = (last.line or '').startswith('raise')
    given = _options_given(error)
    message = str(error)
    # mmdet and others do not always name what they refuse
    named = any(name in message and f'{value!r}' in message for name, value in given.items())
    if raised and (package == 'mmlesion' or named):
        return ''
    # an optimizer's own text has several lines
    shown = {name: ' '.join(repr(value).split()) for name, value in given.items()}
    listed = ', '.join(f'{name}={text:.40}' for name, text in shown.items())
    place = f' ({last.filename}, line {last.lineno}: {last.line})'
    if raised or listed and package not in ('mmlesion', 'mmdet', 'mmcv', 'mmengine'):  # of torch
        place = ''
    return f'{place}; check its options{listed and f" {listed}"}'


def _options_given(error: Exception) -> dict[str, object]:
    """Return what the config gives to the component that was built."""
    for frame in reversed(_frames(error)):
        if frame.f_code.co_name == 'build_from_cfg':
            return frame.f_locals.get('args') or {}
    return {}


def one_line(error: Exception) -> str:
    """Return the message of an exception without the quotes that KeyError adds."""
    text = error.args[0] if isinstance(error, KeyError) else str(error)
    return ' '.join(without_worker_traceback(str(text)).split())


def without_worker_traceback(message: str) -> str:
    """Cut what torch puts before the message of an exception from a data loader's worker."""
    if not message.startswith('Caught ') or 'Original Traceback' not in message:
        return message
    # the worker's exception is in the lines after its last frame, as "Kind: message"
    lines = message.splitlines()
    last_frame = max(i for i, line in enumerate(lines) if line.startswith('  '))
    return '\n'.join(lines[last_frame + 1 :]).split(': ', 1)[1]
