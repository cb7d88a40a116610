"""Detections and lesions as columns: of a whole dataset, or on the slices of a series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import numpy as np

ColumnsT = TypeVar('ColumnsT', bound='Columns')


@dataclass(frozen=True, eq=False)
class Columns:
    """Records as columns of one length, for dataclasses.

    A column is an array, a list, a dict of columns, or None where it is left out. The first one is
    always there.
    """

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def take(self: ColumnsT, index: np.ndarray) -> ColumnsT:
        """Return the records that a boolean mask or an array of indices picks, in its order."""
        taken = {name: _take(column, index) for name, column in self._columns().items()}
        return type(self)(**taken)

    @classmethod
    def concat(cls: type[ColumnsT], parts: Iterable[ColumnsT]) -> ColumnsT:
        """Join the records of one or more parts, which have the same columns, in their order."""
        columns = [part._columns() for part in parts]
        return cls(**_concat(columns))

    def _columns(self) -> dict[str, Any]:
        return {column.name: getattr(self, column.name) for column in fields(self)}


def _take(column: Any, index: np.ndarray) -> Any:
    if column is None:
        return None
    if isinstance(column, dict):
        return {name: _take(one, index) for name, one in column.items()}
    if isinstance(column, list):
        # a list takes no array: turn a mask or indices into numbers first
        return [column[number] for number in np.arange(len(column))[index]]
    return column[index]


def _concat(columns: Sequence) -> Any:
    first = columns[0]
    if first is None:
        return None
    if isinstance(first, dict):
        joined = {}
        for name in first:
            joined[name] = _concat([one[name] for one in columns])
        return joined
    if isinstance(first, list):
        return list(chain.from_iterable(columns))
    return np.concatenate(columns)


@dataclass(frozen=True, eq=False)
class Detections(Columns):
    """The n detections of a dataset.

    Attributes:
        case: (n,) int, index of the image or scan that each lies in.
        geometry: (n, k) float, boxes or centers, as the criterion takes them.
        score: (n,) float.
        label: (n,) int classes. Without them a detection may match any lesion.
        segments: (n,) each one's own segment as COCO results have it;
            None of a model without masks.
    """

    case: np.ndarray
    geometry: np.ndarray
    score: np.ndarray
    label: np.ndarray | None = None
    segments: list | None = None


@dataclass(frozen=True, eq=False)
class Lesions(Columns):
    """The m lesions of a dataset.

    Attributes:
        case: (m,) int, index of the image or scan that each lies in.
        geometry: (m, k) float, boxes or spheres, as the criterion takes them.
        ignore: (m,) bool, True for lesions to ignore: neither detecting nor missing them
            counts.
        label: (m,) int classes.
        attributes: Further fields of the annotations by name, (m,) each; None
            where a lesion has no value.
    """

    case: np.ndarray
    geometry: np.ndarray
    ignore: np.ndarray
    label: np.ndarray | None = None
    attributes: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def repeated(self) -> np.ndarray:
        """ndarray: (m,) bool, lesions that are listed before, in the same place and class."""
        label = np.zeros(len(self)) if self.label is None else self.label
        rows = np.column_stack([self.case, self.geometry, self.ignore, label])
        _, first = np.unique(rows, axis=0, return_index=True)
        repeated = np.ones(len(self), dtype=bool)
        repeated[first] = False
        return repeated


class GroundTruth(NamedTuple):
    """The lesions to detect.

    Args:
        cases: The n names or ids of the images or scans, in the order of their file.
        lesions: The m lesions; ``lesions.case`` points into ``cases``.
        patients: The patient of each case; the bootstrap draws a patient's cases together.
    """

    cases: list
    lesions: Lesions
    patients: list


class Predictions(NamedTuple):
    """The detections of a file or a test run.

    Args:
        detections: Those in listed cases.
        unknown_cases: Cases in the file that the ground truth does not list.
        num_unknown: Number of detections in them.
    """

    detections: Detections
    unknown_cases: list
    num_unknown: int

    @classmethod
    def of_listed(
        cls, item: np.ndarray, geometry: np.ndarray, score: np.ndarray, unknown: list
    ) -> Predictions:
        """Keep the detections in listed items.

        Args:
            item: (n,) int, -1 for detections in items that are not listed.
            geometry: (n, k) float.
            score: (n,) float.
            unknown: The items that are not listed.
        """
        detections = Detections(item, geometry, score)
        listed = item >= 0
        if not listed.all():  # else nothing is copied
            detections = detections.take(listed)
        return cls(detections, unknown, int((~listed).sum()))


@dataclass(frozen=True, eq=False)
class SliceBoxes(Columns):
    """n boxes on the slices of a series.

    Attributes:
        boxes: (n, 4) x1, y1, x2, y2 px.
        slices: (n,) numbers of slices, or positions between two of them.
        scores: (n,).
    """

    boxes: np.ndarray
    slices: np.ndarray
    scores: np.ndarray

    @classmethod
    def empty(cls) -> SliceBoxes:
        """Return no boxes."""
        return cls(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
