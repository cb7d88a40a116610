"""Identification of annotations of the same lesion."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist


def group_lesions(samples: Sequence[dict], max_distance: float = 0.03) -> list[str]:
    """Group the annotations of one lesion in a patient's slices, series and studies.

    DeepLesion does not say which of its annotations are of one lesion. Two of a patient, on
    different slices, are taken for it if they share series and ``lesion_id``, or if their
    ``normalized_location`` is nearly the same and their types, where both are known, do not differ.

    Args:
        samples: Annotations with ``img_path``, ``patient_id``, ``study_id``,
            ``series_id``, ``lesion_type`` and, where there are, ``normalized_location`` (x, y as
            shares of the image, z of the body) and ``lesion_id``.
        max_distance: L2 distance of normalized locations up to which they are nearly the
            same. Defaults to 0.03, which is 15 px in a slice.

    Returns:
        list[str]: The group of each sample, '<patient>/<number>'; of annotations without a
        patient, one each.
    """
    by_patient: dict[str, list[int]] = {}
    for index, sample in enumerate(samples):
        patient = sample.get('patient_id')
        by_patient.setdefault(f'slice {index}' if patient is None else patient, []).append(index)
    groups = [''] * len(samples)
    for patient, indices in by_patient.items():
        # what is linked through others is one lesion too: the components of the pairs' graph
        same = _same_lesion([samples[index] for index in indices], max_distance)
        _, numbers = connected_components(coo_matrix(same), directed=False)
        for index, number in zip(indices, numbers.tolist()):
            groups[index] = f'{patient}/{number}'
    return groups


def _same_lesion(samples: Sequence[dict], max_distance: float) -> np.ndarray:
    """Return which pairs of a patient's annotations are of the same lesion, (n, n) bool."""
    nowhere = [np.nan] * 3
    places = np.array([sample.get('normalized_location', nowhere) for sample in samples], float)
    types = np.array([sample['lesion_type'] for sample in samples])
    # All of these are (n, n): annotation i and annotation j.
    # types below 0 are unknown and agree with every other
    agree = (types[:, None] == types) | (types < 0) | (types[:, None] < 0)
    # a place that is unknown is not a number, which is near to none
    same = (cdist(places, places) <= max_distance) & agree
    same |= _equal([_numbered_lesion(sample) for sample in samples])
    return same & ~_equal([sample['img_path'] for sample in samples])


def _numbered_lesion(sample: Mapping) -> tuple | None:
    if 'lesion_id' not in sample:
        return None
    return sample.get('study_id'), sample.get('series_id'), sample['lesion_id']


def _equal(values: Sequence[Hashable]) -> np.ndarray:
    """Return which pairs of values are equal and not None, (n, n) bool."""
    # 0 stands for None, so that the values' numbers are comparable in NumPy
    number_of: dict[Hashable, int] = {None: 0}
    for value in values:
        number_of.setdefault(value, len(number_of))
    numbers = np.array([number_of[value] for value in values])
    return (numbers[:, None] == numbers) & (numbers > 0)
