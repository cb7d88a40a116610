"""Datasets of patches around lesions and around proposals, and lesions that come more than once."""

from __future__ import annotations

import os.path as osp
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import PurePath
from typing import Any

import numpy as np
from mmdet.registry import DATASETS
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from mmlesion.io.slices import slice_path
from mmlesion.io.sub_volumes import read_proposals
from mmlesion.structures import SubVolume
from mmlesion.utils import UserError

from .ct_slices import CTSliceDataset

SERIES_FIELDS = ('height', 'width', 'spacing', 'slice_interval')

LESION_FIELDS = ('lesion_type', 'normalized_location', 'lesion_id')


@DATASETS.register_module()
class LesionPatchDataset(CTSliceDataset):
    """One sample per annotated lesion, for training an embedding.

    A sample is that of :class:`CTSliceDataset` with one box, and its annotation's ``lesion_type``
    (-1 where unknown) and ``normalized_location``. Annotations of one lesion share a
    ``lesion_group``; see :func:`~mmlesion.datasets.patch_datasets.group_lesions`. Ignored and
    noisy annotations are left out.

    Args:
        *args: Those of :class:`CTSliceDataset`.
        max_distance: See :func:`~mmlesion.datasets.patch_datasets.group_lesions`.
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


def group_lesions(samples: Sequence[dict], max_distance: float = 0.03) -> list[str]:
    """Group the annotations of one lesion in a patient's slices, series and studies.

    DeepLesion does not say which of its annotations are of one lesion. Two of a patient, on
    different slices, are taken for it if they share series and ``lesion_id``, or if their
    ``normalized_location`` is nearly the same and their types, where both are known, do not differ.

    Args:
        samples: Annotations with ``img_path``, ``patient_id``, ``study_id``,
            ``series_id``, ``lesion_type`` and, where there are, ``normalized_location`` (x, y as
            shares of the image, z of the body) and ``lesion_id``.
        max_distance: L2 distance of normalized locations up to which they are nearly the
            same. Defaults to 0.03, which is 15 px in a slice.

    Returns:
        list[str]: The group of each sample, '<patient>/<number>'; of annotations without a
        patient, one each.
    """
    by_patient: dict[str, list[int]] = {}
    for index, sample in enumerate(samples):
        patient = sample.get('patient_id')
        by_patient.setdefault(f'slice {index}' if patient is None else patient, []).append(index)
    groups = [''] * len(samples)
    for patient, indices in by_patient.items():
        # what is linked through others is one lesion too: the components of the pairs' graph
        same = _same_lesion([samples[index] for index in indices], max_distance)
        _, numbers = connected_components(coo_matrix(same), directed=False)
        for index, number in zip(indices, numbers.tolist()):
            groups[index] = f'{patient}/{number}'
    return groups


def _same_lesion(samples: Sequence[dict], max_distance: float) -> np.ndarray:
    """Return which pairs of a patient's annotations are of the same lesion, (n, n) bool."""
    nowhere = [np.nan] * 3
    places = np.array([sample.get('normalized_location', nowhere) for sample in samples], float)
    types = np.array([sample['lesion_type'] for sample in samples])
    # All of these are (n, n): annotation i and annotation j.
    # types below 0 are unknown and agree with every other
    agree = (types[:, None] == types) | (types < 0) | (types[:, None] < 0)
    # a place that is unknown is not a number, which is near to none
    same = (cdist(places, places) <= max_distance) & agree
    same |= _equal([_numbered_lesion(sample) for sample in samples])
    return same & ~_equal([sample['img_path'] for sample in samples])


def _numbered_lesion(sample: Mapping) -> tuple | None:
    if 'lesion_id' not in sample:
        return None
    return sample.get('study_id'), sample.get('series_id'), sample['lesion_id']


def _equal(values: Sequence[Hashable]) -> np.ndarray:
    """Return which pairs of values are equal and not None, (n, n) bool."""
    # 0 stands for None, so that the values' numbers are comparable in NumPy
    number_of: dict[Hashable, int] = {None: 0}
    for value in values:
        number_of.setdefault(value, len(number_of))
    numbers = np.array([number_of[value] for value in values])
    return (numbers[:, None] == numbers) & (numbers > 0)


@DATASETS.register_module()
class ProposalPatchDataset(CTSliceDataset):
    """One sample per 3D proposal of a detector, for training a classifier (LENS).

    A sample names the slice at the proposal's center, from which ``LoadProposalPatch`` finds the
    others, and has ``sub_volume``, ``proposal_box`` (x1, y1, z1, x2, y2, z2 in px and slice
    numbers, inclusive) and ``proposal_score``; for training also ``proposal_label``, 1 of a lesion
    and 0 of a false positive.

    ``proposal_file`` is, under ``test_mode``, the ``<prefix>.boxes3d.json`` that ``FROCMetric``
    writes; otherwise the output of ``tools/label_proposals.py``, with the label as an eighth number
    in each row. ``ann_file`` is one that lists a slice of each series, such as the one that the
    detector was run on: size and spacing are taken from there.

    Args:
        *args: Those of :class:`CTSliceDataset`.
        proposal_file: The proposals, relative to ``data_root``.
        **kwargs: Those of :class:`CTSliceDataset`, which rejects unknown ones.

    Raises:
        UserError: As :class:`CTSliceDataset`; and if the proposals are missing, are not of that
            kind, or are of a series that ``ann_file`` does not list.
    """

    def __init__(self, *args: Any, proposal_file: str, **kwargs: Any) -> None:
        super().__init__(*args, proposal_file=proposal_file, **kwargs)

    def load_proposals(self) -> None:
        """Load the proposals, which take the place of the slices as samples."""
        path = osp.join(self.data_root or '', self.proposal_file)
        if not osp.exists(path):
            raise UserError(
                f'there are no proposals {path}: make them by tools/label_proposals.py for '
                "training, or by tools/test.py with the detector's config and "
                'test_evaluator.outfile_prefix, or set proposal_file'
            )
        series = self._series()
        samples: list[dict] = []
        for name, rows in read_proposals(path, labeled=not self.test_mode).items():
            sub_volume = SubVolume.parse(name)
            if sub_volume.series not in series:
                raise UserError(
                    f'{path} has {name}, but {self.ann_file} no image of its series: give the '
                    'annotation file that the detector was run on'
                )
            samples += _samples(name, sub_volume, series[sub_volume.series], rows)
        self.data_list = samples
        if not self.data_list:
            raise UserError(f'{path} has no proposals: run the detector with a lower threshold')

    def _series(self) -> dict[str, dict]:
        """Return a slice of each series by its name in sub-volumes."""
        slices = {}
        for sample in self.data_list:
            path = PurePath(osp.relpath(sample['img_path'], self.data_prefix['img']))
            slices['_'.join(path.parent.parts)] = sample
        return slices


def _samples(name: str, sub_volume: SubVolume, series: Mapping, rows: np.ndarray) -> Iterator[dict]:
    """Return a sample for each of a sub-volume's proposals.

    Args:
        name: Of the sub-volume, as the file has it.
        sub_volume: Its series and slices.
        series: The sample of any of its series' slices.
        rows: (n, 7) or (n, 8).
    """
    fields = {key: series[key] for key in SERIES_FIELDS if key in series}
    fields.update(sub_volume=name, slice_range=[sub_volume.first, sub_volume.last])
    # z is inclusive: the slice at the middle of z1 and z2 + 1, in the sub-volume
    middle = np.floor((rows[:, 2] + rows[:, 5] + 1) / 2)
    keys = middle.clip(sub_volume.first, sub_volume.last).astype(int)
    for key, row in zip(keys.tolist(), rows.tolist()):
        sample = dict(fields, img_path=slice_path(series, key), slice_index=key)
        sample.update(proposal_box=row[:6], proposal_score=row[6])
        if len(row) > 7:
            sample['proposal_label'] = int(row[7])
        yield sample
