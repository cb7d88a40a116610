"""Headers of MHD files, and the files of an image."""

from __future__ import annotations

from pathlib import Path

VOXEL_BYTES = dict(MET_CHAR=1, MET_UCHAR=1, MET_SHORT=2, MET_USHORT=2)
VOXEL_BYTES.update(MET_INT=4, MET_UINT=4, MET_FLOAT=4, MET_DOUBLE=8)


def image_files(path: str | Path) -> list[Path]:
    """Return the files of an image, including the data file referenced by an MHD header.

    Args:
        path (str | Path): What SimpleITK reads. It need not exist.

    Returns:
        list[Path]: ``path`` first.
    """
    path = Path(path)
    name = mhd_header(path).get('ElementDataFile', 'LOCAL')
    single = name.split()[0] not in ('LOCAL', 'LIST') and '%' not in name
    return [path, path.parent / name] if single else [path]


def mhd_header(path: Path) -> dict[str, str]:
    """Return the fields of an MHD file's header; none of another file."""
    if path.suffix.lower() != '.mhd' or not path.is_file():
        return {}
    fields = {}
    for line in path.read_text(encoding='latin-1').splitlines():
        name, _, value = line.partition('=')
        if value.strip():
            fields[name.strip()] = value.strip()
    return fields
