"""What is in a folder, to compare two of them."""

from __future__ import annotations

import hashlib
from pathlib import Path


def digests(root: Path) -> dict[str, bytes]:
    """Return the digest of each file under a folder, by its path from there on."""
    files = sorted(path for path in root.rglob('*') if path.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).digest() for p in files}
