"""What the scripts under ``tools`` compute with, and Python code may call without them.

Import its modules by name: :mod:`mmlesion.analysis.anchors` needs no framework.
"""
