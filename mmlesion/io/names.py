"""Names that files give: as names of other files, and as cells of tables."""

from __future__ import annotations

import re

from mmlesion.utils import UserError

MAX_NAME = 200
"""Characters; file systems take names of 255 bytes."""
_NO_NAME = re.compile(r'[/\\\x00-\x1f\x7f]|^\.{0,2}$')
# what spreadsheets take for the beginning of a formula
_FORMULA = ('=', '+', '-', '@', '\t', '\r')


def is_plain_name(name: object) -> bool:
    """Return whether something is text that can name a file in any folder, and leads nowhere."""
    return isinstance(name, str) and len(name) <= MAX_NAME and not _NO_NAME.search(name)


def plain_name(name: object, where: str) -> str:
    """Return a name of an input file that an output file is to have.

    Args:
        name: The name.
        where: What has it, for the error message.

    Raises:
        UserError: If it leads to another folder, or is no name at all.
    """
    if not is_plain_name(name):
        raise UserError(
            f'{where} has the name {str(name)!a:.80}: one without slashes is needed, as files are '
            'named by it'
        )
    return str(name)


def text_cell(text: str) -> str:
    """Return text for a cell of a CSV report that a spreadsheet shows, and does not compute."""
    # a leading apostrophe makes spreadsheets show the rest as text
    return f"'{text}" if text.startswith(_FORMULA) else text


def name_cell(name: object, where: str) -> str:
    """Return a name for a cell of a CSV file that programs read, which need it unchanged.

    Args:
        name: The name.
        where: What has it, for the error message.

    Raises:
        UserError: If a spreadsheet would compute it.
    """
    if str(name).startswith(_FORMULA):
        raise UserError(
            f'{where} has the name {str(name)!a:.80}, which a spreadsheet would take for a '
            'formula: rename it'
        )
    return str(name)
