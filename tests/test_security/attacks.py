"""Attacks on whoever loads files: made by code, counted, and run in processes of their own.

python tests/test_security/attacks.py --count   # each attack on checkpoints, and how it ended
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import attack_checkpoints

from mmlesion.utils import UserError

GIB = 1 << 30
SECONDS = 120


class Corpus(NamedTuple):
    """Hostile files by name, and what they aim at."""

    files: dict
    effects: Path
    victim: Path

    @classmethod
    def write(cls, folder):
        """Write all hostile checkpoints."""
        effects, victim = folder / 'effects', folder / 'victim'
        effects.mkdir()
        victim.write_text('')
        victim.chmod(0o644)
        warnings.simplefilter('ignore')  # torch's, of TorchScript
        return cls(
            attack_checkpoints.write_all(folder, effects / 'canary', victim), effects, victim
        )

    def is_untouched(self):
        """Whether no attack had an effect."""
        return not list(self.effects.iterdir()) and self.victim.stat().st_mode & 0o777 == 0o644


def _load_all(load, files, folder, sender):
    os.chdir(folder)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * GIB, most))
    for path in files:
        try:
            sender.send(f'loaded {type(load(str(path))).__name__}')
        except UserError as error:
            sender.send(f'UserError: {error}')
        except BaseException as error:
            sender.send(f'{type(error).__name__}: {str(error)[:200]}')


def outcomes(load, files, folder, seconds=SECONDS):
    """Load files in a process of their own, a new one after each that ends it.

    Returns:
        dict[str, str]: How each load ended, by the file's name.
    """
    context, names, said = multiprocessing.get_context('fork'), list(files), {}
    while len(said) < len(names):
        left = [files[name] for name in names[len(said) :]]
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_load_all, args=(load, left, folder, sender))
        child.start()
        sender.close()
        for name in names[len(said) :]:
            try:
                said[name] = receiver.recv() if receiver.poll(seconds) else 'hangs'
            except EOFError:
                child.join()
                said[name] = f'died of signal {-child.exitcode}'
            if said[name].startswith(('hangs', 'died')):
                break
        child.kill()
        child.join()
    return said


def kind_of(outcome):
    """Name the kind of an outcome."""
    return outcome.split(':')[0]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--count', action='store_true', help='the default')
    parser.parse_args()
    from mmlesion.engine import load_from_local

    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus.write(Path(folder))
        said = outcomes(load_from_local, corpus.files, corpus.effects)
        for name, outcome in said.items():
            print(f'{name:40} {ascii(outcome)[1:120]}')
        for kind, count in Counter(map(kind_of, said.values())).most_common():
            print(f'{count:4} {kind}')
        print(f'{len(said):4} in all; effects: {"none" if corpus.is_untouched() else "FOUND"}')


if __name__ == '__main__':
    sys.exit(main())
