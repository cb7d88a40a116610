"""Search the auto-lesion blocks of ElixirNet: writes genotypes.py, a config fragment.

Every other option is one of tools/train.py.
"""

import argparse

import mmlesion  # noqa: F401 (registers mmlesion's components)
from mmlesion.utils import UserError, cli

LOOP = 'ALBSearchLoop'


def parse_args(argv=None):
    from mmlesion.apis.runs import add_training_options

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_training_options(parser)
    parser.add_argument(
        '--strategy',
        choices=['gradient', 'random'],
        help="the paper's differentiable search, or random search with shared weights "
        '(default: that of the config)',
    )
    parser.add_argument(
        '--num-samples', type=int, help='number of genotypes that random search scores'
    )
    args = parser.parse_args(argv)
    chosen = {
        'train_cfg.strategy': args.strategy,
        'train_cfg.num_samples': args.num_samples,
    }
    chosen = {name: value for name, value in chosen.items() if value is not None}
    args.cfg_options = {**(args.cfg_options or {}), **chosen}
    return args


@cli
def main():
    args = parse_args()
    from mmlesion.apis.runs import load_run_config, train

    cfg = load_run_config(args)
    if cfg.get('train_cfg', {}).get('type') != LOOP:
        raise UserError(f'the config {args.config} has no {LOOP}: give one that searches')
    train(cfg, args)


if __name__ == '__main__':
    main()
