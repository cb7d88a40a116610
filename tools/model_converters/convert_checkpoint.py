"""Convert a trusted checkpoint that mmlesion refuses: from before torch 1.6, or TorchScript.

The file is loaded by torch.load, which RUNS WHATEVER THE FILE SAYS. Give --trust only for a file
whose maker you trust, and which came to you unchanged.
"""

import argparse
import os
import pickle

from mmlesion.io.atomic import atomic_write
from mmlesion.utils import UserError, cli


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', help='input file')
    parser.add_argument('out', help='output file, such as vgg19.pth')
    parser.add_argument('--trust', action='store_true', help='execute the code in the file')
    return parser.parse_args(argv)


def load_trusted(path):
    """Load a checkpoint with all its code.

    Args:
        path (str): The file.

    Returns:
        dict: The checkpoint, or the weights of the module or program that it is.

    Raises:
        UserError: If torch cannot read it, or it is something else.
    """
    import torch

    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=False)
    except (OSError, RuntimeError, EOFError, ImportError, AttributeError) as error:
        raise UserError(f'torch cannot read {path}: {error}') from None
    except pickle.UnpicklingError as error:
        raise UserError(f'{path} is not a checkpoint of torch.save: {error}') from None
    if isinstance(checkpoint, torch.nn.Module):
        checkpoint = checkpoint.state_dict()
    if not isinstance(checkpoint, dict):
        raise UserError(f'{path} holds a {type(checkpoint).__name__}, not a checkpoint')
    return checkpoint


@cli
def main(argv=None):
    args = parse_args(argv)
    if not args.trust:
        raise UserError(
            f'loading {args.checkpoint} may run code in it: give --trust if you trust its origin'
        )
    if os.path.exists(args.out):
        raise UserError(f'{args.out} exists: name another file')
    checkpoint = load_trusted(args.checkpoint)
    write_checkpoint(checkpoint, args.out)
    print(f'wrote {args.out}')


def write_checkpoint(checkpoint, out):
    """Write a checkpoint that mmlesion can read.

    Args:
        checkpoint (dict): What :func:`load_trusted` returns.
        out (str): The file.

    Raises:
        UserError: If it cannot be written, or not be read again.
    """
    import torch

    from mmlesion.engine import load_from_local

    try:
        with atomic_write(out) as partial:
            with open(partial, 'wb') as file:  # by a name, torch refuses those without a suffix
                torch.save(checkpoint, file)
            # raises if mmlesion would not read it either: nothing is left then
            load_from_local(str(partial))
    except OSError as error:
        raise UserError(f'{out}: {error.strerror}; name another output file') from None


if __name__ == '__main__':
    main()
