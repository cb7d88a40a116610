"""Test a detector: mmdet's tools/test.py, its options included, with mmlesion registered."""

import mmlesion  # noqa: F401 (registers mmlesion's components)
from mmlesion.utils import cli
from mmlesion.utils.mmdet_tools import run_mmdet_tool


@cli
def main():
    run_mmdet_tool('test.py')


if __name__ == '__main__':
    main()
