"""Perfect mining, for experiments on what the rules of mining miss or get wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from mmlesion.io.true_masks import TrueLesions
from mmlesion.structures import SliceSeries

from .additions import AnnotationAdder
from .embeddings import annotated_boxes
from .rules import slice_overlap_pairs


def add_true_boxes(
    coco: dict,
    volumes: Iterable[SliceSeries],
    read_truth: Callable[[str], TrueLesions],
    iou_thr: float = 0.5,
) -> None:
    """Add the true boxes that no annotation matches, with 'truth' as their ``source``.

    The boxes of an annotated lesion share its ``lesion_id``, those of another have a new one.
    All slices of the series are listed then, also those without a lesion: in a training they are
    the negative ones.

    Args:
        coco: COCO content of partially annotated series, modified in place.
        volumes: Of the COCO content.
        read_truth: Takes the name of a series, returns its :class:`TrueLesions`.
        iou_thr: IoU above which boxes match. Defaults to 0.5.
    """
    adder = AnnotationAdder(coco)
    category = dict(category_id=coco['categories'][0]['id'])
    for volume in volumes:
        truth = read_truth(volume.name)
        annotated = annotated_boxes(volume, volume.annotations)
        rows, columns, ious = slice_overlap_pairs(annotated, truth.boxes)
        # indices of an annotation and of the true box that it matches
        rows, columns = rows[ious > iou_thr], columns[ious > iou_thr]
        owners: dict[int, dict] = {}
        for row, column in zip(rows, columns):
            owners.setdefault(int(truth.label[column]), volume.annotations[row])
        for i in np.setdiff1d(np.arange(len(truth.label)), columns):
            label = int(truth.label[i])
            if label not in owners:
                owners[label] = dict(category, lesion_id=adder.new_lesion())
            lesion = owners[label]
            adder.add(volume, truth.boxes, i, 'truth', lesion, lesion['lesion_id'])
        for place in range(len(volume.slices)):
            adder.list_image(volume, place)
