"""The dataset of annotated lesions for training an embedding."""

from __future__ import annotations

from itertools import chain
from typing import Any

from mmdet.registry import DATASETS

from .ct_slices import CTSliceDataset
from .repeated_lesions import group_lesions

LESION_FIELDS = ('lesion_type', 'normalized_location', 'lesion_id')


@DATASETS.register_module()
class LesionPatchDataset(CTSliceDataset):
    """One sample per annotated lesion, for training an embedding.

    A sample is that of :class:`CTSliceDataset` with one box, and its annotation's ``lesion_type``
    (-1 where unknown) and ``normalized_location``. Annotations of one lesion share a
    ``lesion_group``; see :func:`~mmlesion.datasets.repeated_lesions.group_lesions`. Ignored and
    noisy annotations are left out.

    Args:
        *args: Those of :class:`CTSliceDataset`.
        max_distance: See :func:`~mmlesion.datasets.repeated_lesions.group_lesions`.
            Defaults to 0.03.
        **kwargs: Those of :class:`CTSliceDataset`, which rejects unknown ones.
    """

    def __init__(self, *args: Any, max_distance: float = 0.03, **kwargs: Any) -> None:
        self.max_distance = max_distance
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Load the annotation file.

        Returns:
            list[dict]: One sample per lesion.
        """
        samples = list(chain.from_iterable(super().load_data_list()))
        for sample, group in zip(samples, group_lesions(samples, self.max_distance)):
            sample['lesion_group'] = group
        return samples

    # mmengine's datasets take a list from it too, whose items become samples
    def parse_data_info(self, raw_data_info: dict) -> list[dict]:  # type: ignore[override]
        """Parse one slice's annotations.

        Args:
            raw_data_info: ``raw_img_info`` and ``raw_ann_info`` of the annotation file.

        Returns:
            list[dict]: A sample for each lesion.
        """
        samples = []
        for annotation in raw_data_info['raw_ann_info']:
            sample = super().parse_data_info(dict(raw_data_info, raw_ann_info=[annotation]))
            if sample['instances'] and not sample['instances'][0]['ignore_flag']:
                fields = {key: annotation[key] for key in LESION_FIELDS if key in annotation}
                samples.append(dict(sample, lesion_type=-1) | fields)
        return samples
