"""The YAML files of the rows of a table: configs, options and seeds (docs/rows.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mmlesion.utils import UserError

_FILE_KEYS = {'seeds', 'reference', 'options', 'test_options', 'rows'}
_ROW_KEYS = {'config', 'of', 'load_from', 'options', 'test_options'}


@dataclass(frozen=True)
class Row:
    """A row of the table: how its runs are trained and tested.

    Args:
        name: Its name in the table.
        config: Its config file.
        trained_as: The row whose checkpoints are tested, mostly itself.
        options: ``--cfg-options`` of training and test.
        test_options: Those of the test alone.
        load_from: The row whose checkpoints, of the same seeds, its trainings begin
            with. Defaults to None, none.
    """

    name: str
    config: str
    trained_as: str
    options: dict = field(default_factory=dict)
    test_options: dict = field(default_factory=dict)
    load_from: str | None = None

    @property
    def needs(self) -> str | None:
        """str: The row that must be trained before, if there is one."""
        return self.load_from if self.trained_as == self.name else self.trained_as


class RowFile(NamedTuple):
    """The content of a file of rows.

    Args:
        rows: By name, in the order of the file.
        seeds: Of each row's runs.
        reference: Name of the row that the others are compared with.
    """

    rows: dict[str, Row]
    seeds: list[int]
    reference: str


def folder_name(row: str) -> str:
    """Return a row's name as a folder's that --cfg-options can hold: without spaces and slashes."""
    return re.sub(r'[^\w.+-]+', '-', row).strip('.-')


def read_rows(path: str | Path) -> RowFile:
    """Read a file of rows.

    Args:
        path: The YAML file.

    Returns:
        RowFile: Its rows, seeds and reference.

    Raises:
        UserError: If the file is not as docs/rows.md describes it.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f'{path} cannot be read: {" ".join(str(error).split())}') from None
    _check_keys(content, _FILE_KEYS, {'rows'}, str(path))
    if not isinstance(content['rows'], dict) or not content['rows']:
        raise UserError(f'{path} has no row under "rows"')
    rows: dict[str, Row] = {}
    for name, entry in content['rows'].items():
        if not isinstance(name, str):
            raise UserError(f'{path}: row {name} is no text to YAML: put its name in quotes')
        entry = {'config': entry} if isinstance(entry, str) else entry
        _check_keys(entry, _ROW_KEYS, set(), f'{path}: row {name}')
        rows[name] = _row(name, entry, content, rows, path)
    reference = content.get('reference', next(iter(rows)))
    if not isinstance(reference, str) or reference not in rows:
        raise UserError(f'{path}: reference {reference!r} is none of the rows {", ".join(rows)}')
    seeds = content.get('seeds', [0])
    if not are_seeds(seeds):
        raise UserError(f'{path}: seeds must be a list of different numbers from 0 on')
    return RowFile(rows, seeds, reference)


def are_seeds(seeds: Any) -> bool:
    """Return whether these are seeds of a row's runs: a run counted twice narrows its interval."""
    if not seeds or not isinstance(seeds, list):
        return False
    # not isinstance: YAML's true would be an int
    if not all(type(seed) is int and seed >= 0 for seed in seeds):
        return False
    return len(set(seeds)) == len(seeds)


def _check_keys(entry: Any, known: set[str], needed: set[str], where: str) -> None:
    if not isinstance(entry, dict) or not entry:
        raise UserError(f'{where} must have keys, of {", ".join(sorted(known))}')
    if unknown := sorted(set(map(str, entry)) - known):
        raise UserError(f'{where}: unknown {", ".join(unknown)}; known: {", ".join(sorted(known))}')
    if missing := sorted(needed - set(entry)):
        raise UserError(f'{where} has no {", ".join(missing)}')


def _check_kind(where: Mapping[str, Any], key: str, path: str | Path, name: str) -> None:
    kind, what = (dict, 'a dictionary') if key.endswith('options') else (str, 'text')
    if not isinstance(where.get(key, kind()), kind):
        raise UserError(f'{path}: row {name}: {key} is {where[key]!r:.80}: give {what}')


def _row(
    name: str,
    entry: Mapping[str, Any],
    content: Mapping[str, Any],
    rows: Mapping[str, Row],
    path: str | Path,
) -> Row:
    """Return the row of an entry, with the options that all rows have before its own."""
    if ('config' in entry) == ('of' in entry):
        raise UserError(f'{path}: row {name} needs one of config and of')
    # two names that differ only in spaces or slashes would share a folder
    if folder_name(name) in ('', *map(folder_name, rows)):
        raise UserError(f'{path}: row {name!r} becomes a folder: give it a name of its own')
    for key in ('options', 'test_options'):
        _check_kind(content, key, path, name)
    for key in entry:
        _check_kind(entry, key, path, name)
    other = entry.get('of')
    if other is not None and (other not in rows or 'options' in entry):
        raise UserError(
            f'{path}: row {name} is "of" {other!r}: that must be a row before it, whose options '
            'it has; give test_options alone'
        )
    load_from = entry.get('load_from')
    if load_from is not None and (load_from not in rows or other is not None):
        raise UserError(
            f'{path}: row {name} has load_from {load_from!r}: that must be a row before it, and '
            'the row must have a config of its own'
        )
    base = rows[other] if other else None
    config = base.config if base else entry['config']
    if not Path(config).is_file():
        raise UserError(f'{path}: row {name}: there is no config {config}')
    # later ones win: a row's own options override those of all rows
    options = base.options if base else {**content.get('options', {}), **entry.get('options', {})}
    tested = {**content.get('test_options', {}), **entry.get('test_options', {})}
    trained_as = base.trained_as if base else name
    return Row(name, config, trained_as, options, tested, load_from)
