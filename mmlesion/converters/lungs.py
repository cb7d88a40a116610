"""Cropping of a chest scan to its lungs and a rim around them.

3D Aggregated Faster R-CNN, section Data Preparation, cuts "unnecessary volume" off by masks of the
lungs, as its reference [9] does (Liao et al., 2017), whose rules these are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from mmlesion.io.luna16 import LUNG_LABELS
from mmlesion.structures import Grid
from mmlesion.utils import UserError

from .resample import HU_RANGE, isotropic_grid, resample, to_image

_AIR = -400  # HU
_STEP = 2.0  # mm of the grid on which lungs are sought
_LEAST_OF_BODY = 0.03  # of the body's volume: bowel gas has less
_LEAST_OF_LARGEST = 0.2  # the smaller lung, of the larger one
# Neighbors (z, y, x) on the same slice alone: above, below, left and right.
_SLICEWISE = np.array([[[0] * 3] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0] * 3] * 3])

OUTSIDE = ('fill', 'keep')
TISSUE = 0  # HU; 170 of 255 in [9], whose scale is that of -1200 to 600 HU
BONE = -1200 + 211 / 255 * 1800  # HU; over 210 in [9], which cuts decimals off
_RIM = 10  # voxels of the scan along the axes
_HULL_GROWTH = 1.5  # a larger hull is dropped: it would take in the heart
_SPLIT_STEP = 2.0  # mm of the grid on which lungs are separated
_LARGEST_RATIO = 4.8  # of the volumes of two lungs, [9]
_MOST_EROSION = 40.0  # mm


@dataclass(frozen=True)
class LungRegion:
    """Options for cropping volumes to the lungs, in training and inference.

    Attributes:
        margin: mm that are kept around the lungs' box.
        outside: 'fill' replaces what is outside of the lungs and their rim by tissue, 'keep'
            keeps it.

    Raises:
        UserError: If the margin is negative or ``outside`` is neither.
    """

    margin: float = 10.0
    outside: str = 'fill'

    def __post_init__(self) -> None:
        if not 0 <= self.margin < np.inf:
            raise UserError(f'the margin is {self.margin} mm: give at least 0')
        if self.outside not in OUTSIDE:
            raise UserError(f'outside={self.outside!r} of the lungs: choose {" or ".join(OUTSIDE)}')


def cut_to_lungs(
    image: sitk.Image, lungs: np.ndarray, region: LungRegion
) -> tuple[np.ndarray, Grid]:
    """Cut a scan to its lungs and resample it to 1 mm.

    Args:
        image: HU, slices axial.
        lungs: (z, y, x) on its grid, a number for each lung and 0 elsewhere.
        region: What is kept.

    Returns:
        tuple[ndarray, Grid]: (z, y, x) int16 HU and where its voxels lie.
    """
    source = Grid.from_image(image)
    # All of z, y, x in voxels of the scan; SimpleITK's images are indexed in x, y, z.
    (box,) = ndimage.find_objects((lungs > 0).astype(np.uint8))
    low, high = np.array([(side.start, side.stop) for side in box]).T
    margin = region.margin / np.asarray(source.spacing)[::-1]
    # a voxel more, to interpolate
    first = np.maximum(low - np.ceil(margin) - 1, 0).astype(int)
    last = np.minimum(high + np.ceil(margin) + 1, source.size).astype(int)
    grid = isotropic_grid(
        source, np.maximum(low - margin, 0), np.minimum(high + margin, source.size)
    )
    part = image[tuple(map(slice, first[::-1].tolist(), last[::-1].tolist()))]
    if region.outside == 'keep':
        return resample(part, grid), grid
    hu = sitk.GetArrayViewFromImage(part).clip(*HU_RANGE)
    filled = sitk.GetImageFromArray(fill_outside(hu, lungs[tuple(map(slice, first, last))]))
    filled.CopyInformation(part)
    return resample(filled, grid, TISSUE), grid


def fill_outside(hu: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Replace everything that is neither lung nor near it, and bone near it, by tissue.

    Args:
        hu: (z, y, x) HU.
        lungs: (z, y, x) a number for each lung, 0 elsewhere.

    Returns:
        ndarray: (z, y, x) HU.
    """
    # A hull of each lung by itself: one of both would have the heart in it.
    inside = lungs > 0
    hulls = np.zeros(lungs.shape, bool)
    for number in np.unique(lungs[inside]):
        hulls |= convex_slices(lungs == number)
    region = ndimage.binary_dilation(hulls, iterations=_RIM)
    bone = (hu >= BONE) & ~inside
    return np.where(region & ~bone, hu, np.array(TISSUE, hu.dtype))


def convex_slices(mask: np.ndarray) -> np.ndarray:
    """Return the convex hull of each slice of a lung, where it is not much larger.

    Args:
        mask: (z, y, x) bool.

    Returns:
        ndarray: (z, y, x) bool; slices whose hull has over 1.5 times the area are as they were.
    """
    hulls = mask.astype(np.uint8)
    for section in hulls:
        points = cv2.findNonZero(section)
        if points is None:
            continue
        hull = section.copy()
        cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
        if hull.sum(dtype=int) <= _HULL_GROWTH * len(points):
            section[:] = hull
    return hulls.astype(bool)


def number_lungs(labels: np.ndarray, spacing: tuple, source: str) -> np.ndarray:
    """Label the two lungs of a mask.

    Args:
        labels: (z, y, x) of a mask: LUNA16's, in which only labels 3 and 4 are lungs, one
            with two labels, one per lung, or any other, whose labels are all of the lungs.
        spacing: mm along x, y, z.
        source: What to call it in the error message.

    Returns:
        ndarray: (z, y, x) uint8, a number for each lung and 0 elsewhere.

    Raises:
        UserError: If the mask is empty.
    """
    present = np.unique(labels[labels > 0])
    if not len(present):
        raise UserError(f'{source} is empty: give a mask whose labels are lungs')
    if np.isin(LUNG_LABELS, present).any():
        return np.where(np.isin(labels, LUNG_LABELS), labels, 0).astype(np.uint8)
    if len(present) == 2:
        return labels.astype(np.uint8)
    return split_lungs(labels > 0, spacing)


def split_lungs(mask: np.ndarray, spacing: tuple) -> np.ndarray:
    """Split a mask of both lungs by eroding it until they come apart ([9]).

    Args:
        mask: (z, y, x) bool.
        spacing: mm along x, y, z.

    Returns:
        ndarray: (z, y, x) uint8, 3 and 4, the larger one first; 3 alone if it never falls into two
        parts of similar volume.
    """
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    # Every n-th voxel along z, y, x, so that a step of the coarse mask has about 2 mm.
    mm = np.asarray(spacing)[::-1]
    steps = np.maximum(np.rint(_SPLIT_STEP / mm), 1).astype(int)
    z_step, y_step, x_step = steps.tolist()
    coarse = mask[box][::z_step, ::y_step, ::x_step]
    cores = _two_cores(coarse, steps * mm)
    numbers = np.zeros(mask.shape, np.uint8)
    # The coarse grid covers the box with less than a step beyond its end, which is cut off again.
    numbers[box] = mask[box] * _enlarge(cores, steps.tolist(), mask[box].shape)
    return numbers


def _two_cores(mask: np.ndarray, sampling: np.ndarray) -> np.ndarray:
    """Return the nearest core of each voxel, (z, y, x): 3 and 4; or 3 everywhere."""
    # mm to the nearest voxel outside; the rim makes the mask's own border an outside too
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=sampling)[1:-1, 1:-1, 1:-1]
    for erosion in np.arange(0, min(depth.max(), _MOST_EROSION), _SPLIT_STEP):
        parts, _ = ndimage.label(depth > erosion)
        sizes = np.bincount(parts.ravel())[1:]
        largest = sizes.argsort()[::-1][:2]
        if len(largest) == 2 and sizes[largest[0]] < _LARGEST_RATIO * sizes[largest[1]]:
            # sizes leaves the background out, whose number is 0: sizes[i] is of the part i + 1
            first, second = largest + 1
            cores = np.select([parts == first, parts == second], LUNG_LABELS)
            nearest = ndimage.distance_transform_edt(
                cores == 0, sampling, return_distances=False, return_indices=True
            )
            return cores[tuple(nearest)].astype(np.uint8)
    return np.full(mask.shape, LUNG_LABELS[0], np.uint8)


def _enlarge(array: np.ndarray, steps: Sequence[int], shape: tuple[int, ...]) -> np.ndarray:
    """Repeat voxels along z, y, x, and cut off what is beyond ``shape``."""
    for axis, step in enumerate(steps):
        array = array.repeat(step, axis)
    return array[tuple(map(slice, shape))]


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
    nearest = sitk.Resample(
        to_image(labels, grid), image, sitk.Transform(), sitk.sitkNearestNeighbor
    )
    return sitk.GetArrayFromImage(nearest)
