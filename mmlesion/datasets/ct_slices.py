"""The dataset of CT slices with 2D boxes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.logging import print_log

from mmlesion.io.checks import to_numbers
from mmlesion.io.json_files import NOT_JSON
from mmlesion.io.schema import CT_FIELDS, is_target, path_under
from mmlesion.structures import file_shift, usable_segmentation
from mmlesion.utils import UserError

from .reader_marks import without_marks
from .transforms import LesionMasksToSegMap


@DATASETS.register_module()
class CTSliceDataset(CocoDataset):
    """Key slices of CT series with 2D boxes: COCO JSON with CT fields on each image.

    The CT fields ``spacing`` [x, y] mm/px, ``slice_interval`` mm, ``slice_index`` (the number in
    the file name), ``slice_range`` [first, last] (inclusive), ``windows`` [[low, high], ...] HU,
    ``patient_id``, ``study_id`` and ``series_id`` go into each sample as they are, where a file has
    them. Boxes marked ``noisy`` or ``ignore`` are kept out of the training targets, as crowds are
    (``ignore_flag`` 1). Those that mark a true lesion, with their center in the ellipse in its box,
    are in the samples of ``test_mode`` alone
    (:func:`~mmlesion.datasets.reader_marks.without_marks`).

    The classes are ``('lesion', )``; for annotations by type pass
    ``metainfo=dict(classes=('bone', 'abdomen', ...))`` as for any mmdet dataset.

    Annotations of one lesion on several slices of a series may share a ``lesion_id``: a sample's
    ``lesion_ids`` are those of the boxes to train with.

    Samples have mmdet's frame, in which pixel n extends from n to n + 1: where an image has
    ``pixel_center``, as DeepLesion's have, its boxes are moved there (docs/datasets.md). The
    diameters' ends of a slice's annotations are its ``recist`` as they are in the file.

    Args:
        *args: Those of :class:`mmdet.datasets.CocoDataset`.
        dataset_name (str, optional): Value of ``dataset_name`` in each sample, by which a model of
            several datasets tells them apart. Defaults to None, for samples without it.
        **kwargs: Those of :class:`mmdet.datasets.CocoDataset`, which rejects unknown ones.

    Raises:
        UserError: If the annotation file is missing, is not COCO JSON, lists no image, has none of
            the classes, names a file outside ``data_prefix['img']``, or has no lesion mask though
            the pipeline makes the target of dense supervision (``LesionMasksToSegMap``).
    """

    METAINFO = dict(
        classes=('lesion',),
        palette=[
            (255, 196, 0),
            (0, 200, 255),
            (255, 96, 96),
            (120, 220, 80),
            (220, 120, 255),
            (255, 140, 0),
            (80, 160, 255),
            (255, 105, 180),
        ],
    )

    def __init__(self, *args: Any, dataset_name: str | None = None, **kwargs: Any) -> None:
        self.dataset_name = dataset_name
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Load the annotation file.

        Returns:
            list[dict]: One sample per slice.
        """
        if 'img' not in self.data_prefix:
            raise UserError("set data_prefix=dict(img=...) to the folder of the dataset's slices")
        try:
            data_list = super().load_data_list()
        except FileNotFoundError as error:
            raise UserError(
                f'annotation file {self.ann_file} does not exist: convert the dataset first, or '
                'set data_root and ann_file'
            ) from error
        except NOT_JSON as error:
            raise UserError(
                f'{self.ann_file} is not JSON ({error}): convert the dataset again'
            ) from error
        except (KeyError, TypeError, ValueError, OverflowError, AssertionError) as error:
            raise UserError(
                f'{self.ann_file} is not a COCO annotation file of this schema '
                f'({type(error).__name__}: {error}): convert the dataset again'
            ) from error
        self._check(data_list)
        return data_list

    def _check(self, data_list: list[dict]) -> None:
        if not data_list:
            raise UserError(f'{self.ann_file} lists no images: convert the dataset again')
        classes = self.metainfo['classes']
        if len(self.cat_ids) < len(classes):
            raise UserError(
                f'only {len(self.cat_ids)} of the classes {", ".join(classes)} are categories of '
                f'{self.ann_file}: set metainfo=dict(classes=...) to its category names'
            )
        if any(isinstance(step, LoadImageFromFile) for step in self.pipeline.transforms):
            raise UserError(
                'LoadImageFromFile reads slices as 8 bits: begin the pipeline with LoadCTSlices'
            )
        if any(isinstance(step, LesionMasksToSegMap) for step in self.pipeline.transforms):
            self._check_masks(data_list)

    def _check_masks(self, data_list: list[dict]) -> None:
        lesions = masked = 0
        for instance in chain.from_iterable(info['instances'] for info in data_list):
            if not instance['ignore_flag']:
                lesions += 1
                masked += usable_segmentation(instance.get('mask')) is not None
        if lesions and not masked:
            raise UserError(
                f'dense supervision needs masks, but none of the {lesions} lesions of '
                f'{self.ann_file} has one ("segmentation"): make them by '
                'tools/dataset_converters/recist_masks.py'
            )
        if masked < lesions:
            print_log(
                f'{lesions - masked} of {lesions} lesions of {self.ann_file} have no mask: px in '
                'their boxes have no part in dense supervision',
                'current',
                logging.WARNING,
            )

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Parse one slice's annotations.

        Args:
            raw_data_info (dict): ``raw_img_info`` and ``raw_ann_info`` of the annotation file.

        Returns:
            dict: mmdet's sample and the CT fields.
        """
        img_info = raw_data_info['raw_img_info']
        path_under(self.data_prefix['img'], img_info['file_name'])
        for annotation in raw_data_info['raw_ann_info']:
            usable_segmentation(annotation.get('segmentation'))  # or it is refused
        boxes = [ann['bbox'] for ann in raw_data_info['raw_ann_info']]
        to_numbers(boxes, 4, f'{self.ann_file}: box of {img_info["file_name"]}')
        shift = file_shift(img_info)
        ann_info = [_shifted(_as_crowd(ann), shift) for ann in raw_data_info['raw_ann_info']]
        data_info = super().parse_data_info(dict(raw_img_info=img_info, raw_ann_info=ann_info))
        if not self.test_mode:
            # only in training, where a mark would hide its lesion: test samples have all findings
            data_info['instances'] = _to_train(data_info['instances'])
        data_info.update({key: img_info[key] for key in CT_FIELDS if key in img_info})
        data_info['recist'] = [ann['recist'] for ann in ann_info if ann.get('recist')]
        lesion_ids: dict[Any, None] = {}  # each lesion once, in the order of the annotations
        for ann in ann_info:
            if not ann['iscrowd'] and 'lesion_id' in ann:
                lesion_ids[ann['lesion_id']] = None
        data_info['lesion_ids'] = list(lesion_ids)
        if self.dataset_name is not None:
            data_info['dataset_name'] = self.dataset_name
        return data_info

    def filter_data(self) -> list[dict]:
        """Filter the slices by ``filter_cfg``.

        Returns:
            list[dict]: The slices that are left.
        """
        kept = super().filter_data()
        if not kept:
            raise UserError(
                f'filter_cfg={self.filter_cfg} leaves none of the {len(self.data_list)} slices of '
                f'{self.ann_file}: loosen it, or annotate lesions'
            )
        return kept


def _as_crowd(annotation: Mapping) -> dict:
    # mmdet drops `ignore` annotations, which would make background of them.
    return dict(annotation, iscrowd=int(not is_target(annotation)), ignore=False)


def _shifted(annotation: Mapping, shift: float) -> dict:
    """Return an annotation in mmdet's frame, with its box moved by ``shift`` px."""
    x, y, w, h = annotation['bbox']
    return dict(annotation, bbox=[x + shift, y + shift, w, h])


def _to_train(instances: list[dict]) -> list[dict]:
    """Return the boxes without ignored ones that mark a lesion."""
    # (n, 2, 2): the lower and the upper corner of each box
    corners = np.array([instance['bbox'] for instance in instances]).reshape(-1, 2, 2)
    return without_marks(instances, corners.mean(axis=1), corners[:, 1] - corners[:, 0])
