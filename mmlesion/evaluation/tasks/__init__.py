"""Scoring of each kind of annotation file."""

from .froc_task import (
    CaseDetections,
    CollectedRun,
    FROCTask,
    MatchedRun,
    OverlapOptions,
    SampleDetections,
)
from .slices import SliceTask
from .sub_volumes import SubVolumeTask
from .volumes import VolumeTask

__all__ = [
    'CaseDetections',
    'CollectedRun',
    'FROCTask',
    'MatchedRun',
    'OverlapOptions',
    'SampleDetections',
    'SliceTask',
    'SubVolumeTask',
    'VolumeTask',
]
