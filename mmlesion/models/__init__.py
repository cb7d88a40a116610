"""Detectors, classifiers and their components."""
# ruff: noqa: F403 (each subpackage lists its names in __all__)

from .alb_search import *
from .backbones import *
from .classifiers import *
from .data_preprocessors import *
from .dense_heads import *
from .detectors import *
from .embedders import *
from .layers import *
from .losses import *
from .necks import *
from .roi_heads import *
from .seg_heads import *
from .task_modules import *
