"""Samples of slices that no dataset lists, for the pipeline of a model's config."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmlesion.io.schema import CT_FIELDS, path_under


def pipeline_sample(image: dict, root: str | Path, instances: Sequence[dict] = ()) -> dict:
    """Return the sample of a slice that a pipeline takes.

    Args:
        image: A COCO image.
        root: The folder of the images.
        instances: mmdet's instances. Defaults to none.

    Returns:
        dict: As :class:`~mmlesion.datasets.CTSliceDataset` makes it.
    """
    names = list(CT_FIELDS) + ['height', 'width']
    sample = {key: image[key] for key in names if key in image}
    path = path_under(root, image['file_name'])
    return dict(sample, img_path=path, img_id=image.get('id'), instances=list(instances))
