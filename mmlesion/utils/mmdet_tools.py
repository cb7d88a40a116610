"""Run the command-line tools that mmdet ships, so that their options are mmdet's own."""

import argparse
import os
import re
import runpy
import sys
import traceback
from pathlib import Path

import mmdet
from mmengine.config import Config
from mmengine.config.utils import ConfigParsingError
from mmengine.device import get_device
from torch import distributed

from .distributed import leave_process_group
from .errors import UserError

# what mmengine's registries say of a type, and Python of an option, that does not exist
_UNKNOWN_NAME = re.compile(
    r'is not in the .+ registry|__init__\(\) got an unexpected keyword argument'
)


def run_mmdet_tool(name):
    """Run ``tools/<name>`` of the installed mmdet on this process's command line.

    What a user can mend (a missing file, a malformed config, an unknown component, an option that
    the tool refuses) is raised as :class:`UserError`; anything else passes with its traceback.
    """
    script = Path(mmdet.__file__).parent / '.mim' / 'tools' / name
    if not script.is_file():
        raise UserError(f'mmdet has no {script}: install mmdet with pip or mim, not by PYTHONPATH')
    try:
        prepare_cpu_launch()
        runpy.run_path(str(script), run_name='__main__')
    except Exception as error:
        message = explain(error, script)
        if message is None:
            raise
        raise UserError(message) from error
    leave_process_group()


def prepare_cpu_launch():
    """Make ``--launcher pytorch`` work on a machine without an accelerator.

    mmengine's launcher selects a CUDA device before it looks at the backend, but leaves a process
    group alone that exists already. Its runner wraps the model for that device, which
    :class:`~mmlesion.engine.CPURunner` does not; a config that names a runner keeps it.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('--launcher')
    launcher = parser.parse_known_args()[0].launcher
    if launcher != 'pytorch' or get_device() != 'cpu' or 'WORLD_SIZE' not in os.environ:
        return
    distributed.init_process_group('gloo')
    if not _names_runner(sys.argv[1:]):
        sys.argv += ['--cfg-options', 'runner_type=CPURunner']


def _names_runner(arguments):
    """Return whether the config among a tool's arguments, at any position, sets a runner."""
    config = next((arg for arg in arguments if arg.endswith('.py') and Path(arg).is_file()), None)
    return config is not None and 'runner_type' in Config.fromfile(config)


def explain(error, script):
    """Explain a user's error in one line; return None if the error is not the user's.

    Args:
        error (Exception): What came out of mmdet's tool.
        script (Path): The tool. What it raises itself is about its options.
    """
    if isinstance(error, UserError):
        return without_worker_traceback(str(error))
    if isinstance(error, (OSError, ConfigParsingError, SyntaxError)):
        return one_line(error)
    if _UNKNOWN_NAME.search(str(error)) and isinstance(error, (KeyError, TypeError)):
        return one_line(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    if last.filename == str(script):
        return one_line(error)
    if isinstance(error, NameError) and last.name == '<module>':
        # by the code of a config, such as one that takes a word from the environment
        return f'{last.filename}, line {last.lineno}: {one_line(error)}'
    return None


def one_line(error):
    """Return the message of an exception without the quotes that KeyError adds."""
    text = error.args[0] if isinstance(error, KeyError) else str(error)
    return ' '.join(without_worker_traceback(str(text)).split())


def without_worker_traceback(message):
    """Cut what torch puts before the message of an exception from a data loader's worker."""
    if not message.startswith('Caught ') or 'Original Traceback' not in message:
        return message
    lines = message.splitlines()
    last_frame = max(i for i, line in enumerate(lines) if line.startswith('  '))
    return '\n'.join(lines[last_frame + 1 :]).split(': ', 1)[1]
