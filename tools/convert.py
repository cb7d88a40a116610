"""Convert a dataset to the schemas of docs/datasets.md; ``--help`` lists the benchmarks."""

from mmlesion.converters.commands import main

if __name__ == '__main__':
    main()
