"""Datasets of slices, patches and volumes."""

from .ct_slices import CTSliceDataset
from .patch_datasets import LesionPatchDataset, ProposalPatchDataset
from .samplers import (
    LesionCropSampler,
    LesionPairSampler,
    LesionSliceSampler,
    PatientHalfSampler,
    ProposalRatioSampler,
    SingleDatasetBatchSampler,
)
from .transforms import *  # noqa: F401,F403
from .volumes import VolumeDataset

__all__ = [
    'CTSliceDataset',
    'LesionCropSampler',
    'LesionPairSampler',
    'LesionPatchDataset',
    'LesionSliceSampler',
    'PatientHalfSampler',
    'ProposalPatchDataset',
    'ProposalRatioSampler',
    'SingleDatasetBatchSampler',
    'VolumeDataset',
]
