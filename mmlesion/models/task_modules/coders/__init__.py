"""Box coders."""

from .sphere_delta_coder import SphereDeltaCoder

__all__ = ['SphereDeltaCoder']
