"""The earlier name of :mod:`mmlesion.froc`."""

from mmlesion.froc import *  # noqa: F403
from mmlesion.froc import __all__  # noqa: F401
