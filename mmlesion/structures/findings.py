"""Detections and lesions of a whole dataset, as columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Detections(NamedTuple):
    """The n detections of a data set.

    Args:
        item (ndarray): (n,) int, index of the image or scan that each lies in.
        geometry (ndarray): (n, k) float, boxes or centres, as the criterion wants them.
        score (ndarray): (n,) float.
        label (ndarray, optional): (n,) int classes. Without them every lesion can be reached.
    """

    item: np.ndarray
    geometry: np.ndarray
    score: np.ndarray
    label: np.ndarray | None = None

    def take(self, index: np.ndarray) -> Detections:
        """The detections that a boolean mask or an array of indices picks, in its order."""
        return Detections(*(None if column is None else column[index] for column in self))


class Lesions(NamedTuple):
    """The m lesions of a data set.

    Args:
        item (ndarray): (m,) int, index of the image or scan that each lies in.
        geometry (ndarray): (m, k) float, boxes or spheres, as the criterion wants them.
        ignore (ndarray): (m,) bool, True for findings that are no lesions to find, though a
            detection that reaches one is no false positive either.
        label (ndarray, optional): (m,) int classes.
    """

    item: np.ndarray
    geometry: np.ndarray
    ignore: np.ndarray
    label: np.ndarray | None = None

    def take(self, index: np.ndarray) -> Lesions:
        """The lesions that a boolean mask or an array of indices picks, in its order."""
        return Lesions(*(None if column is None else column[index] for column in self))


class GroundTruth(NamedTuple):
    """What a benchmark asks for.

    Args:
        items (list): The n names or ids of the images or scans, in the order of their file.
        lesions (Lesions): The m lesions; ``lesions.item`` points into ``items``.
        groups (dict[str, dict[str, ndarray]]): Kind of group to name to (m,) bool.
        patients (list): The patient of each item: what is drawn together in a comparison.
    """

    items: list
    lesions: Lesions
    groups: dict
    patients: list


class Predictions(NamedTuple):
    """What a detector says.

    Args:
        detections (Detections): Those in listed items.
        unknown_items (list): Items in the file that the ground truth does not list.
        num_unknown (int): Number of detections in them.
    """

    detections: Detections
    unknown_items: list
    num_unknown: int

    @classmethod
    def of_listed(
        cls, item: np.ndarray, geometry: np.ndarray, score: np.ndarray, unknown: list
    ) -> Predictions:
        """Keep the detections in listed items.

        Args:
            item (ndarray): (n,) int, -1 for detections in items that are not listed.
            geometry (ndarray): (n, k) float.
            score (ndarray): (n,) float.
            unknown (list): The items that are not listed.
        """
        known = item >= 0
        detections = Detections(item, geometry, score).take(known)
        return cls(detections, unknown, int((~known).sum()))
