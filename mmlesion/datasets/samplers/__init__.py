"""Samplers of slices, lesions, crops and proposals."""

from .lesion_crop_sampler import LesionCropSampler
from .lesion_pair_sampler import LesionPairSampler
from .lesion_slice_sampler import LesionSliceSampler
from .patient_half_sampler import PatientHalfSampler
from .proposal_ratio_sampler import ProposalRatioSampler
from .single_dataset_batch_sampler import SingleDatasetBatchSampler

__all__ = [
    'LesionCropSampler',
    'LesionPairSampler',
    'LesionSliceSampler',
    'PatientHalfSampler',
    'ProposalRatioSampler',
    'SingleDatasetBatchSampler',
]
