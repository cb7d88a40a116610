"""Inference of volumetric detectors on CT volumes with arbitrary grids."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import SimpleITK as sitk
from mmengine.dataset import Compose
from tqdm import tqdm

from mmlesion.io.ct import check_same_grid, read_labels

from ..converters.lungs import LungRegion, cut_to_lungs, find_lungs, number_lungs
from ..converters.resample import isotropic_grid, resample
from ..structures import Grid
from ..structures.ct_volume import CTVolume

if TYPE_CHECKING:
    from ..models.detectors import AggregatedRCNN3D


class SphereDetections(NamedTuple):
    """Detections of spheres in a volume, in descending order of score.

    Args:
        spheres: (n, 4) x, y, z and diameter in world mm.
        scores: (n,).
        labels: (n,).
    """

    spheres: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


_FROM_FILES = ('LoadVolume', 'LoadSphereAnnotations')


def loads_volumes(pipeline: Sequence[dict]) -> bool:
    """Return whether a config's test pipeline is that of a volumetric detector.

    Args:
        pipeline: The pipeline.

    Returns:
        bool: True if it begins with ``LoadVolume``.
    """
    return bool(pipeline) and _name(pipeline[0]) == _FROM_FILES[0]


def prepare_volume(
    volume: CTVolume, preparation: Mapping, lungs: str | Path | sitk.Image | None = None
) -> tuple[np.ndarray, Grid]:
    """Resample a CT volume to 1 mm in the training orientation, as the converters do.

    Args:
        volume: The volume.
        preparation: Preparation of the training volumes, ``preparation`` in a dataset's
            ``metainfo``: with ``lungs``, the options of :class:`LungRegion`, the volume is cropped
            to them.
        lungs: A mask of the lungs on the volume's grid.
            Defaults to None: they are segmented by :func:`find_lungs`.

    Returns:
        tuple[ndarray, Grid]: (z, y, x) int16 HU, and the voxels' grid.

    Raises:
        UserError: If the mask cannot be read, has another grid or is empty, or no lungs are
            detected.
    """
    if 'lungs' not in preparation:
        # without a region of lungs, the whole volume
        grid = isotropic_grid(volume.grid, (0, 0, 0), volume.grid.size)
        return resample(volume.orthogonal, grid), grid
    oriented = sitk.DICOMOrient(volume.orthogonal, CTVolume.ORIENTATION)
    numbers = find_lungs(oriented) if lungs is None else _read_lungs(lungs, volume)
    return cut_to_lungs(oriented, numbers, LungRegion(**preparation['lungs']))


def _read_lungs(lungs: str | Path | sitk.Image, volume: CTVolume) -> np.ndarray:
    """Read a lung mask as labels (z, y, x), one per lung, in the training orientation."""
    source = 'the mask given' if isinstance(lungs, sitk.Image) else str(lungs)
    mask = lungs if isinstance(lungs, sitk.Image) else read_labels(lungs)
    check_same_grid(mask, volume.image, f'the lungs ({source}) and the volume')
    labels = volume.oriented(sitk.GetArrayFromImage(mask))
    return number_lungs(labels, volume.spacing, source)


def detect_volume(
    model: AggregatedRCNN3D,
    pipeline: Sequence[dict],
    prepared: tuple[np.ndarray, Grid],
    batch_size: int | None = None,
    show_progress: bool = False,
) -> SphereDetections:
    """Detect lesions in a CT volume as spheres, in sliding windows at 1 mm.

    Args:
        model: The detector.
        pipeline: The config's test pipeline; its steps that read files are
            omitted.
        prepared: The volume, by :func:`prepare_volume`.
        batch_size: Windows per batch. Defaults to None, the config's value.
        show_progress: Show a progress bar of the windows.

    Returns:
        SphereDetections: In descending order of score.
    """
    hu, grid = prepared
    sample = _pack(pipeline, hu, grid)
    progress = partial(tqdm, desc='windows', disable=not show_progress)
    found = model.detect_scan(sample['inputs'], batch_size, progress)
    spheres = grid.spheres_to_world(found.bboxes.cpu().numpy())
    scores = found.scores.cpu().numpy().astype(float)
    return SphereDetections(spheres, scores, found.labels.cpu().numpy())


def _pack(pipeline: Sequence[dict], hu: np.ndarray, grid: Grid) -> dict:
    """Pass a volume in memory through a pipeline."""
    # The volume is in memory already, and has no annotations.
    steps = [step for step in copy.deepcopy(list(pipeline)) if _name(step) not in _FROM_FILES]
    sample: dict[str, Any] = dict.fromkeys(('size', 'img_shape', 'ori_shape'), hu.shape)
    sample.update(volume=hu, spacing=grid.spacing, origin=grid.origin, direction=grid.direction)
    return Compose(steps)(sample)


def _name(step: Mapping) -> str:
    return step['type'].split('.')[-1]
