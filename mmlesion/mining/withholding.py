"""Annotation files with fewer annotations, for experiments on the cost of missing ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmlesion.io.schema import is_target
from mmlesion.utils import UserError


def withhold_slices(data: dict) -> dict:
    """Keep each lesion on one slice, as DeepLesion is annotated: the slice of its largest box.

    Slices without annotations are removed. Adding them again is propagation without an error.

    Args:
        data (dict): COCO content. Annotations on several slices share their ``lesion_id``.

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
        data (dict): COCO content.
        kept (list[dict]): Some of its annotations.

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
        data (dict): COCO content. Annotations on several slices share their ``lesion_id``.
        fraction (float): Share of the lesions that is removed, between 0 and 1.
        seed (int): Random seed. Defaults to 0.

    Returns:
        dict: COCO content with fewer annotations.

    Raises:
        UserError: If ``fraction`` is not between 0 and 1 or the seed is negative.
    """
    if not 0 < fraction < 1:
        raise UserError(f'a fraction of {fraction} lesions: give a number between 0 and 1')
    if seed < 0:
        raise UserError(f'seed {seed}: give 0 or a positive number')
    lesions = sorted(_by_lesion(data))
    # In a random order of all: a greater fraction removes the same lesions and some more.
    order = np.random.default_rng(seed).permutation(len(lesions))
    removed = {lesions[i] for i in order[: round(fraction * len(lesions))]}
    kept = []
    for annotation in data['annotations']:
        if not is_target(annotation) or lesion_key(annotation) not in removed:
            kept.append(annotation)
    return {**data, 'annotations': kept}


def _by_lesion(data: dict) -> dict[str, list[dict]]:
    lesions: dict[str, list[dict]] = defaultdict(list)
    for annotation in data['annotations']:
        if is_target(annotation):
            lesions[lesion_key(annotation)].append(annotation)
    if not lesions:
        raise UserError('no lesion is annotated: give an annotation file with lesions')
    return lesions


def lesion_key(annotation: dict[str, Any]) -> str:
    """Return the key of a lesion; an annotation without ``lesion_id`` is a lesion by itself."""
    return str(annotation.get('lesion_id', f'annotation {annotation["id"]}'))


def _box_area(annotation: dict[str, Any]) -> float:
    width, height = annotation['bbox'][2:]
    return width * height
