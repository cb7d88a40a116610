"""Synthetic CT: patients with known lesions, and benchmarks' layouts to write them in.

``shapes``, ``anatomy``, ``lesions`` and ``patient`` make patients and render their slices;
``deeplesion_layout`` writes them as DeepLesion does. Another benchmark's layout is another module
on :func:`draw_patient` and :func:`render`.
"""

from .deeplesion_layout import DL_INFO_HEADER, make_deeplesion_phantom
from .patient import PatientOptions, draw_patient, render

__all__ = [
    'DL_INFO_HEADER',
    'PatientOptions',
    'draw_patient',
    'make_deeplesion_phantom',
    'render',
]
