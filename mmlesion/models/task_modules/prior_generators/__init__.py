"""Prior generators."""

from .sphere_anchor_generator import SphereAnchorGenerator

__all__ = ['SphereAnchorGenerator']
