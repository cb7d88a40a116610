"""The report of a volume: from the results of ``infer.py`` to the page."""

from __future__ import annotations

from pathlib import Path

from mmlesion.io.ct import read_ct
from mmlesion.io.results import read_label_map, read_results
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError

from .embedded_volume import MOST_VOXELS
from .page import write_page
from .volume_content import volume_content

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
