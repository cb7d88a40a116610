import numpy as np

from mmlesion.io.dicom import describe_irregular

UP = np.array([0.0, 0, 1])


def positions(z):
    return np.stack([np.zeros(len(z)), np.zeros(len(z)), z], axis=1)


def test_missing_slices_are_counted():
    found = describe_irregular(positions(np.array([0, 2.5, 5, 12.5, 15, 20, 22.5])), UP)
    assert found == '3 slices are missing (after slice 2, 4; the first is 0)'


def test_tilt_and_distances():
    tilted = positions(np.arange(6) * 2.0)
    tilted[:, 1] = np.tan(np.radians(20)) * tilted[:, 2]
    assert describe_irregular(tilted, UP) == 'the gantry is tilted by 20.0 degrees'
    tilted[3:] += [0, 0.6 * np.tan(np.radians(20)), 0.6]
    assert describe_irregular(tilted, UP) == (
        'the gantry is tilted by 20.0 degrees; slices are 2.00 to 2.60 mm apart'
    )
