"""Samplers of slices, lesions, crops and proposals."""

from .lesion_crop_sampler import LesionCropSampler
from .lesion_slice_sampler import LesionSliceSampler, SingleDatasetBatchSampler
from .patient_samplers import LesionPairSampler, PatientHalfSampler
from .proposal_ratio_sampler import ProposalRatioSampler

__all__ = [
    'LesionCropSampler',
    'LesionPairSampler',
    'LesionSliceSampler',
    'PatientHalfSampler',
    'ProposalRatioSampler',
    'SingleDatasetBatchSampler',
]
