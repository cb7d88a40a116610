"""Train a detector: mmdet's tools/train.py, its options included, with mmlesion registered."""

import mmlesion  # noqa: F401 (registers mmlesion's components)
from mmlesion.utils import cli


@cli
def main():
    from mmlesion.utils.mmdet_tools import run_mmdet_tool

    run_mmdet_tool('train.py')


if __name__ == '__main__':
    main()
