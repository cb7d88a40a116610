import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SPACING = 0.8  # mm, of rows and columns
SIZE = 48, 40  # columns, rows
NUM = 12
GAPS = {'regular': 2.5, 'tilted': 2.5, 'flipped': -2.5, 'uneven': 2.5}


def slice_positions(kind):
    """LPS mm (n, 3) of the first pixel of each slice."""
    z = np.arange(NUM) * GAPS[kind]
    if kind == 'uneven':
        z[6:] += 1.75  # most of a slice is missing
    shear = np.tan(np.radians(15)) * z if kind == 'tilted' else np.zeros(NUM)
    return np.stack([np.full(NUM, -20.0), -15 + shear, 100 + z], axis=1)


def write_series(folder, kind, hu_at=None):
    """Write a CT series with pydicom, file names in no order of its slices.

    Args:
        folder (Path): Made.
        kind (str): Key of GAPS.
        hu_at (Callable, optional): Takes (rows, columns, 3) LPS mm, returns HU.
    """
    folder.mkdir(parents=True)
    study, series, frame = (generate_uid(entropy_srcs=[kind, what]) for what in 'abc')
    columns, rows = SIZE
    pixels = np.full((rows, columns), 1024 - 1000, dtype=np.uint16)
    pixels[5:35, 5:40] = 1024 + 40
    y, x = np.indices((rows, columns)) * SPACING
    for number, position in enumerate(slice_positions(kind)):
        if hu_at is not None:
            points = position + np.stack([x, y, 0 * x], axis=-1)
            pixels = (1024 + hu_at(points)).astype(np.uint16)
        uid = generate_uid(entropy_srcs=[kind, str(number)])
        one = pydicom.Dataset()
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = CTImageStorage
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = uid
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.PatientName, one.PatientID, one.PatientBirthDate, one.PatientSex = 'A^B', '1', '', ''
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
        one.StudyID, one.AccessionNumber, one.ReferringPhysicianName = '1', '', ''
        one.StudyDate, one.StudyTime, one.ContentDate = '20200101', '120000', '20200101'
        one.ContentTime, one.Modality, one.SeriesNumber = '120000', 'CT', 2
        one.InstanceNumber, one.Manufacturer = NUM - number, 'none'
        one.ImageType, one.PositionReferenceIndicator = ['ORIGINAL', 'PRIMARY', 'AXIAL'], ''
        one.ImagePositionPatient = [f'{value:.6f}' for value in position]
        one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        one.PixelSpacing, one.SliceThickness = [SPACING, SPACING], 2.5
        one.Rows, one.Columns, one.SamplesPerPixel = rows, columns, 1
        one.PhotometricInterpretation, one.PixelRepresentation = 'MONOCHROME2', 0
        one.BitsAllocated, one.BitsStored, one.HighBit = 16, 16, 15
        one.RescaleIntercept, one.RescaleSlope, one.RescaleType = -1024, 1, 'HU'
        one.PixelData = pixels.tobytes()
        one.save_as(folder / f'{(number * 5) % NUM:02d}.dcm', enforce_file_format=True)
    return folder


@pytest.fixture(params=GAPS)
def exported(request, tmp_path):
    """A series, and results about a lesion of 6 x 4 px on slices 6 to 8 as infer.py writes them."""
    from mmlesion.io.ct import read_ct

    folder = write_series(tmp_path / 'dicom', request.param)
    image = read_ct(folder)
    labels = np.zeros(sitk.GetArrayViewFromImage(image).shape, dtype=np.uint8)
    labels[6:9, 10:14, 20:26] = 1  # z, y, x
    lesion = dict(
        id=1,
        label='lesion',
        score=0.87,
        center_mm=[0, 0, 0],  # of a regular grid; exports take the slices' own positions
        bbox_voxel=[19.5, 9.5, 5.5, 25.5, 13.5, 8.5],
        diameter_mm=4.8,
        short_diameter_mm=3.2,
        diameter_source='mask',
        key_slice=7,
        recist_voxel=[[19.5, 11.5, 7], [25.5, 11.5, 7], [22.5, 9.5, 7], [22.5, 13.5, 7]],
    )
    volume = dict(
        source=str(folder),
        size=image.GetSize(),
        spacing_mm=image.GetSpacing(),
        origin_mm=image.GetOrigin(),
        direction=image.GetDirection(),
        slice_axis='k',
    )
    results = tmp_path / 'results'
    results.mkdir()
    content = dict(volume=volume, detector=dict(config='a.py'), lesions=[lesion])
    (results / 'lesions.json').write_text(json.dumps(content))
    written = sitk.GetImageFromArray(labels)
    written.CopyInformation(image)
    sitk.WriteImage(written, str(results / 'lesions.nii.gz'))
    # The reader sorts slices along their normal, upwards.
    positions = slice_positions(request.param)
    positions = positions[np.argsort(positions[:, 2])]
    corner = positions[6:9].mean(0)
    center = corner + [22.5 * SPACING, 11.5 * SPACING, 0]
    return results, positions, center
