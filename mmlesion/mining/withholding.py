"""Annotation files with fewer annotations, for experiments on the cost of missing ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mmlesion.io.schema import is_target
from mmlesion.io.slices import series_of
from mmlesion.utils import UserError


def withhold_slices(data: dict) -> dict:
    """Keep each lesion on one slice, as DeepLesion is annotated: the slice of its largest box.

    Slices without annotations are removed. Adding them again is propagation without an error.

    Args:
        data: COCO content. Annotations on several slices of a series share their
            ``lesion_id``.

    Returns:
        dict: COCO content with fewer images and annotations.
    """
    kept: list[dict] = []
    for same_lesion in _by_lesion(data).values():
        kept.append(max(same_lesion, key=_box_area))
    return keep_annotations(data, kept)


def keep_annotations(data: dict, kept: Sequence[dict]) -> dict:
    """Keep some annotations of lesions and their slices, with what is ignored there.

    Args:
        data: COCO content.
        kept: Some of its annotations.

    Returns:
        dict: COCO content with fewer images and annotations.
    """
    listed = {annotation['image_id'] for annotation in kept}
    images = [image for image in data['images'] if image['id'] in listed]
    ignored = [a for a in data['annotations'] if a['image_id'] in listed and not is_target(a)]
    ordered = sorted(kept, key=lambda annotation: annotation['id'])
    return {**data, 'images': images, 'annotations': ordered + ignored}


def withhold_lesions(data: dict, fraction: float, seed: int = 0) -> dict:
    """Remove all annotations of randomly chosen lesions; their slices stay, as if without lesion.

    Args:
        data: COCO content. Annotations on several slices of a series share their
            ``lesion_id``.
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


def _by_lesion(data: dict) -> dict[LesionKey, list[dict]]:
    lesions: dict[LesionKey, list[dict]] = defaultdict(list)
    keys = lesion_keys(data)
    for annotation in data['annotations']:
        if is_target(annotation):
            lesions[keys[annotation['id']]].append(annotation)
    if not lesions:
        raise UserError('no lesion is annotated: give an annotation file with lesions')
    return lesions


class LesionKey(NamedTuple):
    """Identify a lesion in a file.

    Args:
        series: The folder of its slices; lesions are numbered anew in each.
        lesion: Its ``lesion_id``.
    """

    series: str
    lesion: str


def lesion_keys(data: Mapping) -> dict[int, LesionKey]:
    """Return each annotation's lesion, by the annotation's id.

    Args:
        data: COCO content. An annotation without ``lesion_id`` is a lesion by itself.
    """
    series = {image['id']: series_of(image['file_name']) for image in data['images']}
    keys: dict[int, LesionKey] = {}
    for annotation in data['annotations']:
        lesion = annotation.get('lesion_id', f'annotation {annotation["id"]}')
        keys[annotation['id']] = LesionKey(series[annotation['image_id']], str(lesion))
    return keys


def _box_area(annotation: dict[str, Any]) -> float:
    width, height = annotation['bbox'][2:]
    return width * height
