"""Test a detector: mmdet's tools/test.py, its options included, with mmlesion registered."""

import mmlesion  # noqa: F401 (registers mmlesion's components)
from mmlesion.utils import cli
from mmlesion.utils.mmdet_tools import run_mmdet_tool


def dump_lesion_results():
    """Let ``--out`` write what :class:`~mmlesion.evaluation.DumpLesionResults` keeps.

    What mmdet's tool takes would hold two full-size maps of each slice in memory.
    """
    import mmdet.evaluation

    from mmlesion.evaluation import DumpLesionResults

    mmdet.evaluation.DumpDetResults = DumpLesionResults


@cli
def main():
    run_mmdet_tool('test.py', dump_lesion_results)


if __name__ == '__main__':
    main()
