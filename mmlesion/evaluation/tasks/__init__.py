"""Scoring of each kind of annotation file."""

from .froc_task import FROCTask, SampleDetections
from .slices import SliceTask
from .sub_volumes import SubVolumeTask
from .volumes import VolumeTask

__all__ = ['FROCTask', 'SampleDetections', 'SliceTask', 'SubVolumeTask', 'VolumeTask']
