"""Classifiers of 3D proposals."""

from .proposal_classifier_3d import ProposalClassifier3D

__all__ = ['ProposalClassifier3D']
