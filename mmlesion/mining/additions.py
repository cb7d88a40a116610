"""Annotations and images that are added to COCO content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any

import numpy as np

from mmlesion.io.schema import make_annotation
from mmlesion.structures import SliceBoxes, SliceSeries, file_shift


class AnnotationAdder:
    """Add annotations to COCO content, and the images that they need.

    Existing annotations are not changed, except that missing ``source`` ('annotated') and
    ``lesion_id`` are added.

    Args:
        coco: The content, modified in place.
    """

    def __init__(self, coco: dict) -> None:
        self.coco = coco
        annotations = coco['annotations']
        self._image_ids = _unused(coco['images'], 'id')
        self._ids = _unused(annotations, 'id')
        self._lesion_ids = _unused(annotations, 'lesion_id')
        for annotation in annotations:
            annotation.setdefault('source', 'annotated')
            if 'lesion_id' not in annotation:
                annotation['lesion_id'] = self.new_lesion()

    def new_lesion(self) -> int:
        """Return a ``lesion_id`` that no annotation has."""
        return next(self._lesion_ids)

    def add(
        self,
        volume: SliceSeries,
        boxes: SliceBoxes,
        index: int,
        source: str,
        lesion: Mapping,
        lesion_id: int | str | None,
        **extra: Any,
    ) -> None:
        """Add a box to its slice's image, clipped to it.

        Args:
            volume: The series.
            boxes: Boxes on its slices, in mmdet's frame.
            index: Which of them to add.
            source: What found it.
            lesion: An annotation with its category and type.
            lesion_id: Shared by all boxes of a lesion in the series.
            **extra: More fields.
        """
        place = int(np.searchsorted(volume.slices, boxes.slices[index]))
        image_id = self.list_image(volume, place)
        image = volume.images[int(boxes.slices[index])]
        size = [image['width'], image['height']] * 2
        # clipped to the image in mmdet's frame, then moved to the file's
        box = boxes.boxes[index].astype(float).clip(0, size) - file_shift(image)
        low, high = box.reshape(2, 2).round(2)
        width, height = (high - low).round(2).tolist()
        annotation = make_annotation(
            low.tolist() + [width, height],
            round(width * height, 2),
            source=source,
            id=next(self._ids),
            image_id=image_id,
            category_id=lesion['category_id'],
            lesion_type=lesion.get('lesion_type', -1),
            score=round(float(boxes.scores[index]), 4),
            lesion_id=lesion_id,
            **extra,
        )
        self.coco['annotations'].append(annotation)

    def list_image(self, volume: SliceSeries, place: int) -> int:
        """Return the id of a slice's image; add the image if it is not listed.

        Args:
            volume: The series.
            place: Index of the slice in its ``slices``.
        """
        image = volume.image(place)
        if 'id' not in image:
            image = dict(id=next(self._image_ids), **image)
            volume.images[image['slice_index']] = image
            self.coco['images'].append(image)
        return image['id']


def _unused(entries: Iterable[Mapping], field: str) -> Iterator[int]:
    """Count from the first number above those that entries have in a field; names do not count."""
    numbers = [0]
    for entry in entries:
        value = entry.get(field)
        if isinstance(value, (int, float)):
            numbers.append(int(value))
    return count(max(numbers) + 1)
