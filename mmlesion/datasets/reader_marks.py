"""Ignored findings that mark a lesion, such as single readers' marks: excluded from training."""

import numpy as np


def without_marks(instances: list[dict], centers: np.ndarray, sizes: np.ndarray) -> list[dict]:
    """Exclude ignored findings that mark a lesion, with their center in it.

    LUNA16's list of excluded findings holds every reader's mark of every nodule. In training they
    must not make what surrounds the nodule, or the nodule, a region to ignore; in the evaluation
    they may stay, as a detection that matches a lesion is a true positive whatever else it matches.

    A lesion is the ball, or the ellipse, that fills its box. A finding whose center lies beside it,
    however near, is another one.

    Args:
        instances: n findings of a scan or a slice, with ``ignore_flag``.
        centers: (n, d), in mm or px.
        sizes: (n, d) or (n, 1) diameters along the axes, likewise.

    Returns:
        list[dict]: The others, in their order.
    """
    ignored = np.array([instance['ignore_flag'] for instance in instances], dtype=bool)
    # (n, lesions, d): from the center of each lesion, in diameters; its ball has radius 0.5
    offsets = (centers[:, None] - centers[~ignored]) / sizes[~ignored]
    in_lesion = ((offsets**2).sum(axis=-1) < 0.25).any(axis=1)
    return [one for one, mark in zip(instances, ignored & in_lesion) if not mark]
