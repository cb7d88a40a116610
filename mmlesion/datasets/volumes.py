"""The dataset of 1 mm volumes with spheres."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmdet.datasets import BaseDetDataset
from mmdet.registry import DATASETS
from mmengine.fileio import get
from mmengine.logging import print_log

from mmlesion.io.json_files import parse_json
from mmlesion.io.schema import is_ignored, path_under
from mmlesion.io.volumes import volume_ground_truth, with_sphere
from mmlesion.utils import OptionError, UserError

from .ct_slices import CTSliceDataset, without_marks

VOLUME_FIELDS = ('size', 'spacing', 'origin', 'direction', 'series_uid')
SPLITS = ('train', 'test')


@DATASETS.register_module()
class VolumeDataset(BaseDetDataset):
    """Volumes of 1 mm with spheres around lesions: the JSON of 3D benchmarks (docs/datasets.md).

    An annotation that has a 3D box alone stands for the sphere with the box's center and longest
    side (:func:`~mmlesion.io.volumes.with_sphere`).

    A sample is a whole volume; ``RandomLesionCrop`` cuts one crop of it. Findings marked
    ``ignore`` are kept out of the training targets (``ignore_flag`` 1). Those that mark a lesion,
    with their center in it, are in the samples of ``test_mode`` alone
    (:func:`~mmlesion.datasets.ct_slices.without_marks`).

    The classes are ``('lesion', )``; LUNA16's is ``metainfo=dict(classes=('nodule', ))``. With
    ``preparation`` in ``metainfo`` the file must say that its volumes were made like this, such as
    ``dict(lungs=dict(margin=10.0, outside='fill'))``; inference then does the same to a scan.

    Args:
        *args: Those of :class:`mmdet.datasets.BaseDetDataset`.
        fold: The fold, or folds, of cross-validation whose volumes
            are tested. Defaults to None, all volumes of ``ann_file``.
        split: With ``fold``, 'train' takes the volumes of all other folds, 'test' its own.
            Defaults to 'train'.
        crops_per_volume: Crops of each volume in an epoch of training. Defaults to 1.
        by_lesion: Whether the training samples are lesions, then volumes, of which
            :class:`~mmlesion.datasets.samplers.LesionCropSampler` draws an epoch. A sample's
            ``crop_target`` is the lesion that its crop must contain, or None for a crop anywhere.
            Ignored lesions are no samples. Defaults to False.
        **kwargs: Those of :class:`mmdet.datasets.BaseDetDataset`, which rejects unknown ones:
            ``ann_file``, ``data_root``, ``data_prefix=dict(img=...)`` (the folder that
            ``file_name`` is relative to, ``data_root`` by default), ``pipeline``, ``test_mode``,
            ``metainfo``, ``indices``, and ``filter_cfg=dict(filter_empty_gt=True)``, which leaves
            volumes without lesions out of training.

    Attributes:
        hard_spots: By volume id, the spheres where a detector was wrong, z, y, x
            and diameter in voxels; see ``HardCropHook``.

    Raises:
        UserError: If the annotation file is missing or not of this schema, has no volume of the
            fold or none of the classes, was prepared otherwise, or names a file outside of
            ``data_prefix['img']``.
    """

    METAINFO = CTSliceDataset.METAINFO

    def __init__(
        self,
        *args: Any,
        fold: int | Sequence[int] | None = None,
        split: str = 'train',
        crops_per_volume: int = 1,
        by_lesion: bool = False,
        **kwargs: Any,
    ) -> None:
        if split not in SPLITS:
            raise OptionError(f'split={split!r} of a fold: choose one of {", ".join(SPLITS)}', self)
        if crops_per_volume < 1:
            raise OptionError(f'crops_per_volume={crops_per_volume}: give at least 1', self)
        if by_lesion and crops_per_volume != 1:
            raise OptionError(
                'by_lesion leaves the number of crops to the sampler: leave out one', self
            )
        self.fold = fold
        self.split = split
        self.crops_per_volume = crops_per_volume
        self.by_lesion = by_lesion
        self.hard_spots: dict[int | str, list] = {}
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Load the annotation file.

        Returns:
            list[dict]: One sample per volume.
        """
        content = self._read()
        self._check_preparation(content)
        try:
            lesions = _group_instances(content, self._labels(content['categories']))
            samples = []
            for volume in content['volumes']:
                if self._is_chosen(volume):
                    samples.append(self._sample(volume, lesions[volume['id']]))
            # what evaluation refuses, training refuses too
            truth = volume_ground_truth(content, self.ann_file) if samples else None
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f'{self.ann_file} is not an annotation file of volumes '
                f'({type(error).__name__}: {error}): convert the dataset again'
            ) from error
        if truth is None:
            of_fold = '' if self.fold is None else f' to {self.split} with fold={self.fold}'
            raise UserError(f'{self.ann_file} has no volume{of_fold}: convert the whole dataset')
        if repeated := int((truth.lesions.repeated & ~truth.lesions.ignore).sum()):
            print_log(
                f'{repeated} annotations of {self.ann_file} are listed twice, and used twice',
                'current',
                logging.WARNING,
            )
        return samples

    def _read(self) -> Any:
        try:
            text = get(self.ann_file, backend_args=self.backend_args)  # bytes, perhaps with a BOM
        except FileNotFoundError as error:
            raise UserError(
                f'annotation file {self.ann_file} does not exist: convert the dataset first, or '
                'set data_root and ann_file'
            ) from error
        return parse_json(text, self.ann_file, 'convert the dataset again')

    def _check_preparation(self, content: Any) -> None:
        """Compare how the volumes were made with ``metainfo.preparation``, if it is set."""
        expected = self.metainfo.get('preparation')
        info = content.get('info', {}) if isinstance(content, dict) else {}
        found = info.get('preparation')
        if expected is None or found == expected:
            return
        difference = (
            f'the volumes of {self.ann_file} were prepared by {found}, but the config has '
            f'metainfo.preparation={expected}: convert the dataset again, or change the config'
        )
        # A file without the field may well be right: it is not refused.
        if found is not None:
            raise UserError(difference)
        print_log(difference, 'current', logging.WARNING)

    def _labels(self, categories: Sequence[Mapping]) -> dict[int, int]:
        """Return labels by category id."""
        ids = {category['name']: category['id'] for category in categories}
        labels = {}
        for label, name in enumerate(self.metainfo['classes']):
            if name not in ids:
                raise UserError(
                    f'{self.ann_file} has no category {name}: set metainfo=dict(classes=...) to '
                    f'its categories {", ".join(ids)}'
                )
            labels[ids[name]] = label
        return labels

    def _is_chosen(self, volume: Mapping) -> bool:
        # a fold is left out in training and is all there is in testing
        return self.fold is None or np.isin(volume['fold'], self.fold) == (self.split == 'test')

    def _sample(self, volume: Mapping, instances: list[dict]) -> dict:
        # File and memory map are local, so that a backend would only be in the way.
        root = self.data_prefix.get('img', self.data_root or '')
        sample = {
            'volume_id': volume['id'],
            'volume_path': path_under(root, volume['file_name']),
            'instances': instances if self.test_mode else _to_train(instances),
        }
        return sample | {key: volume[key] for key in VOLUME_FIELDS}

    def filter_data(self) -> list[dict]:
        """Filter and repeat the volumes according to ``filter_cfg``; do nothing in test mode.

        Returns:
            list[dict]: The samples of an epoch.
        """
        if self.test_mode:
            return self.data_list
        kept = self.data_list
        if (self.filter_cfg or {}).get('filter_empty_gt', False):
            kept = [sample for sample in kept if _has_lesions(sample)]
        if not kept:
            raise UserError(
                f'filter_cfg={self.filter_cfg} leaves none of the {len(self.data_list)} volumes '
                f'of {self.ann_file}: loosen it, or annotate lesions'
            )
        if self.by_lesion:
            return _lesion_samples(kept)
        repeated = []
        for sample in kept:
            repeated += [sample] * self.crops_per_volume
        return repeated

    def get_data_info(self, idx: int) -> dict:
        """Get a sample by its index, with the ``hard_spots`` of its volume."""
        sample = super().get_data_info(idx)
        sample['hard_spots'] = self.hard_spots.get(sample['volume_id'], [])
        return sample


def _group_instances(content: Mapping, labels: Mapping[int, int]) -> dict[int | str, list[dict]]:
    """Return the instances of each volume by its id."""
    instances: dict[int | str, list[dict]] = {volume['id']: [] for volume in content['volumes']}
    for annotation in content['annotations']:
        if annotation['category_id'] in labels:
            instance = _instance(with_sphere(annotation), labels)
            instances[annotation['volume_id']].append(instance)
    return instances


def _instance(annotation: Mapping, labels: Mapping[int, int]) -> dict:
    x, y, z = annotation['center_mm']
    return {
        'center_mm': [float(x), float(y), float(z)],
        'diameter_mm': float(annotation['diameter_mm']),
        'bbox_label': labels[annotation['category_id']],
        'ignore_flag': int(is_ignored(annotation)),
    }


def _to_train(instances: list[dict]) -> list[dict]:
    """Return the findings without ignored ones that mark a lesion."""
    centers = np.array([instance['center_mm'] for instance in instances]).reshape(-1, 3)
    diameters = np.array([instance['diameter_mm'] for instance in instances]).reshape(-1, 1)
    return without_marks(instances, centers, diameters)


def _has_lesions(sample: Mapping) -> bool:
    return any(not instance['ignore_flag'] for instance in sample['instances'])


def _lesion_samples(samples: Sequence[dict]) -> list[dict]:
    """Return one sample per lesion, then one per volume."""
    aimed = []
    for sample in samples:
        for lesion in sample['instances']:
            if not lesion['ignore_flag']:
                aimed.append(dict(sample, crop_target=lesion))
    return aimed + [dict(sample, crop_target=None) for sample in samples]
