"""Series of slices in folders, ``<series>/<number>.png``, with what a COCO file says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmlesion.structures import SliceSeries
from mmlesion.utils import UserError

from .checks import get_column
from .schema import path_under
from .slices import has_slice_number, series_of, slice_number


def list_series(coco: dict, root: str | Path) -> list[SliceSeries]:
    """List the series of a COCO file with all their slices.

    Args:
        coco: COCO content with mmlesion's fields; files are ``<series>/<slice>.png``.
        root: The folder of the images.

    Returns:
        list[SliceSeries]: By name.

    Raises:
        UserError: If a series has no folder, a listed slice is missing, or a name has no number.
    """
    series, series_of_image = {}, {}
    get_column(coco['images'], 'file_name', 'image')
    for image in coco['images']:
        name = series_of(image['file_name'])
        if name not in series:
            series[name] = _list_slices(name, root)
        # The folder has all slices, the file only some of them.
        found, number = series[name], slice_number(image['file_name'])
        if number not in found.slices:
            raise UserError(f'there is no slice {path_under(root, image["file_name"])}')
        found.images[number] = image
        series_of_image[image['id']] = found
    for annotation in coco['annotations']:
        series_of_image[annotation['image_id']].annotations.append(annotation)
    return [series[name] for name in sorted(series)]


def _list_slices(name: str, root: Path | str) -> SliceSeries:
    folder = Path(path_under(root, name))
    if not folder.is_dir():
        raise UserError(f'there is no folder {folder} of a series: check the folder of the images')
    files = [path.name for path in folder.iterdir() if has_slice_number(path.name)]
    # by number, as names sort 10 before 9; the name decides between 009.png and 9.png
    files.sort(key=lambda file: (slice_number(file), file))
    numbers = np.array([slice_number(file) for file in files], int)
    return SliceSeries(name, numbers, [f'{name}/{file}' for file in files])
