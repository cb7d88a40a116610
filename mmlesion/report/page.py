"""Assembly of a page: a template, its style and program, and the data, in one file."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from mmlesion.io.atomic import atomic_write
from mmlesion.io.json_files import compact_json

ASSETS = Path(__file__).parent / 'assets'
DISCLAIMER = 'For research. Not a medical device; no result is for diagnosis.'


def write_page(name: str, data: Any, path: str | Path) -> None:
    """Write a page that needs no other file and no network, whole or not at all.

    A content security policy allows the page nothing but its own style, program and pictures.

    Args:
        name (str): Of the template, style and program in ``assets``.
        data (Any): What the program shows; NaN and infinity become null.
        path (str | Path): The HTML file.
    """
    script, style = _asset(f'{name}.js'), _asset(f'{name}.css')
    page = _asset(f'{name}.html')
    parts = {
        '{{policy}}': _policy(script, style),
        '{{disclaimer}}': DISCLAIMER,
        '{{style}}': style,
        '{{script}}': script,
        '{{data}}': _embed(data),
    }
    # The data are last: what they contain is not looked at for further marks.
    for mark, text in parts.items():
        page = page.replace(mark, text, 1)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding='utf-8')


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding='utf-8')


def _policy(script: str, style: str) -> str:
    sources = f"script-src '{_hash_of(script)}'; style-src '{_hash_of(style)}'"
    return f"default-src 'none'; img-src data:; {sources}"


def _hash_of(text: str) -> str:
    digest = hashlib.sha256(text.encode('utf-8')).digest()
    return 'sha256-' + base64.b64encode(digest).decode('ascii')


def _embed(data: Any) -> str:
    """Return JSON that cannot end the element it stands in."""
    return compact_json(data).replace('<', '\\u003c')
