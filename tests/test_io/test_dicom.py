"""DICOM folders as they leave a PACS, written by pydicom."""

import io
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
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

from mmlesion.io.ct import read_ct
from mmlesion.io.dicom import read_series
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError

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
    'syntax',
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
    ],
)
def test_transfer_syntaxes(tmp_path, hu, syntax):
    write_slices(tmp_path / 'a', hu, syntax=syntax)
    assert (sitk.GetArrayFromImage(read_ct(tmp_path / 'a')) == hu).all()


def gdcm_to(name):
    """Compress each file by GDCM."""
    gdcm = pytest.importorskip('gdcm', reason='python-gdcm compresses')

    def compress(path):
        reader, writer = gdcm.ImageReader(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(path))
        assert writer.Write()

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
    'JPEG lossless, first-order': (JPEGLosslessSV1, lambda: gdcm_to('JPEGLosslessProcess14_1')),
    'JPEG lossless': (JPEGLossless, lambda: gdcm_to('JPEGLosslessProcess14')),
    'JPEG-LS': (JPEGLSLossless, lambda: gdcm_to('JPEGLSLossless')),
    'RLE': (RLELossless, lambda: gdcm_to('RLELossless')),
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


def test_patient_and_date_of_the_study(tmp_path, hu):
    write_slices(tmp_path, hu)
    image = read_ct(tmp_path)
    assert image.GetMetaData('0010|0020') == '1' and not image.HasMetaDataKey('0008|0020')
    for path in tmp_path.iterdir():
        one = pydicom.dcmread(path)
        one.StudyDate = '20240305'
        one.save_as(path)
    assert read_ct(tmp_path).GetMetaData('0008|0020') == '20240305'


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


def regular():
    """LPS mm (n, 3) of the first px of each slice."""
    return np.stack([np.full(NUM, -9.0), np.full(NUM, -8.0), 50 + GAP * np.arange(NUM)], axis=1)


def item(**fields):
    one = pydicom.Dataset()
    for name, value in fields.items():
        setattr(one, name, value)
    return one


def write_enhanced(path, hu, positions, axes=(1, 0, 0, 0, 1, 0), intercepts=None, edit=None):
    """Write a multi-frame file; frames may have an intercept each."""
    one = dataset(EnhancedCTImageStorage, 'enhanced')
    one.NumberOfFrames = len(hu)
    of_all = item(
        PixelMeasuresSequence=[item(PixelSpacing=[SPACING, 0.75], SliceThickness=GAP)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[f'{v:.9f}' for v in axes])],
    )
    frames = []
    for number, position in enumerate(positions):
        intercept = -1024 if intercepts is None else intercepts[number]
        rescale = item(RescaleIntercept=intercept, RescaleSlope=1, RescaleType='HU')
        place = item(ImagePositionPatient=[f'{value:.6f}' for value in position])
        frames.append(
            item(PlanePositionSequence=[place], PixelValueTransformationSequence=[rescale])
        )
    one.SharedFunctionalGroupsSequence, one.PerFrameFunctionalGroupsSequence = [of_all], frames
    set_pixels(one, hu)
    del one.RescaleIntercept, one.RescaleSlope
    if intercepts is not None:
        stored = hu - np.reshape(intercepts, (-1, 1, 1))
        one.PixelRepresentation, one.PixelData = 1, stored.astype('<i2').tobytes()
    if edit is not None:
        edit(one)
    path.parent.mkdir(exist_ok=True)
    one.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize('as_file', [False, True])
def test_enhanced_multi_frame(tmp_path, hu, as_file, caplog):
    """Frames in any order, with a rescale each."""
    order = np.random.default_rng(3).permutation(NUM)
    intercepts = [-1024, 0, 0, -1000, 0, 10]
    path = tmp_path / 'a' / 'all.dcm'
    write_enhanced(path, hu[order], regular()[order], intercepts=intercepts)
    image = read_ct(path if as_file else path.parent)
    assert (sitk.GetArrayFromImage(image) == hu).all()
    assert image.GetSpacing() == pytest.approx((0.75, SPACING, GAP))
    assert image.GetOrigin() == pytest.approx((-9, -8, 50))
    assert not caplog.messages


@pytest.mark.parametrize('kind', ['tilted axes', 'missing'])
def test_enhanced_points_lie_where_the_frames_do(tmp_path, hu, kind, caplog):
    positions, axes = regular(), np.array([[1.0, 0, 0], [0, 1, 0]])
    if kind == 'missing':
        positions[4:, 2] += 2 * GAP
    else:
        axes[1] = 0, np.cos(0.25), np.sin(0.25)
    write_enhanced(tmp_path / 'a' / 'all.dcm', hu, positions, axes.ravel())
    volume = CTVolume(read_ct(tmp_path / 'a'))
    assert {'missing': '2 slices are missing', 'tilted axes': 'tilted by 14.3'}[kind] in caplog.text
    index = np.array([(3, 5, k) for k in range(NUM)])
    expected = positions + np.array([3 * 0.75, 5 * SPACING]) @ axes
    assert volume.to_world(volume.points_from_index(index)) == pytest.approx(expected, abs=1e-4)
    assert (sitk.GetArrayFromImage(volume.image) == hu).all()


def without(name):
    """Return what removes a field from a header and its functional groups."""

    def edit(one):
        for groups in [one, *one.SharedFunctionalGroupsSequence]:
            for place in [groups, *(element.value[0] for element in groups if element.VR == 'SQ')]:
                if name in place:
                    delattr(place, name)

    return edit


@pytest.mark.parametrize(
    ('edit', 'message'),
    [
        (without('ImageOrientationPatient'), 'all.dcm, frame 0 .* has no ImageOrientationPatient'),
        (without('PixelSpacing'), 'all.dcm, frame 0 .* has no PixelSpacing'),
        (without('PerFrameFunctionalGroupsSequence'), 'all.dcm, frame 0 .* has no '),
        (lambda one: one.PerFrameFunctionalGroupsSequence.pop(), 'has 6 frames and describes 5'),
        (lambda one: setattr(one, 'NumberOfFrames', 10**9), 'declares'),
    ],
)
def test_enhanced_files_that_do_not_say_where(tmp_path, hu, edit, message):
    write_enhanced(tmp_path / 'a' / 'all.dcm', hu, regular(), edit=edit)
    with pytest.raises(UserError, match=message):
        read_ct(tmp_path / 'a')


def test_two_phases_in_an_enhanced_file(tmp_path, hu):
    write_enhanced(tmp_path / 'a' / 'all.dcm', hu, np.repeat(regular()[:3], 2, axis=0))
    with pytest.raises(UserError, match='6 slices share 3 positions'):
        read_ct(tmp_path / 'a')


def edit_slices(folder, edit, which=range(NUM)):
    """Change the headers of some slices, by their numbers from the lowest."""
    for number in which:
        path = folder / f'{(number * 5) % NUM}.dcm'
        one = pydicom.dcmread(path)
        edit(one)
        one.save_as(path)


def put(**fields):
    return lambda one: [setattr(one, name, value) for name, value in fields.items()]


def drop(*names):
    return lambda one: [delattr(one, name) for name in names]


CORONAL = [1, 0, 0, 0, 0, -1]
HEADERS = {
    'no position in one': (drop('ImagePositionPatient'), [2], '4.dcm has no ImagePosition'),
    'no positions': (drop('ImagePositionPatient'), range(NUM), 'has no ImagePositionPatient'),
    'no orientation': (drop('ImageOrientationPatient'), [1], '5.dcm has no ImageOrientation'),
    'no spacing': (drop('PixelSpacing'), range(NUM), 'has no PixelSpacing'),
    'an empty spacing': (put(PixelSpacing=None), [3], '3.dcm has no PixelSpacing'),
    'spacing 0': (put(PixelSpacing=[0, 0]), [3], '3.dcm has the spacing'),
    'orientation 0': (put(ImageOrientationPatient=[0] * 6), [0], 'no pair of orthogonal'),
    'oblique axes': (put(ImageOrientationPatient=[1, 0, 0, 0.5, 1, 0]), [0], 'orthogonal'),
    'no rescale': (drop('RescaleSlope', 'RescaleIntercept'), range(NUM), 'no RescaleSlope'),
    'no intercept': (drop('RescaleIntercept'), [0], '0.dcm has no RescaleIntercept'),
    'slope 0': (put(RescaleSlope=0), [0], 'has the RescaleSlope 0'),
    'one coronal': (put(ImageOrientationPatient=CORONAL), [3], '5 slices such as .* and 1 such'),
    'other px in one': (put(PixelSpacing=[1.6, 1.6]), [3], 'differ in orientation, pixel spacing'),
    'half of other px': (put(PixelSpacing=[1, 1]), [3, 4, 5], '3 slices such as .* and 3 such as'),
    'colors': (put(PhotometricInterpretation='RGB'), [3], '3.dcm has colors'),
    'three samples': (put(SamplesPerPixel=3), [3], '3.dcm has colors'),
    'no rows': (put(Rows=0), [3], '3.dcm has no pixels'),
}


@pytest.mark.parametrize('name', HEADERS)
def test_headers_that_are_refused(tmp_path, hu, name):
    edit, which, message = HEADERS[name]
    write_slices(tmp_path / 'a', hu)
    edit_slices(tmp_path / 'a', edit, which)
    with pytest.raises(UserError, match=message) as caught:
        read_ct(tmp_path / 'a')
    assert '\n' not in str(caught.value)


def test_a_type_of_value_that_does_not_exist(tmp_path, hu):
    write_slices(tmp_path / 'a', hu)
    path = tmp_path / 'a' / '3.dcm'
    content = path.read_bytes()
    assert content.count(b'\x20\x00\x32\x00DS') == 1
    path.write_bytes(content.replace(b'\x20\x00\x32\x00DS', b'\x20\x00\x32\x00QQ'))
    with pytest.raises(UserError, match='3.dcm is a damaged CT slice'):
        read_ct(tmp_path / 'a')


@pytest.mark.parametrize('field', ['ImagePositionPatient', 'PixelSpacing', 'RescaleSlope'])
def test_numbers_that_are_none(tmp_path, hu, field):
    write_slices(tmp_path / 'a', hu)
    path = tmp_path / 'a' / '3.dcm'
    one = pydicom.dcmread(path)
    element = one.get_item(field)
    for text in (b'nan', b'inf', b'two'):
        value = b'\\'.join([text] * element.value.count(b'\\') + [text])
        one[field] = element._replace(value=value + b' ' * (len(value) % 2), length=len(value))
        one.save_as(path)
        with pytest.raises(UserError, match=f'3.dcm has (the|no) {field}|3.dcm is a damaged'):
            read_ct(tmp_path / 'a')


HARMLESS = {
    'MONOCHROME1': put(PhotometricInterpretation='MONOCHROME1'),
    'distance 0': put(SpacingBetweenSlices=0),
    'a negative distance': put(SpacingBetweenSlices=-GAP),
    'another class': put(SOPClassUID='1.2.840.10008.5.1.4.1.1.13.1.1'),
    'one instance number': put(InstanceNumber=1),
    'unspecified': put(RescaleType='US'),
}


@pytest.mark.parametrize('name', HARMLESS)
def test_what_changes_neither_place_nor_hu(tmp_path, hu, name, caplog):
    """The photometric interpretation is for display: stored values become HU by the rescale."""
    write_slices(tmp_path / 'a', hu)
    edit_slices(tmp_path / 'a', HARMLESS[name])
    image = read_ct(tmp_path / 'a')
    assert (sitk.GetArrayFromImage(image) == hu).all()
    assert image.GetSpacing() == pytest.approx((SPACING, SPACING, GAP))
    assert image.GetOrigin() == pytest.approx((-9, -8, 50))
    assert not caplog.messages


def test_another_unit_is_said(tmp_path, hu, caplog):
    write_slices(tmp_path / 'a', hu)
    edit_slices(tmp_path / 'a', put(RescaleType='Z_EFF'))
    read_ct(tmp_path / 'a')
    assert 'RescaleType is Z_EFF' in caplog.text


def test_fractions_of_hu(tmp_path, hu):
    write_slices(tmp_path / 'a', hu)
    edit_slices(tmp_path / 'a', put(RescaleIntercept='-1023.5'), [2])
    expected = hu + np.where(np.arange(NUM) == 2, 0.5, 0)[:, None, None]
    assert (sitk.GetArrayFromImage(read_ct(tmp_path / 'a')) == expected).all()


@pytest.mark.parametrize('meta', [True, False])
def test_slices_without_a_preamble(tmp_path, hu, meta):
    write_slices(tmp_path / 'a', hu, syntax=ImplicitVRLittleEndian)
    for path in (tmp_path / 'a').iterdir():
        start = (
            132 if meta else 144 + pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength
        )
        path.write_bytes(path.read_bytes()[start:])
    assert (sitk.GetArrayFromImage(read_ct(tmp_path / 'a')) == hu).all()


def test_an_unmarked_scout_is_left_out(tmp_path, hu, caplog):
    write_slices(tmp_path / 'a', hu)
    localizer(tmp_path / 'a' / 'scout.dcm', SERIES)
    one = pydicom.dcmread(tmp_path / 'a' / 'scout.dcm')
    one.ImageType = ['ORIGINAL', 'PRIMARY', 'AXIAL']
    one.save_as(tmp_path / 'a' / 'scout.dcm')
    image = read_ct(tmp_path / 'a')
    assert (sitk.GetArrayFromImage(image) == hu).all()
    assert image.GetSpacing() == pytest.approx((SPACING, SPACING, GAP))
    assert 'leaving out 1 slice(s) of another orientation' in caplog.text
    assert 'scout.dcm' in caplog.text


def test_a_slice_with_the_identifier_of_another_is_kept(tmp_path, hu):
    write_slices(tmp_path / 'a', hu)
    edit_slices(tmp_path / 'a', put(SOPInstanceUID='1.2.3'), [2, 3])
    assert (sitk.GetArrayFromImage(read_ct(tmp_path / 'a')) == hu).all()


@pytest.mark.parametrize('name', ['77654033/CT2', '98892001/CT5N'])
def test_real_series(name, caplog):
    """Places and HU are those that pydicom gives, slice by slice."""
    whole = pydicom.data.get_testdata_file('CT_small.dcm', download=False)
    folder = Path(whole).parent / 'dicomdirtests' / name
    if not folder.is_dir():
        pytest.skip('this pydicom comes without its test files')
    slices = [pydicom.dcmread(path) for path in folder.iterdir()]
    slices.sort(key=lambda one: one.ImagePositionPatient[2])
    image = read_series(folder)
    volume = CTVolume(image)
    for number, one in enumerate(slices):
        hu = one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept)
        assert (sitk.GetArrayFromImage(image)[number] == hu).all()
        index = np.array([(0, 0, number), (1, 0, number), (0, 1, number)])
        corner = np.array(one.ImagePositionPatient, float)
        rows, columns = one.PixelSpacing
        expected = corner + [(0, 0, 0), (columns, 0, 0), (0, rows, 0)]
        place = volume.to_world(volume.points_from_index(index))
        assert place == pytest.approx(expected, abs=0.02)


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


def test_a_small_deviation_is_an_error_too(tmp_path, hu, caplog):
    """Below a tenth of the distance slices are taken as regular, but not as exact."""
    positions = np.array([(-9.0, -8.0, 50 + GAP * number) for number in range(NUM)])
    positions[2] += (0.12, 0, 0.16)
    write_slices(tmp_path / 'a', hu, positions)
    volume = CTVolume(read_ct(tmp_path / 'a'))
    assert volume.geometry_error_mm == pytest.approx(0.2)
    assert not caplog.messages


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
