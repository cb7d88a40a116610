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

from .resample import HU_RANGE, isotropic_grid, resample

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
