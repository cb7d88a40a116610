"""Segmentation of the lungs of a CT scan by thresholds, in the absence of a mask."""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from mmlesion.io.luna16 import LUNG_LABELS
from mmlesion.structures import Grid
from mmlesion.utils import UserError

from .lungs import split_lungs
from .resample import isotropic_grid, resample

_AIR = -400  # HU
_STEP = 2.0  # mm of the grid on which lungs are sought
_LEAST_OF_BODY = 0.03  # of the body's volume: bowel gas has less
_LEAST_OF_LARGEST = 0.2  # the smaller lung, of the larger one
# Neighbors (z, y, x) on the same slice alone: above, below, left and right.
_SLICEWISE = np.array([[[0] * 3] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0] * 3] * 3])


def find_lungs(image: sitk.Image) -> np.ndarray:
    """Find the lungs of a scan.

    They are the largest regions of air that the body encloses on every slice. The windpipe above
    them is cut off, since it is narrow and far from where they are wide; bronchi are left in. What
    a lung encloses on a slice, vessels and nodules, is of it. Consolidated lung is not found.

    Args:
        image: HU, slices axial.

    Returns:
        ndarray: (z, y, x) uint8 on its grid: 3 and 4 in the lungs, 0 elsewhere.

    Raises:
        UserError: If there are none: no such region has 3 % of the body's volume.
    """
    # Found on a coarse grid of cubes, on which distances are counted in voxels.
    source = Grid.from_image(image)
    grid = isotropic_grid(source, (0, 0, 0), source.size, _STEP)
    air = ndimage.gaussian_filter(resample(image, grid).astype(np.float32), 0.5) < _AIR
    outside = _touching_sides(air)
    regions, _ = ndimage.label(air & ~outside)
    sizes = np.bincount(regions.ravel())  # in voxels
    sizes[0] = 0  # the background
    if sizes.max() <= _LEAST_OF_BODY * np.count_nonzero(~outside):
        raise UserError(
            f'no lungs are found: the largest region of air in the body has '
            f'{sizes.max() * _STEP**3 / 1000:.0f} mL. Give a mask of the lungs by --lungs'
        )
    lungs = np.zeros(air.shape, bool)
    for number in np.flatnonzero(sizes >= _LEAST_OF_LARGEST * sizes.max()):
        lungs |= _without_windpipe(regions == number)
    numbers = split_lungs(lungs, grid.spacing)
    # Vessels and nodules in a lung are denser than air: holes of its slices, which are filled.
    for label in LUNG_LABELS:
        numbers[ndimage.binary_fill_holes(numbers == label, _SLICEWISE)] = label
    return _on_grid(numbers, grid, image)


def _touching_sides(air: np.ndarray) -> np.ndarray:
    """Return the air on each slice that is connected to the slice's sides."""
    parts, count = ndimage.label(air, _SLICEWISE)
    # The numbers of the parts in the first and last row, and the first and last column.
    sides = np.concatenate([parts[:, [0, -1]].ravel(), parts[:, :, [0, -1]].ravel()])
    touching = np.zeros(count + 1, bool)
    touching[sides] = True
    touching[0] = False  # what is no air
    return touching[parts]


def _without_windpipe(mask: np.ndarray) -> np.ndarray:
    """Return the mask near its parts that are at least half as wide as its widest part."""
    # Within its box, which is much smaller than the scan: voxels to the nearest one outside, and
    # from each voxel to the nearest one that lies at least half as deep as the deepest.
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    depth = ndimage.distance_transform_edt(np.pad(mask[box], 1))[1:-1, 1:-1, 1:-1]
    near = ndimage.distance_transform_edt(depth <= depth.max() / 2) <= depth.max()
    kept = np.zeros(mask.shape, bool)
    kept[box] = mask[box] & near
    return kept


def _on_grid(labels: np.ndarray, grid: Grid, image: sitk.Image) -> np.ndarray:
    """Resample labels from a grid to that of an image, by the nearest voxel."""
    coarse = sitk.GetImageFromArray(labels)
    coarse.SetSpacing(grid.spacing)
    coarse.SetOrigin(grid.origin)
    coarse.SetDirection(grid.direction)
    nearest = sitk.Resample(coarse, image, sitk.Transform(), sitk.sitkNearestNeighbor)
    return sitk.GetArrayFromImage(nearest)
