"""Resumable work: a later run continues where an earlier one stopped.

What work is made of identifies it: a JSON value of its sources and options, or a digest of them. A
:class:`Record` is the file of finished work, a :class:`Store` a folder of the finished parts of
work. Files are written whole or not at all; what is damaged counts as not finished; and what is of
other work is made again or refused, never taken for this one's.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mmlesion.utils import UserError

from .atomic import atomic_write
from .itk import image_files
from .json_files import parse_json, read_json, to_json, write_json


class Record:
    """JSON file of finished work: what it was made of, and what came of it.

    Args:
        path: The file.
        made_of: What identifies the work, as JSON can hold it.
    """

    def __init__(self, path: str | Path, made_of: Any) -> None:
        self.path = Path(path)
        # as it is read again: with lists for tuples
        self.made_of = parse_json(to_json(made_of), path)

    def content(self) -> dict | None:
        """Return what the file holds, of whatever work; None if it is missing or damaged."""
        try:
            content = read_json(self.path)
        except UserError:
            return None
        return content if isinstance(content, dict) and 'made_of' in content else None

    def resume_from(self, refusal: str | None = None) -> dict | None:
        """Return what an earlier run of the same work has recorded.

        Args:
            refusal: Error message for a record of other work. Defaults to None:
                it does not count, as if there were no record.

        Returns:
            dict | None: None if there is nothing to resume.

        Raises:
            UserError: If other work is refused.
        """
        content = self.content()
        # a damaged record is as good as none: the work is done again
        if content is None or content['made_of'] == self.made_of:
            return content
        if refusal is not None:
            raise UserError(refusal)
        return None

    def save(self, **content: Any) -> None:
        """Write the record, which says that the work is finished.

        Raises:
            OutputError: If it cannot be written.
        """
        write_json({'made_of': self.made_of, **content}, self.path)


class Form(NamedTuple):
    """File format of the parts in a :class:`Store`.

    Args:
        suffix: Of their names.
        write: Takes a part and its path.
        read: Takes a path and, for the :class:`UserError` of a damaged file, advice.
        is_whole: Takes the path of a file that exists, and returns quickly.
    """

    suffix: str
    write: Callable[[Any, Path], None]
    read: Callable[..., Any]
    is_whole: Callable[[Path], bool]


def _is_json(path: Path) -> bool:
    try:
        read_json(path)
    except UserError:
        return False
    return True


def write_arrays(arrays: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Write arrays by name, compressed.

    Raises:
        OutputError: If they cannot be written.
    """
    named: dict[str, Any] = dict(arrays)
    with atomic_write(path) as temporary:
        np.savez_compressed(temporary, **named)


def read_arrays(
    path: str | Path,
    names: Collection[str] = (),
    what: str = 'a file of arrays',
    advice: str = 'write it anew',
) -> dict[str, np.ndarray]:
    """Read arrays by name.

    Args:
        path: The file.
        names: Arrays that it must have.
        what: What the file is, for the error message.
        advice: What to do about one that cannot be used.

    Raises:
        UserError: If the file is missing, damaged or of another format, or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except FILE_ERRORS as error:
        raise UserError(f'{path} is not {what} ({error}): {advice}') from None
    if missing := [name for name in names if name not in arrays]:
        raise UserError(f'{path} is not {what} (it has no {", ".join(missing)}): {advice}')
    return arrays


JSON = Form('.json', write_json, read_json, _is_json)
# an archive's directory is at its end, so that a file that was cut off has none
ARRAYS = Form('.npz', write_arrays, read_arrays, zipfile.is_zipfile)


class Store:
    """Finished parts of work, a file each, in a folder with a record of what they are made of.

    Several processes may save different parts.

    Args:
        folder: It is made, or resumed if it belongs to the same work.
        made_of: What identifies the work, as JSON can hold it.

    Attributes:
        form: Of the parts.
        holds: What the parts are, for messages.
        refusal: What to tell of the folder of other work, after its name.

    Raises:
        UserError: If the folder is of other work, or does not tell.
        OutputError: If it cannot be written.
    """

    form: ClassVar[Form] = JSON
    holds: ClassVar[str] = 'results'
    refusal: ClassVar[str] = 'holds results of other work: delete it to start again'

    def __init__(self, folder: str | Path, made_of: Any) -> None:
        self.folder = Path(folder)
        self.record = _record_of(folder, made_of)
        if self.record.resume_from(f'{folder} {self.refusal}') is not None:
            return
        if any(self._paths()):
            raise UserError(
                f'{self.record.path} is missing or damaged, so that it is unknown what the files '
                f'beside it are made of: delete {folder} to start again'
            )
        self.record.save()

    @classmethod
    def open(cls, folder: str | Path) -> Store:
        """Open what an earlier run has finished, whatever it is made of.

        Raises:
            UserError: If there is no such work.
        """
        record = _record_of(folder, None)
        content = record.content()
        if content is None:
            raise UserError(
                f'{folder} holds no {cls.holds}: there is no whole {record.path.name} in it'
            )
        return cls(folder, content['made_of'])

    def path(self, name: str) -> Path:
        """Return the file of a part."""
        # names of cases may be paths, but parts lie in one folder
        return self.folder / f'{name.replace("/", "--")}{self.form.suffix}'

    def is_finished(self, name: str) -> bool:
        """Return whether a part is there and not damaged."""
        path = self.path(name)
        return path.is_file() and self.form.is_whole(path)

    def save(self, name: str, part: Any) -> None:
        """Write a part.

        Raises:
            OutputError: If it cannot be written.
        """
        self.form.write(part, self.path(name))

    def load(self, name: str) -> Any:
        """Read a part.

        Raises:
            UserError: If it is missing or damaged.
        """
        return self.form.read(self.path(name), advice='delete it, and run the same command again')

    def parts(self) -> Iterator[Any]:
        """Yield the parts that are finished and not damaged, in the order of their names."""
        for path in sorted(self._paths()):
            try:
                yield self.form.read(path)
            except UserError:
                continue

    def remove(self) -> None:
        """Delete the folder when its parts have been put together, or when it has none."""
        # The record goes last: parts without one would be of unknown work.
        for path in self._paths():
            path.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def is_empty(self) -> bool:
        """Return whether there is no part."""
        return not any(self._paths())

    def _paths(self) -> Iterator[Path]:
        """Yield the files of parts; a hidden one was being written when its process was killed."""
        for path in self.folder.glob(f'*{self.form.suffix}'):
            if path != self.record.path and not path.name.startswith('.'):
                yield path


def _record_of(folder: str | Path, made_of: Any) -> Record:
    return Record(Path(folder) / 'run.json', made_of)


def convert_once(
    record: Path,
    sources: Sequence[Path],
    options: Any,
    convert: Callable[[], Any],
    is_whole: Callable[[Any], bool] | None = None,
) -> Any:
    """Convert a volume, or take what an earlier run has made of the same files and options.

    Args:
        record: JSON file of a :class:`Record`; it is written when ``convert`` is through.
        sources: The volume's files; of an MHD file the one with its voxels counts
            too.
        options: How it is converted, a dataclass.
        convert: Takes nothing, writes slices or a volume and returns their description.
        is_whole: Takes what a record has for such a description, and says
            whether it is one and what it describes still there. Defaults to None, it is.

    Returns:
        list[dict] | dict: What ``convert`` returned.
    """
    # changed files or options make another record, so that the volume is converted again
    kept = Record(record, {**file_states(sources), 'options': asdict(options)})
    done = kept.resume_from()
    if done is not None and 'images' in done and (is_whole is None or is_whole(done['images'])):
        return done['images']
    images = convert()
    kept.save(images=images)
    return images


def file_states(sources: Sequence[Path]) -> dict[str, list[int]]:
    """Return size and time of change of files, by which a later run knows them again."""
    states = {}
    for path in chain.from_iterable(map(image_files, sources)):
        state = path.stat()
        # by the folder's and the file's name, so that a moved data set is known again
        states['/'.join(path.parts[-2:])] = [state.st_size, state.st_mtime_ns]
    return states


def volume_digest(path: str | Path) -> str:
    """Return a digest of the names, sizes and times of change of a volume's files.

    Args:
        path: An image, or the folder of a DICOM series.

    Raises:
        UserError: If there is no such file.
    """
    path = Path(path)
    files = sorted(one for one in path.rglob('*') if one.is_file()) if path.is_dir() else [path]
    try:
        states = file_states(files)
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror}') from None
    return sha256(to_json(states, sort_keys=True).encode()).hexdigest()


# of a missing file, an empty one, no archive, a single array, a cut off or a damaged archive
FILE_ERRORS = (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zlib.error)
