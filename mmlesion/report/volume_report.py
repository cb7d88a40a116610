"""The report of a volume: from the results of ``infer.py`` to the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmlesion.io.ct import read_ct
from mmlesion.io.results import DetectedLesion, Results, read_label_map, read_results
from mmlesion.io.schema import LUNG_WINDOW, SOFT_TISSUE_WINDOW
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError
from mmlesion.visualization.overlays import choose_window

from .page import MOST_VOXELS, binning_factor, encode_volume, in_blocks, write_page

NAME = 'report.html'
VIEWER = 'niivue/niivue.umd.js'


def write_volume_report(
    folder: str | Path,
    path: str | Path | None = None,
    volume: str | Path | CTVolume | None = None,
    series: str | None = None,
    score_thr: float = 0.0,
    most_voxels: int = MOST_VOXELS,
) -> Path:
    """Write the page of a volume: the lesions' table beside a viewer of its slices.

    Args:
        folder: Results of ``infer.py``.
        path: The HTML file. Defaults to None, ``report.html`` in the folder.
        volume: The volume. Defaults to None, where ``infer.py``
            has read it.
        series: Series Instance UID, if it is a folder of several.
        score_thr: Lesions with a lower score are left out.
        most_voxels: Larger volumes are shown with averaged px.

    Returns:
        Path: The page.

    Raises:
        UserError: If the results or the volume are missing, or do not belong together.
    """
    path = Path(folder) / NAME if path is None else Path(path)
    results = read_results(folder, score_thr)
    if isinstance(volume, CTVolume):
        source, ct = results.volume['source'], volume
    else:
        source = volume or results.volume['source']
        ct = CTVolume(read_ct(source, series))
    # voxel coordinates of another volume would lie anywhere in this one
    if list(ct.image.GetSize()) != list(results.volume['size']):
        raise UserError(
            f'{source} has {list(ct.image.GetSize())} voxels, but {folder} is about a volume of '
            f'{results.volume["size"]}: give the volume that infer.py has read'
        )
    labels = read_label_map(results)
    write_page('volume', volume_content(ct, results, labels, most_voxels), path, VIEWER)
    return path


WINDOWS = {
    'soft tissue': SOFT_TISSUE_WINDOW,
    'lung': LUNG_WINDOW,
    'mediastinum': (-125.0, 225.0),
    'liver': (-45.0, 105.0),
    'bone': (-450.0, 1050.0),
    'brain': (0.0, 80.0),
}
"""Lower and upper HU of the presets."""


def volume_content(
    volume: CTVolume, results: Results, labels: np.ndarray, most_voxels: int = MOST_VOXELS
) -> dict[str, Any]:
    """Return what the page of a volume shows.

    Args:
        volume: The volume.
        results: What was detected in it.
        labels: (k, j, i) label map of the lesions' ids, in the frame of the file.
        most_voxels: Larger volumes are shown with averaged px.

    Returns:
        dict: JSON.
    """
    factor = binning_factor(volume.array.shape, most_voxels)
    blocks = in_blocks(volume.array, factor)
    # blocks are (z, y, px, x, px): the page counts x, y, z
    size = np.array([blocks.shape[3], blocks.shape[1], blocks.shape[0]])
    spacing = (volume.spacing[0] * factor, volume.spacing[1] * factor, volume.spacing[2])
    shown_px = size * (factor, factor, 1)  # x, y, z of the array that are embedded
    return {
        'title': Path(results.volume['source']).name,
        'description': _describe(volume, results),
        'bound': _bound_line(volume, factor, spacing),
        'size': size.tolist(),
        'spacing': spacing,
        'sliceAxis': 'ijk'[volume.slice_axis],
        'sliceNumbers': [volume.slice_number(index) for index in reversed(range(size[2]))],
        'windows': WINDOWS,
        'lesions': [_lesion(volume, lesion, shown_px) for lesion in results.lesions],
        'volume': encode_volume(_mean_hu(blocks), spacing),
        'masks': _masks(volume, results, labels, factor, spacing),
    }


def _describe(volume: CTVolume, results: Results) -> str:
    depth, height, width = volume.array.shape
    sides = ' × '.join(f'{side:.3g}' for side in volume.spacing)
    checkpoint = results.detector.get('checkpoint')
    return (
        f'{results.volume["source"]}: {depth} slices of {width} × {height} px, voxels of {sides} '
        f'mm; {len(results.lesions)} lesions detected by {results.detector.get("config")} with '
        f'{checkpoint}'
    )


def _bound_line(volume: CTVolume, factor: int, spacing: tuple[float, ...]) -> str:
    """Say that the page shows less than the volume has; empty if it does not."""
    if factor == 1:
        return ''
    return (
        f'The volume has {volume.array.size / 1e6:.0f} million voxels, more than this page holds: '
        f'{factor} × {factor} px are averaged to one of {spacing[0]:.2g} × {spacing[1]:.2g} mm. '
        'All slices are there, and measurements are from the full resolution.'
    )


def _mean_hu(blocks: np.ndarray) -> np.ndarray:
    """Return (z, y, x) int16 HU, the mean of each square."""
    # squares of one px need no mean, which would be of floats
    if blocks.shape[2] == 1:
        hu = blocks[:, :, 0, :, 0]
    else:
        # slice by slice: the mean of all would need the volume once more, in float64
        hu = np.stack([one.mean(axis=(1, 3)) for one in blocks])
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(hu), limits.min, limits.max).astype(np.int16)


def _masks(
    volume: CTVolume,
    results: Results,
    labels: np.ndarray,
    factor: int,
    spacing: tuple[float, ...],
) -> str | None:
    """Return the voxels of lesions that have masks; None if none has."""
    with_mask = [lesion.id for lesion in results.lesions if lesion.diameter_source == 'mask']
    if not with_mask:
        return None
    # a px of the page is the lesion's if any px of its square is
    inside = np.isin(volume.oriented(labels), with_mask)
    return encode_volume(in_blocks(inside, factor).max(axis=(2, 4)).astype(np.uint8), spacing)


def _lesion(volume: CTVolume, lesion: DetectedLesion, shown_px: np.ndarray) -> dict[str, Any]:
    index = volume.slice_index(lesion.key_slice)
    box = volume.boxes_from_index(lesion.bbox_voxel)[0]  # z1, y1, x1, z2, y2, x2
    corners = _fractions(box.reshape(2, 3), shown_px)
    ends = None
    if lesion.recist_voxel is not None:
        ends = _fractions(volume.points_from_index(lesion.recist_voxel), shown_px).tolist()
    window = choose_window(volume.array[index], (box[2], box[1], box[5], box[4]))
    names = [name for name, limits in WINDOWS.items() if tuple(window) == limits]
    return {
        'id': lesion.id,
        'label': lesion.label,
        'score': lesion.score,
        'diameter': lesion.diameter_mm,
        'shortDiameter': lesion.short_diameter_mm,
        'source': lesion.diameter_source,
        'center': lesion.center_mm,
        'slice': lesion.key_slice,
        # the page's volume is turned round along all axes
        'key': int(shown_px[2]) - 1 - index,
        'box': [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()],
        'ends': ends,
        'window': names[0],
    }


def _fractions(points: np.ndarray, shown_px: np.ndarray) -> np.ndarray:
    """Convert (n, 3) z, y, x in voxels of the array to fractions x, y, z of the page's volume."""
    return 1 - points[:, ::-1] / shown_px
