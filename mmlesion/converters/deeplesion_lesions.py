"""The lesions of DeepLesion, kept as numbers until they are written."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmlesion.io.deeplesion import Row
from mmlesion.io.number_columns import round_columns
from mmlesion.io.schema import make_annotation


class MeasuredLesions(Sequence):
    """The annotations of a split, which become dictionaries when they are read.

    A dictionary of a lesion takes 1.5 KiB, its numbers take 168 bytes.

    Args:
        multi_type (bool): Whether the lesion types are categories.
    """

    def __init__(self, multi_type: bool) -> None:
        self.multi_type = multi_type
        # of each lesion three whole numbers and 18 others, in the order of add()
        self._whole = array('q')
        self._numbers = array('d')

    def add(self, image_id: int, row: Row) -> None:
        """Add the lesion of a row."""
        self._whole.extend((image_id, row.lesion_type, row.noisy))
        self._numbers.fromlist(
            row.box + row.recist + row.location + row.diameters + row.spacing[:1]
        )

    def __len__(self) -> int:
        return len(self._whole) // 3

    def __getitem__(self, index: Any) -> Any:
        chosen = range(len(self))[index]
        if isinstance(index, slice):
            return self._annotations(chosen)
        return self._annotations(range(chosen, chosen + 1))[0]

    def _annotations(self, chosen: range) -> list[dict]:
        """Return the COCO annotations with the ids ``index + 1``."""
        whole = np.frombuffer(self._whole, np.int64).reshape(-1, 3)[chosen]
        numbers = np.frombuffer(self._numbers).reshape(-1, 18)[chosen]
        low, high = numbers[:, :2], numbers[:, 2:4]
        # The file's six significant digits leave nothing to keep below 1e-6 px.
        size = round_columns(high - low)
        columns = (
            whole,
            np.hstack([low, size]),
            round_columns(size[:, 0] * size[:, 1]),
            numbers[:, 4:12],
            numbers[:, 12:15],
            round_columns(numbers[:, 15:17] * numbers[:, 17:]),
        )
        rows = zip(*map(np.ndarray.tolist, columns))
        annotations = []
        for number, row in enumerate(rows, start=chosen.start + 1):
            (image_id, lesion_type, noisy), box, area, recist, location, diameters = row
            annotation = make_annotation(
                box,
                area,
                noisy=noisy,
                category_id=lesion_type if self.multi_type else 1,
                recist=recist,
                diameters_mm=diameters,
                normalized_location=location,
                lesion_type=lesion_type,
            )
            annotations.append({'id': number, 'image_id': image_id, **annotation})
        return annotations
