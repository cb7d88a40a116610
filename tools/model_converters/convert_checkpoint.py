"""Convert a checkpoint that mmlesion refuses, such as a module or TorchScript, to its weights.

A file of tensors alone is read without running anything. Any other needs --trust: torch.load then
RUNS WHATEVER THE FILE SAYS. Give it only for a file whose maker you trust, and which came to you
unchanged.
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
    parser.add_argument(
        '--trust', action='store_true', help='execute the code in the file, if it needs that'
    )
    return parser.parse_args(argv)


def load(path, trust):
    """Load a checkpoint, with all its code if that is needed and it is trusted.

    Args:
        path (str): The file.
        trust (bool): Whether its code may run.

    Returns:
        dict: The checkpoint, or the weights of the module or program that it is.

    Raises:
        UserError: If torch cannot read it, it is something else, or needs trust.
    """
    import torch

    try:
        checkpoint = load_data(path)
        if checkpoint is None and not trust:
            raise UserError(
                f'loading {path} may run code in it: give --trust if you trust its origin'
            )
        if checkpoint is None:
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


def load_data(path):
    """Return the content of a checkpoint that is data alone; None of any other."""
    import torch

    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except OSError:
        raise
    except Exception:  # what a damaged pickle raises is anything
        return None


@cli
def main(argv=None):
    args = parse_args(argv)
    if os.path.exists(args.out):
        raise UserError(f'{args.out} exists: name another file')
    checkpoint = load(args.checkpoint, args.trust)
    write_checkpoint(checkpoint, args.out)
    print(f'wrote {args.out}')


def write_checkpoint(checkpoint, out):
    """Write a checkpoint that mmlesion can read.

    Args:
        checkpoint (dict): What :func:`load` returns.
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
