"""Tables of cases: boxes of their lesions, whose scans they are, and their official split."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from operator import lt
from pathlib import Path
from typing import Any, NamedTuple

from mmlesion.io.checks import is_plain_name
from mmlesion.utils import UserError

COORDINATES = ('x1', 'y1', 'z1', 'x2', 'y2', 'z2')


class ListedBox(NamedTuple):
    """The box of a lesion in a table.

    Args:
        class_name: Its class, 'lesion' where the table has none.
        box: x1, y1, z1, x2, y2, z2.
    """

    class_name: str
    box: list


@dataclass
class ListedCase:
    """The rows of a table that are of one case.

    Attributes:
        patient: Whose scan it is.
        split: Its official split or, if it is a number, fold.
        boxes: Its lesions.
    """

    patient: str | None = None
    split: str | int | None = None
    boxes: list = field(default_factory=list)


def read_case_table(path: str | Path, with_boxes: bool) -> dict[str, ListedCase]:
    """Read a CSV file with a header and the columns case, x1, y1, z1, x2, y2, z2.

    The columns class, patient and split are optional, and so are the boxes without ``with_boxes``.
    A row whose coordinates are empty names a case, and no lesion of it.

    Args:
        path: The file.
        with_boxes: Whether it must have the columns of boxes.

    Returns:
        dict[str, ListedCase]: By case, in the order of the file.

    Raises:
        UserError: If it cannot be read, lacks a column, or a row cannot be used.
    """
    cases: dict[str, ListedCase] = {}
    required = ('case',) + (COORDINATES if with_boxes else ())
    for number, row in _read_rows(path, required):
        where = f'{path}, line {number}'
        name = row['case']
        if not is_plain_name(name):
            raise UserError(f'{where}: the case {name!a:.80} is no name of a scan: give one')
        case = cases.setdefault(name, ListedCase())
        _set_once(case, 'patient', row.get('patient') or None, where)
        _set_once(case, 'split', _to_split(row.get('split', ''), where), where)
        if with_boxes and any(map(row.get, COORDINATES)):
            case.boxes.append(ListedBox(row.get('class') or 'lesion', _to_box(row, where)))
    if not cases:
        raise UserError(f'{path} lists no case: give a row for each lesion')
    return cases


def _read_rows(path: str | Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Return line number and cells by column, without blanks around them, of each row."""
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            reader = csv.DictReader(file, strict=True, restval='')
            reader.fieldnames = list(map(str.strip, reader.fieldnames or []))
            # line_num counts lines of the file, of which a quoted cell may have several
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'{path} cannot be read as CSV: {error}') from None
    missing = [column for column in columns if column not in reader.fieldnames]
    if missing:
        raise UserError(f'{path} has no column {", ".join(missing)}: its first line names them')
    stripped = []
    for number, row in rows:
        if None in row:  # the key of cells beyond the header
            raise UserError(f'{path}, line {number} has more cells than the first line')
        stripped.append((number, dict(zip(row, map(str.strip, row.values())))))
    return stripped


def _to_split(text: str, where: str) -> int | str | None:
    if text and not is_plain_name(text):
        raise UserError(f'{where}: the split {text!a:.80} is no name of a file: give one')
    return int(text) if text.isdecimal() else text or None


def _set_once(case: ListedCase, name: str, value: Any, where: str) -> None:
    """Set an attribute that all rows of a case must agree on; rows may leave it out."""
    # an empty cell neither sets a value nor contradicts one
    known = getattr(case, name)
    if None not in (known, value) and known != value:
        raise UserError(f'{where}: the {name} is {value}, but {known} in a row before')
    setattr(case, name, known if value is None else value)


def _to_box(row: Mapping[str, str], where: str) -> list[float]:
    cells = [row[column] for column in COORDINATES]
    try:
        box = list(map(float, cells))
    except ValueError:
        box = [math.nan]  # which the check below refuses
    if not all(map(math.isfinite, box)):
        raise UserError(f'{where}: the box is {", ".join(cells)}, not six numbers')
    if not all(starmap(lt, zip(box[:3], box[3:]))):
        raise UserError(f'{where}: the box {box} is not x1 < x2, y1 < y2 and z1 < z2')
    return box
