"""Markups files of 3D Slicer: a box for each lesion, and its measured diameters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mmlesion.io.json_files import write_json_text
from mmlesion.io.results import DetectedLesion, Results

SCHEMA = (
    'https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/'
    'Schema/markups-schema-v1.0.3.json#'
)


def write_markups(
    results: Results, to_world: Callable[[np.ndarray], np.ndarray], path: Path
) -> None:
    """Write ``.mrk.json`` with a box (ROI) per lesion and a line per measured diameter.

    Args:
        results: The lesions.
        to_world: Takes (..., 3) voxels i, j, k and returns x, y, z in mm, LPS.
        path: The file.
    """
    markups = []
    for lesion in results.lesions:
        markups.append(_box(lesion, to_world))
        if lesion.recist_voxel is not None:
            ends = to_world(np.array(lesion.recist_voxel))
            markups.append(_line(f'{lesion.label} {lesion.id}, long', ends[:2]))
            markups.append(_line(f'{lesion.label} {lesion.id}, short', ends[2:]))
    write_json_text({'@schema': SCHEMA, 'markups': markups}, path)


def grid_to_world(volume: dict) -> Callable[[np.ndarray], np.ndarray]:
    """Return the mapping of a volume's regular grid from voxels i, j, k to LPS mm.

    Args:
        volume: ``origin_mm``, ``spacing_mm`` and ``direction`` of ``lesions.json``.
    """
    # Columns are the directions of i, j and k in the world.
    direction = np.array(volume['direction'], dtype=float).reshape(3, 3)
    step = direction * np.array(volume['spacing_mm'], dtype=float)
    origin = np.array(volume['origin_mm'], dtype=float)
    return lambda voxels: origin + np.asarray(voxels, dtype=float) @ step.T


def _box(lesion: DetectedLesion, to_world: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    low, high = np.reshape(lesion.bbox_voxel, (2, 3))
    center = to_world((low + high) / 2)
    # The box's edges along i, j and k through its center, as columns in mm.
    half = np.diag(high - low) / 2
    edges = (to_world((low + high) / 2 + half) - to_world((low + high) / 2 - half)).T
    size = np.linalg.norm(edges, axis=0)
    return {
        'type': 'ROI',
        'coordinateSystem': 'LPS',
        'roiType': 'Box',
        'name': f'{lesion.label} {lesion.id}',
        'description': f'score {lesion.score:.3f}. For research, not for diagnosis.',
        'center': center.tolist(),
        'orientation': (edges / size).ravel().tolist(),
        'size': size.tolist(),
        'insideOut': False,
        'display': {'visibility': True, 'fillVisibility': False, 'handlesInteractive': False},
    }


def _line(name: str, ends: np.ndarray) -> dict[str, Any]:
    points = [{'id': str(number), 'position': end.tolist()} for number, end in enumerate(ends, 1)]
    return {
        'type': 'Line',
        'coordinateSystem': 'LPS',
        'name': name,
        'locked': True,
        'controlPoints': points,
    }
