"""Test a detector: mmdet's tools/test.py, its options included, with mmlesion registered."""

import mmdet.evaluation

from mmlesion.evaluation import DumpLesionResults
from mmlesion.utils import cli
from mmlesion.utils.mmdet_tools import run_mmdet_tool


@cli
def main():
    # what mmdet's tool takes for --out would hold two full-size maps of each slice in memory
    mmdet.evaluation.DumpDetResults = DumpLesionResults
    run_mmdet_tool('test.py')


if __name__ == '__main__':
    main()
