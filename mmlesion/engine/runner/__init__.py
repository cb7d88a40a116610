from .fold_runner import FoldRunner

__all__ = ['FoldRunner']
