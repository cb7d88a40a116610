"""Lesion embeddings."""

from .lesion_embedding import LesionEmbedding

__all__ = ['LesionEmbedding']
