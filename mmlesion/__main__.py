"""The tools as subcommands: ``mmlesion train CONFIG`` is ``python tools/train.py CONFIG``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .utils.configs import shipped_path

COMMANDS = {
    'train': ('train.py', 'train a detector'),
    'test': ('test.py', 'test a detector'),
    'detect': ('infer.py', 'detect lung nodules in a chest CT, or lesions by your detector'),
    'convert': ('convert.py', 'convert a data set to the files that configs name'),
    'eval': ('analysis_tools/eval_froc.py', 'the FROC of detections in files, by a protocol'),
    'compare': ('analysis_tools/compare_froc.py', 'compare detectors, with intervals'),
    'report': ('analysis_tools/report.py', 'the page of a test set and its detections'),
    'export': ('export_lesions.py', 'lesions of a volume as DICOM SEG and SR, or for 3D Slicer'),
    'followup': ('compare_studies.py', 'compare two studies of a patient'),
    'mine': ('mine_annotations.py', 'mine missing annotations'),
    'rows': ('run_rows.py', 'train and compare the rows of a table'),
    'publish': ('model_converters/publish_model.py', 'make a checkpoint to publish'),
}
"""By subcommand the tool below ``tools``, and what it does."""
_WIDTH = max(map(len, COMMANDS))
USAGE = 'usage: mmlesion COMMAND ...; mmlesion COMMAND --help for its options\n\n' + '\n'.join(
    f'  {name:{_WIDTH}}  {what}' for name, (_, what) in COMMANDS.items()
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a tool in place of this process, so that signals and the exit status are the tool's."""
    command, *rest = (sys.argv[1:] if arguments is None else list(arguments)) or ['--help']
    if command in ('-h', '--help'):
        print(USAGE)
        return
    if command not in COMMANDS:
        sys.exit(f'error: no command {command}: choose one of {", ".join(COMMANDS)}')
    path = str(shipped_path(f'tools/{COMMANDS[command][0]}'))
    os.execv(sys.executable, [sys.executable, path, *rest])


if __name__ == '__main__':
    main()
