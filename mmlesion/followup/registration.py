"""Rigid registration of two CT volumes of a patient."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from mmlesion.utils import UserError

AIR, BONE = -1000.0, 400.0  # HU between which images are compared
COARSE_MM, FINE_MM = 8.0, 4.0  # voxels of the search for a start, and of the optimization
START_STEP_MM = 12.0  # between the starts along z
LEAST_OVERLAP = 0.3  # share of the shorter scan's volume
ITERATIONS = 200
SAMPLES = 200_000  # voxels that an iteration looks at, at most
LEAST_VOXELS = 4  # along an axis, of ITK's Gaussian filter and of the optimizer's pyramid
SEED = 0


def register_rigid(earlier: sitk.Image, later: sitk.Image) -> sitk.Euler3DTransform:
    """Align a study with an earlier one by rotation and translation.

    The scans may cover different parts of the body: the optimization of SimpleITK, mean squares of
    HU clipped to -1000 to 400, starts at the best of many shifts along z.

    Args:
        earlier: CT in HU.
        later: CT in HU.

    Returns:
        sitk.Euler3DTransform: From points of the earlier study, LPS mm, to those of the later one.

    Raises:
        UserError: If the scans have no part of the body in common.
    """
    start = _best_start(_prepare(earlier, COARSE_MM), _prepare(later, COARSE_MM))
    fixed, moving = _prepare(earlier, FINE_MM), _prepare(later, FINE_MM)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(min(1.0, SAMPLES / fixed.GetNumberOfPixels()), SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(4.0, 0.02, ITERATIONS)
    method.SetOptimizerScalesFromPhysicalShift()
    # voxels of 8 mm, then of 4 mm
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([1, 0])
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed, moving)
    # the optimizer has moved it in place
    return start


def _prepare(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """Return an image of cubic voxels with clipped HU."""
    size = np.array(image.GetSize()) * image.GetSpacing() / spacing_mm
    clipped = sitk.Clamp(image, sitk.sitkFloat32, AIR, BONE)
    # a scan of few slices ends with copies of its last one
    missing = [max(LEAST_VOXELS - length, 0) for length in image.GetSize()]
    padded = sitk.ZeroFluxNeumannPad(clipped, [0, 0, 0], missing)
    return sitk.Resample(
        sitk.SmoothingRecursiveGaussian(padded, spacing_mm / 2),
        [max(int(length), LEAST_VOXELS) for length in size],
        sitk.Transform(),
        sitk.sitkLinear,
        image.GetOrigin(),
        [spacing_mm] * 3,
        image.GetDirection(),
        AIR,
    )


def _best_start(fixed: sitk.Image, moving: sitk.Image) -> sitk.Euler3DTransform:
    """Return the shift, bodies centered in x and y, of the least mean squares in the overlap."""
    fixed_center, moving_center = _body_center(fixed), _body_center(moving)
    # the largest shift at which the two still touch, if their centers coincide at 0
    reach = (_length_z(fixed) + _length_z(moving)) / 2
    best, least = None, np.inf
    for shift in np.arange(-reach, reach + 1, START_STEP_MM):
        transform = sitk.Euler3DTransform()
        # rotation about the body's center, not the world's origin, which may be far from it
        transform.SetCenter(fixed_center)
        transform.SetTranslation(moving_center - fixed_center + [0, 0, shift])
        difference = _mean_squares(fixed, moving, transform)
        if difference < least:
            best, least = transform, difference
    if best is None:
        raise UserError('the two scans have no part of the body in common')
    return best


def _body_center(image: sitk.Image) -> np.ndarray:
    """Return the center of gravity of what is denser than fat, LPS mm."""
    voxels = np.argwhere(sitk.GetArrayViewFromImage(image) > -300)
    if not len(voxels):
        raise UserError('a scan has no body, nothing above -300 HU: give CT in HU')
    # from k, j, i of the array to ITK's i, j, k
    center = voxels.mean(axis=0)[::-1].tolist()
    return np.array(image.TransformContinuousIndexToPhysicalPoint(center))


def _length_z(image: sitk.Image) -> float:
    corners = [image.TransformIndexToPhysicalPoint([0, 0, 0])]
    corners.append(image.TransformIndexToPhysicalPoint([size - 1 for size in image.GetSize()]))
    return abs(corners[0][2] - corners[1][2])


def _mean_squares(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> float:
    # a value that clamped images do not have marks what the moved image does not cover
    outside = AIR - 1
    moved = sitk.Resample(moving, fixed, transform, sitk.sitkLinear, outside)
    moved_array = sitk.GetArrayViewFromImage(moved)
    inside = moved_array > outside + 0.5
    smaller = min(fixed.GetNumberOfPixels(), moving.GetNumberOfPixels())
    if inside.sum() < LEAST_OVERLAP * smaller:
        return np.inf
    difference = moved_array[inside] - sitk.GetArrayViewFromImage(fixed)[inside]
    return float(np.square(difference).mean())
