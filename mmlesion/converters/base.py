"""Shared parts of all converters: runs, skipped cases, splits and reports."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
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

    def convert(
        self, convert: Callable, cases: Sequence, name: str
    ) -> tuple[dict[str, Any], list[Skipped]]:
        """Convert cases in several processes.

        Args:
            convert: Takes a case and returns its result. Its :class:`UserError` is of
                this case alone.
            cases: Each has a ``name``.
            name: The benchmark's, for the progress bar.

        Returns:
            tuple[dict, list]: Results by the case's name in the order of the cases, and why the
            others were skipped.

        Raises:
            UserError: If no case can be used; with ``strict``, if one cannot.
        """
        attempt = partial(_attempt, convert=convert, run=self)
        done = run_parallel(attempt, cases, self.workers, name, self.unit, resumable=True)
        results = {}
        skipped: list[Skipped] = []
        for case, result in zip(cases, done):
            if isinstance(result, Skipped):
                skipped.append(result)
            else:
                results[case.name] = result
        if skipped and not results:
            self.refuse_all(skipped)
        return results, skipped

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

    def finish(
        self,
        files: Mapping[str, dict],
        skipped: Sequence[Skipped],
        rows: Sequence[Sequence],
        left_out: Mapping[str, int],
        total: int,
        printed: int | None = None,
    ) -> None:
        """Write the files, print what is in them and what is not, and :meth:`check` that.

        Args:
            files: COCO or volumes by file name.
            skipped: What could not be used.
            rows: Of the table of the files' content, the first one its header.
            left_out: How many units are in no file, by the reason.
            total: How many units there were.
            printed: How many of each kind of ``skipped`` are printed. Defaults to None, all.
        """
        # Written before anything is printed: an error of the report costs no result.
        self.write(files, skipped)
        print_skipped(skipped, printed, listed=self.skipped_file)
        print(AsciiTable(rows).table)
        reasons = [[reason, count] for reason, count in left_out.items() if count]
        header = ['left out', f'{self.unit}s']
        print(AsciiTable([header, *reasons]).table if reasons else f'No {self.unit} was left out.')
        for name, content in files.items():
            kind = 'volume' if 'volumes' in content else 'image'
            if not content[f'{kind}s']:
                print(f'warning: {name} has no {kind}', file=sys.stderr)
        self.check(len(skipped), total)

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


def _attempt(case: Case, convert: Callable[[Case], Any], run: Run) -> Any:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # as there are several processes
    # A file that cannot be used ends its own case; anything else is a defect, and ends the run.
    try:
        return convert(case)
    except UserError as error:
        return run.skip(str(error))


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
    parts = np.split(order, np.cumsum(counts))
    patients = sorted(patients)
    picked = {}
    for name, part in zip(('test', 'val', 'train'), parts):
        picked[name] = [patients[place] for place in np.sort(part)]
    return {split: picked[split] for split in SPLITS}


@dataclass(frozen=True)
class SplitRun(Run):
    """A run whose cases are split, if the benchmark does not define the splits.

    Attributes:
        seed: Random seed.
        val_share: Of all patients, for validation.
        test_share: Of all patients, for testing; 0 leaves the test split out.
        folds: Folds of cross-validation instead; 0 for none.

    Raises:
        UserError: If an option makes no sense.
    """

    seed: int = 0
    val_share: float = 0.2
    test_share: float = 0.0
    folds: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range('--seed', self.seed, 0)
        if not 0 <= self.test_share <= 1:
            raise UserError(f'--test-share is {self.test_share}: give 0 to 1')
        if not 0 <= self.val_share <= 1 - self.test_share:
            highest = 1 - self.test_share
            raise UserError(f'--val-share is {self.val_share}: give 0 to {highest:.2g}')
        if self.folds < 0 or self.folds == 1:
            raise UserError(f'--folds is {self.folds}: give at least 2')

    def split(self, cases: Sequence[Case]) -> dict[str | int, list[str]]:
        """Return the cases of each split; all scans of a patient are in the same one.

        Args:
            cases: The cases, all or none of which have an official ``split``.

        Returns:
            dict[str | int, list[str]]: By split, or by the fold's number from 0.

        Raises:
            UserError: If some cases have an official split and others none, or there are too few
                patients for the folds.
        """
        if any(case.split is not None for case in cases):
            return _official(cases)
        # A scan of no known patient is a patient of its own.
        of_patient: dict[str, list[str]] = {}
        for case in cases:
            of_patient.setdefault(case.patient or case.name, []).append(case.name)
        patients = sorted(of_patient)
        parts: dict[Any, list]
        if self.folds > len(patients):
            raise UserError(f'--folds is {self.folds}, but there are {len(patients)} patients')
        if self.folds:
            order = np.random.default_rng(self.seed).permutation(len(patients))
            parts = {}
            for fold, places in enumerate(np.array_split(order, self.folds)):
                parts[fold] = [patients[place] for place in np.sort(places)]
        else:
            parts = split_patients(patients, self.seed, self.val_share, self.test_share)
            if not self.test_share:
                del parts['test']
        return {
            name: [case for patient in part for case in of_patient[patient]]
            for name, part in parts.items()
        }


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
