"""Synthetic CT: patients with known lesions, written in the layouts of benchmarks.

``shapes``, ``anatomy``, ``lesions`` and ``patient`` make patients and render their slices;
``deeplesion_layout``, ``kits19_layout``, ``lits_layout``, ``luna16_layout`` and ``nih_ln_layout``
write them as these benchmarks do, ``studies`` has whole studies as images. Nothing else in mmlesion
imports this package: it is for tools and tests.
Another benchmark's layout is another module on :func:`draw_patient` and :func:`render`.
"""

from .deeplesion_layout import make_deeplesion_phantom
from .kits19_layout import make_kits19_phantom
from .lits_layout import make_lits_phantom
from .luna16_layout import LUNA16_OPTIONS, make_luna16_phantom
from .nih_ln_layout import make_nih_ln_phantom
from .patient import PatientOptions, draw_patient, render

__all__ = [
    'LUNA16_OPTIONS',
    'PatientOptions',
    'draw_patient',
    'make_deeplesion_phantom',
    'make_kits19_phantom',
    'make_lits_phantom',
    'make_luna16_phantom',
    'make_nih_ln_phantom',
    'render',
]
