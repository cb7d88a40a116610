"""The dataset of 3D proposals for false positive reduction."""

from __future__ import annotations

import os.path as osp
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from mmdet.registry import DATASETS

from mmlesion.io.slices import slice_path
from mmlesion.io.sub_volumes import read_proposals
from mmlesion.structures import SubVolume
from mmlesion.utils import UserError

from .ct_slices import CTSliceDataset

SERIES_FIELDS = ('height', 'width', 'spacing', 'slice_interval')


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
