"""Shared parts of all converters: runs, skipped cases, splits and reports."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np
import SimpleITK as sitk
from terminaltables import AsciiTable

from mmlesion.io.atomic import atomic_write
from mmlesion.io.json_files import write_json_text
from mmlesion.utils import UserError, check_range, printable, run_parallel

SPLITS = ('train', 'val', 'test')


class Case(NamedTuple):
    """A scan to convert.

    Args:
        name: Of its files in the converted dataset.
        sources: The files that it is made of.
        findings: Its lesions, where a list for all scans has them.
        patient: Whose scan it is. Defaults to None, its own.
        split: The official split, or fold. Defaults to None, there is none.
    """

    name: str
    sources: tuple
    findings: tuple = ()
    patient: str | None = None
    split: str | int | None = None


class Skipped(NamedTuple):
    """Something that cannot be used.

    Args:
        message: What is wrong with it.
        kind: What it is counted under.
    """

    message: str
    kind: str = 'unusable'


class Converted(NamedTuple):
    """Outcome of a case: its result, or the reason why there is none.

    Args:
        name: The case's.
        result: Its images, or its volume's entry.
        skipped: Why it cannot be used.
    """

    name: str
    result: Any = None
    skipped: Skipped | None = None


@dataclass(frozen=True)
class Run:
    """Options of a conversion run.

    Attributes:
        out: Folder of the converted dataset.
        unit: What is converted one by one, such as 'case'.
        workers: Processes.
        strict: Whether the first unit that cannot be used is an error.
        allow_skipped: How many units may be skipped without an error at the end.
        consequence: What becomes of units that cannot be used, for messages.
    """

    out: str | Path
    unit: str = 'case'
    workers: int = 1
    strict: bool = False
    allow_skipped: int = 0
    consequence: str = 'are skipped'

    def __post_init__(self) -> None:
        check_range('--workers', self.workers, 1)
        check_range('--allow-skipped', self.allow_skipped, 0)

    @property
    def skipped_file(self) -> Path:
        """Path: File that lists skipped cases."""
        return Path(self.out, 'skipped.txt')

    def skip(self, message: str, kind: str = Skipped._field_defaults['kind']) -> Skipped:
        """Return the record of something that cannot be used.

        Raises:
            UserError: With ``strict``.
        """
        if self.strict:
            raise UserError(f'{message}. Without --strict such {self.unit}s {self.consequence}')
        return Skipped(message, kind)

    def convert(self, convert: Callable, cases: Sequence, name: str) -> list[Converted]:
        """Convert cases in several processes.

        Args:
            convert: Takes a case and returns its result. Its :class:`UserError` is of
                this case alone.
            cases: Each has a ``name``.
            name: The benchmark's, for the progress bar.

        Returns:
            list[Converted]: In the order of the cases.

        Raises:
            UserError: If no case can be used; with ``strict``, if one cannot.
        """
        attempt = partial(_attempt, convert=convert, run=self)
        done = run_parallel(attempt, cases, self.workers, name, self.unit, resumable=True)
        skipped = skipped_of(done)
        if skipped and len(skipped) == len(done):
            self.refuse_all(skipped)
        return done

    def refuse_all(self, skipped: Sequence[Skipped]) -> None:
        """Raise :class:`UserError`, as nothing can be used."""
        raise UserError(f'no {self.unit} can be used; the first: {skipped[0].message}')

    def write(self, files: Mapping[str, dict], skipped: Sequence[Skipped]) -> None:
        """Write JSON files, all or none, and ``skipped.txt``, which names all that is skipped.

        Args:
            files: Contents by file name.
            skipped: If there is none, there is no ``skipped.txt``.
        """
        # The stack renames the files to their names only when the last one is whole.
        with ExitStack() as stack:
            for name, content in files.items():
                path = stack.enter_context(atomic_write(Path(self.out, name)))
                write_json_text(content, path)
            if skipped:
                path = stack.enter_context(atomic_write(self.skipped_file))
                lines = (f'{printable(one.message)}\n' for one in skipped)
                path.write_text(''.join(lines), encoding='utf-8')
        if not skipped:
            self.skipped_file.unlink(missing_ok=True)

    def check(self, skipped: int, total: int, named: str | Path | None = None) -> None:
        """Raise an error if more cases were skipped than allowed.

        Args:
            skipped: How many units could not be used.
            total: Of how many.
            named: Where they are named. Defaults to ``skipped.txt``.

        Raises:
            UserError: If so. What could be converted has been written by then.
        """
        if skipped > self.allow_skipped:
            raise UserError(
                f'{skipped} of {total} {self.unit}s were skipped, and the rest is converted: see '
                f'{named or self.skipped_file}, mend them and run the same command again, or give '
                f'--allow-skipped {skipped}'
            )


def _attempt(case: Case, convert: Callable[[Case], Any], run: Run) -> Converted:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # as there are several processes
    # A file that cannot be used ends its own case; anything else is a defect, and ends the run.
    try:
        return Converted(case.name, convert(case))
    except UserError as error:
        return Converted(case.name, skipped=run.skip(str(error)))


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Prefix the message of a :class:`UserError` in the block with its subject."""
    try:
        yield
    except UserError as error:
        raise UserError(f'{name}: {error}') from None


def split_patients(
    patients: Sequence, seed: int, val_share: float, test_share: float = 0.2
) -> dict[str, list]:
    """Split patients at random; the test split does not depend on ``val_share``.

    Args:
        patients: They are sorted first.
        seed: Random seed.
        val_share: Of all patients, rounded up.
        test_share: Of all patients, rounded up.

    Returns:
        dict[str, list]: Of 'train', 'val' and 'test'.
    """
    order = np.random.default_rng(seed).permutation(len(patients))
    # Rounded first: 0.1 * 30 is a little more than 3, which ceil would make 4.
    counts = np.ceil(np.multiply(len(patients), [test_share, val_share]).round(6)).astype(int)
    # The test part is cut off first: the same patients, whatever val_share is.
    test, val, train = np.split(order, np.cumsum(counts))
    return _pick(patients, {'train': train, 'val': val, 'test': test})


def split_folds(patients: Sequence, seed: int, folds: int) -> dict[int, list]:
    """Split patients at random into folds of nearly the same size.

    Args:
        patients: They are sorted first.
        seed: Random seed.
        folds: How many.

    Returns:
        dict[int, list]: By the fold's number from 0.
    """
    order = np.random.default_rng(seed).permutation(len(patients))
    return _pick(patients, dict(enumerate(np.array_split(order, folds))))


def _pick(patients: Sequence, parts: Mapping[Any, np.ndarray]) -> dict[Any, list]:
    """Return the sorted patients of each part, whose numbers are places in sorted order."""
    patients = sorted(patients)
    picked = {}
    for name, numbers in parts.items():
        picked[name] = [patients[number] for number in np.sort(numbers)]
    return picked


@dataclass(frozen=True)
class Split:
    """Assignment of cases to splits or folds, if the benchmark does not define it.

    Attributes:
        seed: Random seed.
        val_share: Of all patients, for validation.
        test_share: Of all patients; 0 leaves the test split out.
        folds: Folds of cross-validation instead; 0 for none.

    Raises:
        UserError: If an option makes no sense.
    """

    seed: int = 0
    val_share: float = 0.2
    test_share: float = 0.0
    folds: int = 0

    def __post_init__(self) -> None:
        check_range('--seed', self.seed, 0)
        if not 0 <= self.test_share <= 1:
            raise UserError(f'--test-share is {self.test_share}: give 0 to 1')
        if not 0 <= self.val_share <= 1 - self.test_share:
            highest = 1 - self.test_share
            raise UserError(f'--val-share is {self.val_share}: give 0 to {highest:.2g}')
        if self.folds < 0 or self.folds == 1:
            raise UserError(f'--folds is {self.folds}: give at least 2')

    def names(self, cases: Sequence[Case]) -> dict[str | int, list[str]]:
        """Return the cases of each split; all scans of a patient are in the same one.

        Args:
            cases: The cases, all or none of which have an official ``split``.

        Returns:
            dict[str | int, list[str]]: By split, or by fold.

        Raises:
            UserError: If some cases have an official split and others none, or there are too few
                patients for the folds.
        """
        # A scan of no known patient is a patient of its own.
        of_patient: dict[str, list[str]] = {}
        for case in cases:
            of_patient.setdefault(case.patient or case.name, []).append(case.name)
        if any(case.split is not None for case in cases):
            return _official(cases)
        parts: dict[Any, list]
        if not self.folds:
            parts = split_patients(list(of_patient), self.seed, self.val_share, self.test_share)
            if not self.test_share:
                del parts['test']
        elif self.folds > len(of_patient):
            raise UserError(f'--folds is {self.folds}, but there are {len(of_patient)} patients')
        else:
            parts = split_folds(list(of_patient), self.seed, self.folds)
        members = {}
        for split, patients in parts.items():
            members[split] = list(chain.from_iterable(map(of_patient.__getitem__, patients)))
        return members


def _official(cases: Sequence[Case]) -> dict[str | int, list[str]]:
    """Return names by official split: 'train', 'val' and 'test' first, then others in order."""
    members: dict[str | int, list[str]] = {}
    for case in cases:
        if case.split is None:
            raise UserError(
                f'{case.name} has no split, but others have: give all of them one, or none'
            )
        members.setdefault(case.split, []).append(case.name)
    order: list[str | int] = [split for split in SPLITS if split in members]
    order += sorted(members.keys() - set(order), key=str)
    return {split: members[split] for split in order}


def print_skipped(
    skipped: Sequence[Skipped],
    limit: int | None = None,
    what: str = 'skipped',
    listed: Path | None = None,
) -> None:
    """Print the skipped cases to stderr.

    Args:
        skipped: What was skipped.
        limit: Of each kind so many are printed. Defaults to None, all.
        what: How a line begins.
        listed: Where all are named, which is said if some are not printed.
    """
    kinds: Counter[str] = Counter()
    for one in skipped:
        kinds[one.kind] += 1
        if limit is None or kinds[one.kind] <= limit:
            print(printable(f'{what}: {one.message}'), file=sys.stderr)
    if listed and limit is not None and max(kinds.values(), default=0) > limit:
        print(f'{what}: ... all are in {listed}', file=sys.stderr)


def print_left_out(left_out: Mapping[str, int], unit: str) -> None:
    """Print a table of how many units were left out and why."""
    rows = [['left out', f'{unit}s'], *left_out.items()]
    print(AsciiTable(rows).table if len(rows) > 1 else f'No {unit} was left out.')


def warn_of_empty(files: Mapping[str, dict], content: str = 'image') -> None:
    """Warn about annotation files without an image, or volume, on stderr."""
    for name, coco in files.items():
        if not coco[f'{content}s']:
            print(f'warning: {name} has no {content}', file=sys.stderr)


def skipped_of(done: Iterable[Converted]) -> list[Skipped]:
    """Return why cases were skipped, of those that were."""
    return [one.skipped for one in done if one.skipped]


def by_name(items: Iterable[Any]) -> dict[str, Any]:
    """Return cases, or what became of them, by their name."""
    return {item.name: item for item in items}


def count_kinds(skipped: Iterable[Skipped]) -> Counter:
    """Count what was skipped by its kind."""
    return Counter(one.kind for one in skipped)
