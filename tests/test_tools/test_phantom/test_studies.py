import numpy as np
import pytest
import SimpleITK as sitk
from phantom.patient import PatientOptions, draw_patient
from phantom.studies import move_image, study_image

OPTIONS = PatientOptions(size=96, slice_intervals=(5.0,), studies=(0.0, 1.0), unannotated=0.0)


@pytest.fixture(scope='module')
def patient():
    return draw_patient(np.random.SeedSequence(1), OPTIONS)


def test_lesions_are_where_the_image_has_them(patient):
    """A lesion's middle is not the lung's air, and its slice is the one nearest to its center."""
    study = patient.studies[0]
    image = study_image(patient, study, OPTIONS)
    assert image.GetSize() == (96, 96, study.num_slices)
    assert image.GetSpacing() == (study.spacing, study.spacing, 5.0)
    lesions = study.lesions
    assert len(lesions) == sum(len(site.lesions) for site in study.sites) > 0
    for lesion in lesions:
        index = image.TransformPhysicalPointToIndex(np.array(lesion.center, float).tolist())
        height = image.TransformIndexToPhysicalPoint(index)[2]
        assert abs(height - lesion.center[2]) <= 2.5
        assert image[index] > -200


def test_numbers_tell_a_lesion_in_both_studies(patient):
    first, second = (study.lesions for study in patient.studies)
    both = {one.number for one in first} & {one.number for one in second}
    places = [{one.number: one.center for one in lesions} for lesions in (first, second)]
    assert both
    for number in both:
        # on a slice of either study, which are 5 mm apart
        np.testing.assert_allclose(places[0][number][:2], places[1][number][:2])
        assert abs(places[0][number][2] - places[1][number][2]) <= 5


def test_all_points_of_an_image_move():
    image = sitk.Image(4, 5, 6, sitk.sitkInt16)
    image.SetSpacing((0.5, 0.7, 2.0))
    image.SetOrigin((3.0, -4.0, 10.0))
    image.SetDirection((0, 1, 0, 1, 0, 0, 0, 0, -1))
    image[1, 2, 3] = 7
    pose = sitk.Euler3DTransform((5.0, 6.0, 7.0), 0.3, -0.2, 0.1, (10.0, -20.0, 30.0))
    moved = move_image(image, pose)
    assert moved[1, 2, 3] == 7 and image.GetOrigin() == (3.0, -4.0, 10.0)
    for index in ((0, 0, 0), (3, 4, 5), (1, 2, 3)):
        expected = pose.TransformPoint(image.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose(moved.TransformIndexToPhysicalPoint(index), expected)
