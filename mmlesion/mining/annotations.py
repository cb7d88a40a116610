"""Annotations of COCO content: by series, as boxes, by lesion; and new ones that are added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from mmlesion.io.schema import make_annotation
from mmlesion.io.slices import series_of, slice_number
from mmlesion.structures import SliceBoxes, SliceSeries, file_box, file_shift


def by_series(coco: Mapping) -> dict[str, tuple[list[dict], list[dict]]]:
    """Return the images and annotations of each series."""
    series: dict[str, tuple[list[dict], list[dict]]] = {}
    series_of_image = {}
    for image in coco['images']:
        found = series.setdefault(series_of(image['file_name']), ([], []))
        found[0].append(image)
        series_of_image[image['id']] = found
    for annotation in coco['annotations']:
        series_of_image[annotation['image_id']][1].append(annotation)
    return series


def annotated_boxes(images: Iterable[dict], annotations: Sequence[dict]) -> SliceBoxes:
    """Return the boxes of COCO annotations of a series, in mmdet's frame, with scores of 1.

    Args:
        images: The series' listed images.
        annotations: Some of their annotations.
    """
    image_of = {image['id']: image for image in images}
    own = [image_of[annotation['image_id']] for annotation in annotations]
    boxes = np.array([file_box(*pair) for pair in zip(annotations, own)], float)
    numbers = np.array([slice_number(image['file_name']) for image in own], int)
    return SliceBoxes(boxes.reshape(-1, 4), numbers, np.ones(len(annotations)))


def lesion_keys(coco: Mapping) -> dict[int, tuple[str, str]]:
    """Return each annotation's series and lesion, by the annotation's id.

    Lesions are numbered anew in each series. An annotation without ``lesion_id`` is a lesion by
    itself.
    """
    series = {image['id']: series_of(image['file_name']) for image in coco['images']}
    keys = {}
    for annotation in coco['annotations']:
        lesion = annotation.get('lesion_id', f'annotation {annotation["id"]}')
        keys[annotation['id']] = (series[annotation['image_id']], str(lesion))
    return keys


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
        number = int(boxes.slices[index])
        image_id = self.list_image(volume, int(np.searchsorted(volume.slices, number)))
        image = volume.images[number]
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
        """Return the id of the image of a series' ``place``-th slice; list it if it is not yet."""
        image = volume.image(place)
        if 'id' not in image:
            image = dict(id=next(self._image_ids), **image)
            volume.images[image['slice_index']] = image
            self.coco['images'].append(image)
        return image['id']


def _unused(entries: Iterable[Mapping], field: str) -> Iterator[int]:
    """Count from the first number above those that entries have in a field; names do not count."""
    values = [entry.get(field) for entry in entries]
    numbers = [int(value) for value in values if isinstance(value, (int, float))]
    return count(max(numbers, default=0) + 1)
