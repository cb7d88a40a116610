"""The dataset of CT slices with 2D boxes, and which single marks its training leaves out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import DATASETS
from mmengine.logging import print_log

from mmlesion.io.coco import box_faults, coco_ground_truth
from mmlesion.io.json_files import parse_json
from mmlesion.io.schema import CT_FIELDS, is_target, path_under
from mmlesion.structures import GroundTruth, file_shift, grid_samples, usable_segmentation
from mmlesion.utils import UserError

from .transforms import LesionMasksToSegMap, LoadLesionAnnotations


def without_marks(instances: list[dict], centers: np.ndarray, sizes: np.ndarray) -> list[dict]:
    """Exclude ignored findings that mark a lesion, with their center in it.

    LUNA16's list of excluded findings holds every reader's mark of every nodule. In training they
    must not make what surrounds the nodule, or the nodule, a region to ignore; in the evaluation
    they may stay, as a detection that matches a lesion is a true positive whatever else it matches.

    A lesion is the ball, or the ellipse, that fills its box. A finding whose center lies beside it,
    however near, is another one.

    Args:
        instances: n findings of a scan or a slice, with ``ignore_flag``.
        centers: (n, d), in mm or px.
        sizes: (n, d) or (n, 1) diameters along the axes, likewise.

    Returns:
        list[dict]: The others, in their order.
    """
    ignored = np.array([instance['ignore_flag'] for instance in instances], dtype=bool)
    # (n, lesions, d): from the center of each lesion, in diameters; its ball has radius 0.5
    offsets = (centers[:, None] - centers[~ignored]) / sizes[~ignored]
    in_lesion = ((offsets**2).sum(axis=-1) < 0.25).any(axis=1)
    return [one for one, mark in zip(instances, ignored & in_lesion) if not mark]


@DATASETS.register_module()
class CTSliceDataset(CocoDataset):
    """Key slices of CT series with 2D boxes: COCO JSON with CT fields on each image.

    The CT fields ``spacing`` [x, y] mm/px, ``slice_interval`` mm, ``slice_index`` (the number in
    the file name), ``slice_range`` [first, last] (inclusive), ``windows`` [[low, high], ...] HU,
    ``patient_id``, ``study_id`` and ``series_id`` go into each sample as they are, where a file has
    them. Boxes marked ``noisy`` or ``ignore`` are kept out of the training targets, as crowds are
    (``ignore_flag`` 1). Those that mark a true lesion, with their center in the ellipse in its box,
    are in the samples of ``test_mode`` alone
    (:func:`~mmlesion.datasets.ct_slices.without_marks`).

    The classes are ``('lesion', )``; for annotations by type pass
    ``metainfo=dict(classes=('bone', 'abdomen', ...))`` as for any mmdet dataset.

    Annotations of one lesion on several slices of a series may share a ``lesion_id``: a sample's
    ``lesion_ids`` are those of the boxes to train with.

    Samples have mmdet's frame, in which pixel n extends from n to n + 1: where an image has
    ``pixel_center``, as DeepLesion's have, its boxes are moved there (docs/datasets.md). The
    diameters' ends of a slice's annotations are its ``recist`` as they are in the file.

    Args:
        *args: Those of :class:`mmdet.datasets.CocoDataset`.
        dataset_name: Value of ``dataset_name`` in each sample, by which a model of
            several datasets tells them apart. Defaults to None, for samples without it.
        max_interval: mm. In ``test_mode`` sub-volumes whose slices are further
            apart have samples between them, too (:func:`~mmlesion.structures.grid_samples`), for
            which ``PackDetInputs`` needs 'slice_index' and 'grid_steps' in its ``meta_keys``.
            Mining and inference of volumes go by it as well. Defaults to None, the slices alone.
        **kwargs: Those of :class:`mmdet.datasets.CocoDataset`, which rejects unknown ones.

    Raises:
        UserError: If the annotation file is missing, is not COCO JSON by the rules of
            :func:`~mmlesion.io.coco.coco_ground_truth`, lists no image, has annotations but leaves
            none to train with, has none of the classes, names a file outside
            ``data_prefix['img']``, or has no lesion mask though the pipeline makes the target of
            dense supervision (``LesionMasksToSegMap``) or loads masks.
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

    def __init__(
        self,
        *args: Any,
        dataset_name: str | None = None,
        max_interval: float | None = None,
        **kwargs: Any,
    ) -> None:
        self.dataset_name = dataset_name
        self.max_interval = max_interval
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Load the annotation file.

        Returns:
            list[dict]: One sample per slice, and those between the slices of sub-volumes.
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
        except (KeyError, TypeError, ValueError, OverflowError, AssertionError) as error:
            raise UserError(
                f'{self.ann_file} is not a COCO annotation file of this schema '
                f'({type(error).__name__}: {error}): convert the dataset again'
            ) from error
        self._check(data_list)
        return self._with_slices_between(data_list) if self.test_mode else data_list

    def _with_slices_between(self, data_list: list[dict]) -> list[dict]:
        if self.max_interval is None:
            return data_list
        sub_volumes: dict[str, list[dict]] = {}
        for info in data_list:
            # a slice of no sub-volume is alone
            name = info.get('sub_volume', f'slice {info["img_id"]}')
            sub_volumes.setdefault(name, []).append(info)
        grids = [grid_samples(infos, self.max_interval) for infos in sub_volumes.values()]
        return list(chain.from_iterable(grids))

    def COCOAPI(self, path: str) -> COCO:
        """Read the annotation file for mmdet, by the rules of evaluation, and check what is left.

        Args:
            path: The file, or a local copy of it.

        Returns:
            COCO: mmdet's API of it.

        Raises:
            UserError: If it is not JSON, not of the schema, or leaves no lesion to train with.
        """
        api = COCO()
        api.dataset = parse_json(Path(path).read_bytes(), self.ann_file, 'convert it again')
        truth = coco_ground_truth(api.dataset, self.ann_file)
        self._check_lists(api.dataset)
        if not self.test_mode:
            self._check_targets(api.dataset, truth)
        api.createIndex()
        # mmdet's names for the indices that have been made anew
        api.img_ann_map, api.cat_img_map = api.imgToAnns, api.catToImgs
        return api

    def _check_lists(self, content: dict) -> None:
        if not content['images']:
            raise UserError(f'{self.ann_file} lists no images: convert the dataset again')
        classes = self.metainfo['classes']
        known = {category['name'] for category in content['categories']}.intersection(classes)
        if len(known) < len(classes):
            raise UserError(
                f'only {len(known)} of the classes {", ".join(classes)} are categories of '
                f'{self.ann_file}: set metainfo=dict(classes=...) to its category names'
            )

    def _check_targets(self, content: dict, truth: GroundTruth) -> None:
        """Say how many annotations are not trained with, and why; refuse a file without targets."""
        names = {category['id']: category['name'] for category in content['categories']}
        faults = box_faults(content, truth, self.ann_file)
        annotations, classes = content['annotations'], self.metainfo['classes']
        left_out = {
            **faults,
            'iscrowd, ignore or noisy': ~np.array([is_target(ann) for ann in annotations], bool),
            'of other categories': np.array(
                [names.get(ann['category_id']) not in classes for ann in annotations], bool
            ),
        }
        trained = ~np.any(list(left_out.values()), axis=0)
        counts = {reason: int(mask.sum()) for reason, mask in left_out.items() if mask.any()}
        listed = ', '.join(f'{count} {reason}' for reason, count in counts.items())
        if len(annotations) and not trained.any():
            raise UserError(
                f'{self.ann_file} leaves no lesion to train with: of its {len(annotations)} '
                f'annotations are {listed}'
            )
        repeated = int((truth.lesions.repeated & trained).sum())
        if repeated:
            listed += f'{listed and "; "}{repeated} are listed twice, and trained with twice'
        if listed:
            is_wrong = repeated or any(mask.any() for mask in faults.values())
            print_log(
                f'{trained.sum()} of {len(annotations)} annotations of {self.ann_file} are lesions '
                f'to train with: {listed}',
                'current',
                logging.WARNING if is_wrong else logging.INFO,
            )

    def _check(self, data_list: list[dict]) -> None:
        if any(isinstance(step, LoadImageFromFile) for step in self.pipeline.transforms):
            raise UserError(
                'LoadImageFromFile reads slices as 8 bits: begin the pipeline with LoadCTSlices'
            )
        if any(_needs_each_mask(step) for step in self.pipeline.transforms):
            instances = list(chain.from_iterable(info['instances'] for info in data_list))
            if bare := sum('mask' not in instance for instance in instances):
                raise UserError(
                    f'{bare} of {len(instances)} annotations of {self.ann_file} have no '
                    '"segmentation", which LoadAnnotations(with_mask=True) needs of each: take '
                    'LoadLesionAnnotations in its place'
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
            raw_data_info: ``raw_img_info`` and ``raw_ann_info`` of the annotation file.

        Returns:
            dict: mmdet's sample and the CT fields.
        """
        img_info = raw_data_info['raw_img_info']
        path_under(self.data_prefix['img'], img_info['file_name'])
        for annotation in raw_data_info['raw_ann_info']:
            usable_segmentation(annotation.get('segmentation'))  # or it is refused
        shift = file_shift(img_info)
        ann_info = [_shifted(_as_crowd(ann), shift) for ann in raw_data_info['raw_ann_info']]
        data_info = super().parse_data_info(dict(raw_img_info=img_info, raw_ann_info=ann_info))
        if not self.test_mode:
            # only in training, where a mark would hide its lesion: test samples have all findings
            data_info['instances'] = _to_train(data_info['instances'])
        fields = (*CT_FIELDS, 'sub_volume')
        data_info.update({key: img_info[key] for key in fields if key in img_info})
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


def _needs_each_mask(step: BaseTransform) -> bool:
    is_mmdets = isinstance(step, LoadAnnotations) and not isinstance(step, LoadLesionAnnotations)
    return is_mmdets and step.with_mask


def _as_crowd(annotation: Mapping) -> dict:
    # mmdet drops `ignore` annotations, and those whose area is 0, as it is in files that do not
    # measure it: both would become background.
    _, _, w, h = annotation['bbox']
    return dict(annotation, iscrowd=int(not is_target(annotation)), ignore=False, area=w * h)


def _shifted(annotation: Mapping, shift: float) -> dict:
    """Return an annotation in mmdet's frame, with its box moved by ``shift`` px."""
    x, y, w, h = annotation['bbox']
    return dict(annotation, bbox=[x + shift, y + shift, w, h])


def _to_train(instances: list[dict]) -> list[dict]:
    """Return the boxes without ignored ones that mark a lesion."""
    # (n, 2, 2): the lower and the upper corner of each box
    corners = np.array([instance['bbox'] for instance in instances]).reshape(-1, 2, 2)
    return without_marks(instances, corners.mean(axis=1), corners[:, 1] - corners[:, 0])
