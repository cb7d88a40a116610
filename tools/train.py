"""Train a detector, with the options of mmdet's tools/train.py."""

import argparse

import mmlesion  # noqa: F401 (registers mmlesion's components)
from mmlesion.utils import cli


def parse_args():
    from mmlesion.apis.runs import add_training_options

    parser = argparse.ArgumentParser(description=__doc__)
    add_training_options(parser)
    return parser.parse_args()


@cli
def main():
    args = parse_args()
    from mmlesion.apis.runs import load_run_config, train

    train(load_run_config(args), args)


if __name__ == '__main__':
    main()
