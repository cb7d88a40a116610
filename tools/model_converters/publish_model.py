"""Make a checkpoint to publish: weights and meta information alone, its hash in the name.

As mmdet's tool of this name, which torch 2.6 and later refuse to run.
"""

import argparse
import hashlib
from pathlib import Path

from mmlesion.io.atomic import atomic_write
from mmlesion.utils import UserError, cli

HASH_DIGITS = 8


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('in_file', help='checkpoint of a training')
    parser.add_argument('out_file', help='NAME.pth is written as NAME-HASH.pth')
    parser.add_argument(
        '--save-keys',
        nargs='+',
        default=['meta', 'state_dict'],
        help='parts of the checkpoint to keep (meta state_dict)',
    )
    return parser.parse_args(argv)


def publish(in_file, out_file, save_keys):
    """Write the kept parts of a checkpoint.

    Args:
        in_file (str): The checkpoint; only data are read from it.
        out_file (str): The file, without the hash in its name.
        save_keys (list[str]): The parts.

    Returns:
        Path: The file with the first digits of its SHA-256.

    Raises:
        UserError: If the checkpoint lacks a part.
    """
    import torch

    from mmlesion.engine import load_from_local

    checkpoint = load_from_local(in_file, map_location='cpu')
    if missing := set(save_keys) - checkpoint.keys():
        raise UserError(
            f'{in_file} has no {", ".join(sorted(missing))}, but {", ".join(checkpoint)}: '
            'choose by --save-keys'
        )
    kept = {key: checkpoint[key] for key in save_keys}
    out = Path(out_file)
    with atomic_write(out) as temporary:
        torch.save(kept, temporary)
    # of the file as written: torch.hub compares it with the name after a download
    digest = hashlib.sha256(out.read_bytes()).hexdigest()[:HASH_DIGITS]
    return out.rename(out.with_name(f'{out.stem}-{digest}.pth'))


@cli
def main(argv=None):
    args = parse_args(argv)
    print(f'wrote {publish(args.in_file, args.out_file, args.save_keys)}')


if __name__ == '__main__':
    main()
