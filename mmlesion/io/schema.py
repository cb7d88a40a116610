"""The annotation schema that all files of mmlesion share (docs/datasets.md)."""

from __future__ import annotations

import os
from pathlib import Path

from mmlesion.utils import UserError

HU_OFFSET = 32768
"""Stored value of 0 HU in the 16-bit PNG of slices."""
CT_FIELDS = (
    'spacing',
    'slice_interval',
    'slice_index',
    'slice_range',
    'windows',
    'patient_id',
    'study_id',
    'series_id',
)
"""What an image of the schema says beyond COCO's own fields."""


def path_under(root: str | Path, name: str) -> str:
    """Join the ``file_name`` of an annotation file to the folder that it is relative to.

    Raises:
        UserError: If the result lies outside ``root``.
    """
    root = os.path.abspath(root)
    path = os.path.abspath(os.path.join(root, name))
    if os.path.commonpath([root, path]) != root:
        raise UserError(f'{name!r} leads outside {root}: paths in annotation files stay under it')
    return path
