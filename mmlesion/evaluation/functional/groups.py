"""Groups of lesions that are reported separately."""

import numpy as np

LESION_TYPES = (
    'bone',
    'abdomen',
    'mediastinum',
    'liver',
    'lung',
    'kidney',
    'soft_tissue',
    'pelvis',
)


def lesion_type_groups(lesion_type):
    """Group lesions by DeepLesion's coarse type.

    Args:
        lesion_type (ndarray): (m,) int, 1 to 8 as in DL_info.csv, -1 if unknown.

    Returns:
        dict[str, ndarray]: Name to (m,) bool, of the types that occur.
    """
    lesion_type = np.asarray(lesion_type)
    members = {name: lesion_type == number for number, name in enumerate(LESION_TYPES, 1)}
    return {name: member for name, member in members.items() if member.any()}


def diameter_groups(diameter_mm):
    """Group lesions by their long diameter: below 10, 10 to 30 and above 30 mm.

    Args:
        diameter_mm (ndarray): (m,) float, NaN if unknown.

    Returns:
        dict[str, ndarray]: Name to (m,) bool.
    """
    diameter = np.asarray(diameter_mm, dtype=float)
    return {
        '<10 mm': diameter < 10,
        '10-30 mm': (diameter >= 10) & (diameter <= 30),
        '>30 mm': diameter > 30,
    }
