"""Anchor search, timing and memory measurement, used by the scripts under ``tools``.

Import its modules by name: :mod:`mmlesion.analysis.anchors` needs no framework.
"""
