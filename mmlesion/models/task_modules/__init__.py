"""Assigners, coders and prior generators."""

from .assigners import SphereOverlaps3D, UncertainIoUAssigner
from .coders import SphereDeltaCoder
from .prior_generators import SphereAnchorGenerator

__all__ = ['SphereAnchorGenerator', 'SphereDeltaCoder', 'SphereOverlaps3D', 'UncertainIoUAssigner']
