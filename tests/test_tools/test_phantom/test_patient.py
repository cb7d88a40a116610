"""Patients that are put together by hand."""

import numpy as np
from phantom.anatomy import Organ, Rib, Trunk
from phantom.lesions import Lesion, Profile
from phantom.patient import Patient, PatientOptions, Site, Study, render
from phantom.shapes import Lobes

TABLE = Organ('table', (0, 0, 4), (1, 1, 1), 2, -150.0)


def patient_with(lesion):
    """A body that fills the image of 64 px, with one lesion at the height of slice 4."""
    body = Organ('liver', (32, 32, 4), (80, 80, 80), 8, 100.0)
    site = Site(4.0, (lesion,), ())
    study = Study(1.0, 1.0, 0.0, 9, (0.0, 0.0), (site,), np.random.SeedSequence(0))
    return Patient(Trunk((body,), TABLE, 9.0), (study,), 'F', 40)


def liver_lesion(x):
    """A lesion of 12 mm whose rim, a quarter of its radius, is brighter than its inside."""
    profile = Profile(4, (12.0, 12.0), 0.0, Lobes((0.0, 0.0, 0.0), (0.0, 0.0)), 60.0)
    return Lesion(profile, (x, 32.0, 4.0), 4.0, number=7)


def rendered(x):
    patient = patient_with(liver_lesion(x))
    return render(patient, patient.studies[0], 0, 8, PatientOptions(size=64, noise=0.0))


def test_a_lesion_has_a_rim():
    volume, labels = rendered(32.0)
    inside, rim = volume[4, 32, 32], volume[4, 32, 37]
    assert labels[4, 32, 32] == labels[4, 32, 37] == 7
    assert rim - inside > 10


def test_of_a_lesion_beyond_the_edge_only_the_rim_may_reach_the_image():
    _, labels = rendered(-8.0)
    assert not labels.any()


def test_ribs_are_no_organs_that_hold_lesions():
    rib = Rib(0.0, 85.0, 1, (145.0, 94.0), (11.0, 4.5))
    trunk = Trunk((TABLE, rib), TABLE, 9.0)
    assert trunk.named(['table', 'rib']) == [TABLE]
