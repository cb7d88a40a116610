"""Annotation files with fewer or all annotations, for experiments on the cost of missing ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mmlesion.io.schema import is_target
from mmlesion.io.true_masks import TrueLesions
from mmlesion.structures import SliceSeries
from mmlesion.utils import UserError

from .annotations import AnnotationAdder, annotated_boxes, by_series, lesion_keys
from .rules import slice_overlap_pairs, without_overlap


def withhold_slices(data: dict) -> dict:
    """Keep each lesion on one slice, as DeepLesion is annotated: the slice of its largest box.

    Slices without annotations are removed. Adding them again is propagation without an error.

    Args:
        data: COCO content. Annotations on several slices of a series share their ``lesion_id``.

    Returns:
        dict: COCO content with fewer images and annotations.
    """

    def box_area(annotation: dict[str, Any]) -> float:
        width, height = annotation['bbox'][2:]
        return width * height

    return _keep(data, [max(same, key=box_area) for same in _by_lesion(data).values()])


def withhold_lesions(data: dict, fraction: float, seed: int = 0) -> dict:
    """Remove all annotations of randomly chosen lesions; their slices stay, as if without lesion.

    Args:
        data: COCO content. Annotations on several slices of a series share their ``lesion_id``.
        fraction: Share of the lesions that is removed, between 0 and 1.
        seed: Random seed. Defaults to 0.

    Returns:
        dict: COCO content with fewer annotations.

    Raises:
        UserError: If ``fraction`` is not between 0 and 1 or the seed is negative.
    """
    if not 0 < fraction < 1:
        raise UserError(f'a fraction of {fraction} lesions: give a number between 0 and 1')
    if seed < 0:
        raise UserError(f'seed {seed}: give 0 or a positive number')
    by_lesion = _by_lesion(data)
    lesions = sorted(by_lesion)
    # In a random order of all: a greater fraction removes the same lesions and some more.
    order = np.random.default_rng(seed).permutation(len(lesions))
    removed: set[int] = set()
    for i in order[: round(fraction * len(lesions))]:
        removed.update(annotation['id'] for annotation in by_lesion[lesions[i]])
    kept = [annotation for annotation in data['annotations'] if annotation['id'] not in removed]
    return {**data, 'annotations': kept}


def keep_matched(truth: dict, coco: dict, iou_thr: float = 0.5) -> dict:
    """Keep the true boxes that match a mined or annotated one.

    A detector that is trained on them has what mining found, without its wrong and inexact boxes.

    Args:
        truth: COCO content in which all lesions are annotated.
        coco: COCO content, such as mined one; ignored annotations match none.
        iou_thr: IoU above which boxes match. Defaults to 0.5.

    Returns:
        dict: COCO content of ``truth`` with fewer images and annotations.
    """
    others = by_series(coco)
    kept: list[dict] = []
    for series, (images, listed) in by_series(truth).items():
        lesions = list(filter(is_target, listed))
        other_images, other_annotations = others.get(series, ([], []))
        found = annotated_boxes(other_images, list(filter(is_target, other_annotations)))
        missed = without_overlap(annotated_boxes(images, lesions), found, iou_thr)
        kept.extend(lesions[i] for i in np.flatnonzero(~missed))
    return _keep(truth, kept)


def add_true_boxes(
    coco: dict,
    volumes: Iterable[SliceSeries],
    read_truth: Callable[[str], TrueLesions],
    iou_thr: float = 0.5,
) -> None:
    """Add the true boxes that no annotation matches, as perfect mining would.

    They have 'truth' as their ``source``. The boxes of an annotated lesion share its ``lesion_id``,
    those of another have a new one. All slices of the series are listed then, also those without a
    lesion: in a training they are the negative ones.

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
        annotated = annotated_boxes(volume.images.values(), volume.annotations)
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


def _by_lesion(data: dict) -> dict[tuple[str, str], list[dict]]:
    lesions: dict[tuple[str, str], list[dict]] = defaultdict(list)
    keys = lesion_keys(data)
    for annotation in filter(is_target, data['annotations']):
        lesions[keys[annotation['id']]].append(annotation)
    if not lesions:
        raise UserError('no lesion is annotated: give an annotation file with lesions')
    return lesions


def _keep(data: dict, kept: Sequence[dict]) -> dict:
    """Keep some annotations of lesions and their slices, with what is ignored there."""
    listed = {annotation['image_id'] for annotation in kept}
    images = [image for image in data['images'] if image['id'] in listed]
    ignored = [a for a in data['annotations'] if a['image_id'] in listed and not is_target(a)]
    ordered = sorted(kept, key=lambda annotation: annotation['id'])
    return {**data, 'images': images, 'annotations': ordered + ignored}
