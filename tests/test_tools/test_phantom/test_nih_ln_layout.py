import numpy as np
import SimpleITK as sitk
from phantom.nih_ln_layout import write_dicom
from pydicom import dcmread
from pydicom.uid import UID


def test_slices_have_what_dicom_objects_refer_to(tmp_path):
    image = sitk.GetImageFromArray(np.zeros((3, 8, 8), np.int16))
    write_dicom(tmp_path / 'series', image, '1.2.3', 'p')
    slices = [dcmread(path) for path in (tmp_path / 'series').iterdir()]
    for name in ('StudyInstanceUID', 'SeriesInstanceUID', 'FrameOfReferenceUID'):
        (uid,) = {one[name].value for one in slices}
        assert UID(uid).is_valid
    assert len({one.SOPInstanceUID for one in slices}) == 3
