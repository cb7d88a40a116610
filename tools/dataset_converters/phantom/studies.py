"""Whole studies of a patient as images, in the world that all studies of the patient share."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from .patient import Patient, PatientOptions, Study, render


def study_image(patient: Patient, study: Study, options: PatientOptions) -> sitk.Image:
    """Render all slices of a study.

    Args:
        patient: Whose study it is.
        study: One of the patient's.
        options: Those that the patient was drawn with.

    Returns:
        sitk.Image: HU, with spacing and origin in mm of the phantom's world.
    """
    array, _ = render(patient, study, 0, study.num_slices - 1, options)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([study.spacing, study.spacing, study.interval])
    image.SetOrigin([*study.origin, study.top])
    return image


def move_image(image: sitk.Image, pose: sitk.Euler3DTransform) -> sitk.Image:
    """Return an image as if the patient lay differently: all its points are moved by ``pose``."""
    moved = sitk.Image(image)
    # Its voxels stay. Columns of the direction are the axes of the image, which turn with it.
    axes = np.reshape(pose.GetMatrix(), (3, 3)) @ np.reshape(image.GetDirection(), (3, 3))
    moved.SetOrigin(pose.TransformPoint(image.GetOrigin()))
    moved.SetDirection(axes.ravel().tolist())
    return moved
