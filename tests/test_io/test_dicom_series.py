"""DICOM folders as they leave a PACS, written by pydicom."""

import io
import shutil
import subprocess

import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.io.ct import read_ct
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError

pydicom = pytest.importorskip('pydicom', reason='pydicom writes what is read')
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.uid import (  # noqa: E402
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
    generate_uid,
)

ROWS, COLUMNS, NUM, SPACING, GAP = 20, 24, 6, 0.8, 2.5
SERIES = generate_uid(entropy_srcs=['series'])


@pytest.fixture
def hu():
    drawn = np.random.default_rng(0).integers(-1000, 400, (NUM, ROWS, COLUMNS))
    return drawn.astype(np.int16)


def dataset(storage, uid, series=SERIES, syntax=ExplicitVRLittleEndian):
    one = pydicom.Dataset()
    one.file_meta = pydicom.dataset.FileMetaDataset()
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = storage
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = generate_uid(entropy_srcs=[uid])
    one.file_meta.TransferSyntaxUID = syntax
    one.StudyInstanceUID, one.SeriesInstanceUID = generate_uid(entropy_srcs=['study']), series
    one.FrameOfReferenceUID = generate_uid(entropy_srcs=['frame'])
    one.Modality, one.PatientID = 'CT', '1'
    one.ImageType = ['ORIGINAL', 'PRIMARY', 'AXIAL']
    return one


def set_pixels(one, hu, slope=1, intercept=-1024):
    rows, columns = hu.shape[-2:]
    one.Rows, one.Columns, one.SamplesPerPixel = rows, columns, 1
    one.PhotometricInterpretation, one.PixelRepresentation = 'MONOCHROME2', 0
    one.BitsAllocated, one.BitsStored, one.HighBit = 16, 16, 15
    one.RescaleIntercept, one.RescaleSlope = intercept, slope
    order = '>u2' if one.file_meta.TransferSyntaxUID == ExplicitVRBigEndian else '<u2'
    one.PixelData = np.rint((hu - float(intercept)) / slope).astype(order).tobytes()


def write_slices(folder, hu, positions=None, syntax=ExplicitVRLittleEndian, slopes=None):
    folder.mkdir(exist_ok=True)
    for number, plane in enumerate(hu):
        one = dataset(CTImageStorage, f'slice {number}', syntax=syntax)
        place = (-9.0, -8.0, 50 + GAP * number) if positions is None else positions[number]
        one.ImagePositionPatient = [f'{value:.6f}' for value in place]
        one.ImageOrientationPatient, one.PixelSpacing = [1, 0, 0, 0, 1, 0], [SPACING, SPACING]
        one.SliceThickness, one.InstanceNumber = GAP, number + 1
        set_pixels(one, plane, 1 if slopes is None else slopes[number])
        if syntax == RLELossless:
            one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            one.compress(RLELossless, encoding_plugin='pydicom')
        one.save_as(folder / f'{(number * 5) % NUM}.dcm', enforce_file_format=True)


def localizer(path, series):
    one = dataset(CTImageStorage, f'localizer {series}', series)
    one.ImageType = ['ORIGINAL', 'PRIMARY', 'LOCALIZER']
    one.ImagePositionPatient, one.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 0, -1]
    one.PixelSpacing, one.SliceThickness, one.InstanceNumber = [1, 1], 1, 99
    set_pixels(one, np.zeros((30, 30)))
    one.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize(
    'syntax', [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless]
)
def test_transfer_syntaxes(tmp_path, hu, syntax):
    write_slices(tmp_path / 'a', hu, syntax=syntax)
    assert (sitk.GetArrayFromImage(read_ct(tmp_path / 'a')) == hu).all()


def dcmtk(name, *options):
    """Compress each file by a program of dcmtk."""
    program = shutil.which(name)
    if program is None:
        pytest.skip(f'no {name} is installed (Debian: apt-get install dcmtk)')

    def compress(path):
        subprocess.run([program, *options, str(path), str(path)], check=True, capture_output=True)

    return compress


def jpeg_2000():
    """Compress without loss by Pillow, which writes the codestream that DICOM encapsulates."""
    image = pytest.importorskip('PIL.Image', reason='Pillow writes JPEG 2000')

    def compress(path):
        one = pydicom.dcmread(path)
        stream = io.BytesIO()
        image.fromarray(one.pixel_array).save(stream, 'JPEG2000', no_jp2=True, irreversible=False)
        one.file_meta.TransferSyntaxUID = JPEG2000Lossless
        one.PixelData = encapsulate([stream.getvalue()])
        one['PixelData'].VR = 'OB'
        one.save_as(path, enforce_file_format=True)

    return compress


COMPRESSED = {
    'JPEG lossless, first-order': (JPEGLosslessSV1, lambda: dcmtk('dcmcjpeg', '+e1')),
    'JPEG lossless': (JPEGLossless, lambda: dcmtk('dcmcjpeg', '+el')),
    'JPEG-LS': (JPEGLSLossless, lambda: dcmtk('dcmcjpls', '+el')),
    'RLE': (RLELossless, lambda: dcmtk('dcmcrle')),
    'JPEG 2000': (JPEG2000Lossless, jpeg_2000),
}


@pytest.mark.parametrize('kind', COMPRESSED)
@pytest.mark.parametrize('signed', [False, True])
def test_compressed_slices(tmp_path, hu, kind, signed):
    syntax, make = COMPRESSED[kind]
    compress = make()
    if signed and kind == 'JPEG 2000':
        pytest.skip('Pillow writes unsigned JPEG 2000 alone')
    write_slices(tmp_path / 'a', hu)
    for path in (tmp_path / 'a').iterdir():
        if signed:
            store_signed(path)
        compress(path)
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    assert (sitk.GetArrayFromImage(read_ct(tmp_path / 'a')) == hu).all()


def store_signed(path):
    """Store HU themselves, negative ones included."""
    one = pydicom.dcmread(path)
    pixels = one.pixel_array.astype(np.int16) - 1024
    one.PixelRepresentation, one.RescaleIntercept = 1, 0
    one.PixelData = pixels.tobytes()
    one.save_as(path, enforce_file_format=True)


def test_rescale_of_each_slice(tmp_path, hu):
    """Even HU, as a slope of 2 has no odd ones."""
    even = hu // 2 * 2
    write_slices(tmp_path / 'a', even, slopes=[1, 2, 1, 2, 0.5, 1])
    assert (sitk.GetArrayFromImage(read_ct(tmp_path / 'a')) == even).all()


@pytest.mark.parametrize('series', ['1.2.3.4', SERIES])
def test_localizers_are_left_out(tmp_path, hu, caplog, series):
    write_slices(tmp_path / 'a', hu)
    localizer(tmp_path / 'a' / 'survey.dcm', series)
    assert (sitk.GetArrayFromImage(read_ct(tmp_path / 'a')) == hu).all()
    assert 'leaving out localizers: survey.dcm' in caplog.text


def test_dicomdir_beside_the_slices(tmp_path, hu):
    write_slices(tmp_path / 'a', hu)
    directory = dataset(MediaStorageDirectoryStorage, 'directory')
    item = pydicom.Dataset()
    item.ReferencedSOPClassUIDInFile = CTImageStorage
    directory.DirectoryRecordSequence = [item]
    directory.save_as(tmp_path / 'a' / 'DICOMDIR', enforce_file_format=True)
    assert (sitk.GetArrayFromImage(read_ct(tmp_path / 'a')) == hu).all()


def test_enhanced_multi_frame(tmp_path, hu):
    one = dataset(EnhancedCTImageStorage, 'enhanced')
    one.NumberOfFrames = NUM
    shared, frames = pydicom.Dataset(), []
    measures, orientation, rescale = (pydicom.Dataset() for _ in range(3))
    measures.PixelSpacing, measures.SliceThickness = [SPACING, SPACING], GAP
    measures.SpacingBetweenSlices = GAP
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    rescale.RescaleIntercept, rescale.RescaleSlope, rescale.RescaleType = -1024, 1, 'HU'
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    shared.PixelValueTransformationSequence = [rescale]
    for number in range(NUM):
        frame, place = pydicom.Dataset(), pydicom.Dataset()
        place.ImagePositionPatient = [-9.0, -8.0, 50 + GAP * number]
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    one.SharedFunctionalGroupsSequence = [shared]
    one.PerFrameFunctionalGroupsSequence = frames
    set_pixels(one, hu)
    del one.RescaleIntercept, one.RescaleSlope
    (tmp_path / 'a').mkdir()
    one.save_as(tmp_path / 'a' / 'all.dcm', enforce_file_format=True)
    image = read_ct(tmp_path / 'a')
    assert (sitk.GetArrayFromImage(image) == hu).all()
    assert image.GetSpacing() == pytest.approx((SPACING, SPACING, GAP))
    assert image.GetOrigin() == pytest.approx((-9, -8, 50))


@pytest.mark.parametrize('kind', ['tilted', 'missing'])
def test_points_lie_where_the_slices_do(tmp_path, hu, kind, caplog):
    z = 50 + GAP * np.arange(NUM)
    if kind == 'missing':
        z[4:] += GAP
    y = -8 + (np.tan(np.radians(15)) * (z - 50) if kind == 'tilted' else 0 * z)
    positions = np.stack([np.full(NUM, -9.0), y, z], axis=1)
    write_slices(tmp_path / 'a', hu, positions)
    volume = CTVolume(read_ct(tmp_path / 'a'))
    said = {'tilted': 'tilted by 15.0 degrees', 'missing': '1 slices are missing (after slice 3;'}
    assert said[kind] in caplog.text
    # the centers of column 3 of row 5 on each slice, and one point half-way between two slices
    index = np.array([(3, 5, k) for k in range(NUM)] + [(3, 5, 1.5)])
    expected = positions + [3 * SPACING, 5 * SPACING, 0]
    expected = np.vstack([expected, expected[1:3].mean(axis=0)])
    assert volume.to_world(volume.points_from_index(index)) == pytest.approx(expected, abs=1e-4)
    assert volume.geometry_error_mm > 0.5


def test_regular_series_has_no_error(tmp_path, hu):
    write_slices(tmp_path / 'a', hu)
    volume = CTVolume(read_ct(tmp_path / 'a'))
    assert volume.geometry_error_mm == 0
    points = np.array([[0.5, 0.5, 0.5], [2, 3, 4]])
    assert volume.to_world(points) == pytest.approx(volume.grid.to_world(points))


def test_double_slices_are_refused(tmp_path, hu):
    positions = np.array([(-9.0, -8.0, 50 + GAP * (number // 2)) for number in range(NUM)])
    write_slices(tmp_path / 'a', hu, positions)
    with pytest.raises(UserError, match='share 3 positions, for instance .*dcm and .*dcm, so'):
        read_ct(tmp_path / 'a')


def test_copies_of_slices_are_left_out(tmp_path, hu, caplog):
    write_slices(tmp_path / 'a', hu)
    shutil.copy(tmp_path / 'a' / '0.dcm', tmp_path / 'a' / 'zero.dcm')
    assert (sitk.GetArrayFromImage(read_ct(tmp_path / 'a')) == hu).all()
    assert 'leaving out copies of slices: ' in caplog.text and 'zero.dcm' in caplog.text
