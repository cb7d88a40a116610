"""Which room of mmlesion may import which: docs/architecture.md, as a test.

Imports are read from the source, those inside functions too, since they are dependencies as well.
Only what a module imports at its top is loaded with it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'mmlesion'
FRAMEWORKS = {'torch', 'torchvision', 'mmcv', 'mmdet', 'mmengine'}

# What each room may import of the others. ``utils`` and what lies beside the rooms is for all.
MAY_IMPORT = {
    'structures': set(),
    'io': {'structures'},
    'evaluation.functional': {'structures'},
    'visualization': {'io', 'structures'},
    'evaluation': {'evaluation.functional', 'io', 'structures', 'visualization'},
    'models': {'evaluation.functional', 'io', 'structures', 'visualization'},
    'search': {'evaluation', 'io', 'models', 'structures', 'visualization'},
    'datasets': {'evaluation', 'evaluation.functional', 'io', 'structures'},
    'engine': {
        'datasets',
        'evaluation.functional',
        'io',
        'models',
        'structures',
        'visualization',
    },
    'mining': {'datasets', 'evaluation', 'evaluation.functional', 'io', 'structures'},
    'phantom': {'datasets', 'io', 'mining', 'structures'},
    'apis': {'datasets', 'io', 'models', 'structures', 'visualization'},
}
"""Rooms without a framework, and the modules in them that need one; nothing imports these at its
top but rooms that have a framework anyway."""


def test(): pass
