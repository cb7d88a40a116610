"""Make a checkpoint to publish: weights and meta information alone, its hash in the name.

As mmdet's tool of this name, which torch 2.6 and later refuse to run. Of NAME.safetensors become
NAME-HASH.safetensors, weights alone that can run nothing, and NAME-HASH.json, meta information.
"""

import argparse
import hashlib
from pathlib import Path

from mmlesion.io.atomic import atomic_write
from mmlesion.io.json_files import write_json
from mmlesion.utils import UserError, cli

HASH_DIGITS = 8


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('in_file', help='checkpoint of a training')
    parser.add_argument('out_file', help='NAME.pth, written as NAME-HASH.pth, or NAME.safetensors')
    parser.add_argument(
        '--save-keys',
        nargs='+',
        default=['meta', 'state_dict'],
        help='parts of the checkpoint to keep (meta state_dict)',
    )
    parser.add_argument(
        '--half', action='store_true', help='weights in half precision, with .safetensors'
    )
    return parser.parse_args(argv)


def publish(in_file, out_file, save_keys, half=False):
    """Write the kept parts of a checkpoint.

    Args:
        in_file (str): The checkpoint; only data are read from it.
        out_file (str): The file, without the hash in its name.
        save_keys (list[str]): The parts.
        half (bool): Whether floating-point weights of a safetensors file have half precision.

    Returns:
        Path: The file with the first digits of its SHA-256.

    Raises:
        UserError: If the checkpoint lacks a part, or a safetensors file cannot hold the parts.
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
    is_safe = out.suffix == '.safetensors'
    if half and not is_safe:
        raise UserError('--half is for OUT.safetensors: a .pth keeps its precision')
    with atomic_write(out) as temporary:
        if is_safe:
            _save_weights(kept.pop('state_dict', {}), temporary, half)
        else:
            torch.save(kept, temporary)
    # of the file as written: torch.hub compares it with the name after a download
    digest = hashlib.sha256(out.read_bytes()).hexdigest()[:HASH_DIGITS]
    named = out.rename(out.with_name(f'{out.stem}-{digest}{out.suffix if is_safe else ".pth"}'))
    if is_safe:
        write_json(kept, named.with_suffix('.json'), indent=2)
    return named


def _save_weights(weights, path, half):
    from safetensors.torch import save_file

    kept = {}
    for name, weight in weights.items():
        weight = weight.half() if half and weight.is_floating_point() else weight
        # a tensor of its own: safetensors refuses parts of one
        kept[name] = weight.clone().contiguous()
    save_file(kept, path, metadata=dict(format='pt'))


@cli
def main(argv=None):
    args = parse_args(argv)
    print(f'wrote {publish(args.in_file, args.out_file, args.save_keys, args.half)}')


if __name__ == '__main__':
    main()
