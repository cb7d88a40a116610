"""Assembly of a page: a template, its style and program, and the data, in one file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmlesion.io.atomic import atomic_write
from mmlesion.io.json_files import compact_json
from mmlesion.utils import UserError
from mmlesion.utils.disclaimer import NOT_FOR_DIAGNOSIS

ASSETS = Path(__file__).parent / 'assets'
VENDOR = Path(__file__).parent / 'vendor'
TITLES = dict(froc='FROC report', volume='Lesions of a volume', followup='Lesions in two studies')


def write_page(name: str, data: Any, path: str | Path, library: str | None = None) -> None:
    """Write a page that needs no other file and no network, whole or not at all.

    A content security policy allows the page nothing but its own style, program and pictures.

    Args:
        name: Of the page's body, style and program in ``assets``, which complete those of
            all pages, ``page.*``. One of :data:`TITLES`.
        data: What the program shows; NaN and infinity become null.
        path: The HTML file.
        library: Path of a program in ``vendor`` that the page's own one uses, with
            its ``LICENSE`` and ``THIRD_PARTY_LICENSES.txt`` beside it.
    """
    style = _asset('page.css') + _asset(f'{name}.css')
    own = _asset('page.js') + _asset(f'{name}.js')
    scripts = [own] if library is None else [_licensed(library), own]
    parts = {
        '{{body}}': _asset(f'{name}.html'),
        '{{policy}}': _policy(scripts, style),
        '{{title}}': TITLES[name],
        '{{disclaimer}}': NOT_FOR_DIAGNOSIS,
        '{{style}}': style,
        '{{scripts}}': ''.join(f'<script>{script}</script>\n' for script in scripts),
        '{{data}}': _embed(data),
    }
    page = _asset('page.html')
    # The data are last: what they contain is not looked at for further marks.
    for mark, text in parts.items():
        page = page.replace(mark, text, 1)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding='utf-8')


def check_html_name(option: str, path: str | Path) -> None:
    """Raise UserError if an option names a file that is not HTML."""
    if Path(path).suffix.lower() not in ('.html', '.htm'):
        raise UserError(f'{option} is {path}: give a file name in .html')


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding='utf-8')


def _licensed(library: str) -> str:
    """Return a bundled program below the licenses, which go with each copy."""
    path = VENDOR / library
    licenses = [path.with_name(name) for name in ('LICENSE', 'THIRD_PARTY_LICENSES.txt')]
    text = '\n'.join(one.read_text(encoding='utf-8') for one in licenses)
    return f'/*!\n{text}*/\n{path.read_text(encoding="utf-8")}'


def _policy(scripts: Sequence[str], style: str) -> str:
    hashes = ' '.join(f"'{_hash_of(script)}'" for script in scripts)
    sources = f"script-src {hashes}; style-src '{_hash_of(style)}'"
    return f"default-src 'none'; img-src data:; {sources}"


def _hash_of(text: str) -> str:
    # a browser runs a script or applies a style only if its text has this digest
    digest = hashlib.sha256(text.encode('utf-8')).digest()
    return 'sha256-' + base64.b64encode(digest).decode('ascii')


def _embed(data: Any) -> str:
    """Return JSON that cannot end the element it stands in."""
    return compact_json(data).replace('<', '\\u003c')
