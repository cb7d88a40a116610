"""Converters from public benchmarks and custom volumes to the two annotation schemas.

``tools/convert.py`` runs them; from Python each module has a ``convert``. A module is imported when
it is needed, as converters need SimpleITK and OpenCV.
"""
