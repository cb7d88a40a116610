"""RoI extractors."""

from .diameter_aligned_extractor import DiameterAlignedExtractor

__all__ = ['DiameterAlignedExtractor']
