"""What converters share: what is skipped, and splitting by patients."""

import numpy as np

from mmlesion.utils import UserError


def add_skip_options(parser, unit):
    """Add the options about what cannot be converted to an ``ArgumentParser``.

    Args:
        parser (ArgumentParser): It gets ``--strict`` and ``--allow-skipped``.
        unit (str): What the converter calls what it converts, such as 'case'.
    """
    parser.add_argument(
        '--strict', action='store_true', help=f'stop at the first {unit} that cannot be used'
    )
    parser.add_argument(
        '--allow-skipped',
        type=int,
        default=0,
        metavar='N',
        help=f'exit with status 0 if at most N {unit}s cannot be used (0)',
    )


def check_skipped(skipped, total, allowed, unit, named):
    """End a converter with an error that has skipped more than was allowed.

    Args:
        skipped (int): How many could not be used.
        total (int): Of how many.
        allowed (int): The option ``--allow-skipped``.
        unit (str): As in :func:`add_skip_options`.
        named (str | Path): Where they are named.

    Raises:
        UserError: If so. What could be converted has been written by then.
    """
    if skipped > allowed:
        raise UserError(
            f'{skipped} of {total} {unit}s were skipped, and the rest is converted: see {named}, '
            f'mend them and run the same command again, or give --allow-skipped {skipped}'
        )


def split_patients(patients, seed, val_share, test_share=0.2):
    """Split patients by chance: the test part does not depend on the validation part's size.

    Args:
        patients (Sequence): They are sorted first.
        seed (int): Of the chance.
        val_share (float): Of all patients, rounded up.
        test_share (float): Of all patients, rounded up.

    Returns:
        dict[str, list]: Of 'train', 'val' and 'test'.
    """
    patients = sorted(patients)
    order = np.random.default_rng(seed).permutation(len(patients))
    counts = np.ceil(np.multiply(len(patients), [test_share, val_share]).round(6)).astype(int)
    test, val, train = np.split(order, np.cumsum(counts))
    parts = {'train': train, 'val': val, 'test': test}
    return {name: [patients[i] for i in sorted(part)] for name, part in parts.items()}
