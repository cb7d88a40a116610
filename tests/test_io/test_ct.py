import gzip
import shutil

import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.io.ct import (
    check_same_grid,
    check_whole,
    read_ct,
    read_image,
    read_labels,
    write_image,
)
from mmlesion.io.itk import image_files
from mmlesion.io.volume_list import list_volumes
from mmlesion.utils import OutputError, UserError

SOP_CLASSES = dict(CT='1.2.840.10008.5.1.4.1.1.2', MR='1.2.840.10008.5.1.4.1.1.4')


@pytest.fixture(scope='module')
def ct():
    rng = np.random.default_rng(0)
    array = rng.integers(-1000, 400, (6, 20, 24)).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.8, 0.75, 2.0))
    image.SetOrigin((-100.0, -90.0, 50.0))
    return image


def write_series(folder, image, uid, modality='CT', positions=None):
    """Write a DICOM series slice by slice, at other positions than regular ones if given."""
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    origin, spacing = image.GetOrigin(), image.GetSpacing()
    for k in range(image.GetSize()[2]):
        z = origin[2] + k * spacing[2] if positions is None else positions[k]
        tags = {
            '0008|0016': SOP_CLASSES[modality],
            '0008|0060': modality,
            '0008|103e': f'{modality} thorax',
            '0020|000e': uid,
            '0020|000d': '1.2.3',
            '0008|0018': f'{uid}.{k + 1}',
            '0020|0013': str(k),
            '0020|0032': f'{origin[0]}\\{origin[1]}\\{z}',
            '0020|0037': '1\\0\\0\\0\\1\\0',
            '0018|0050': str(spacing[2]),
        }
        plane = image[:, :, k]
        for key, value in tags.items():
            plane.SetMetaData(key, value)
        writer.SetFileName(str(folder / f'{uid}-{99 - k}.dcm'))
        writer.Execute(plane)


@pytest.mark.parametrize('name', ['a.nii.gz', 'a.nii', 'a.mha', 'a.mhd'])
def test_files_keep_values_and_geometry(tmp_path, ct, name):
    sitk.WriteImage(ct, str(tmp_path / name))
    image = read_ct(tmp_path / name)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(ct))
    np.testing.assert_allclose(image.GetSpacing(), ct.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(image.GetOrigin(), ct.GetOrigin(), rtol=1e-6)


def test_dicom_series_is_sorted_by_position(tmp_path, ct, caplog):
    write_series(tmp_path, ct, '1.2.3.1')
    image = read_ct(tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(ct))
    np.testing.assert_allclose(image.GetSpacing(), ct.GetSpacing())
    np.testing.assert_allclose(image.GetOrigin(), ct.GetOrigin())
    assert caplog.messages == []


def test_dicom_that_is_not_ct(tmp_path, ct):
    write_series(tmp_path, ct, '1.2.3.1', modality='MR')
    with pytest.raises(UserError, match='no such CT series.*\n.*1.2.3.1  MR, 6 file'):
        read_ct(tmp_path)


def test_the_only_ct_series_is_taken_and_named(tmp_path, ct, caplog):
    write_series(tmp_path, ct + 1, '1.2.3.1', modality='MR')
    write_series(tmp_path, ct, '1.2.3.2')
    assert read_ct(tmp_path)[3, 4, 5] == ct[3, 4, 5]
    assert 'taking 1.2.3.2' in caplog.messages[0]


def test_several_ct_series_need_a_choice(tmp_path, ct):
    write_series(tmp_path, ct, '1.2.3.1')
    write_series(tmp_path, ct + 1, '1.2.3.2')
    with pytest.raises(UserError, match=r'--series(.|\n)*1.2.3.1(.|\n)*1.2.3.2'):
        read_ct(tmp_path)
    assert read_ct(tmp_path, series='1.2.3.2')[3, 4, 5] == ct[3, 4, 5] + 1
    with pytest.raises(UserError, match='has no series 1.2.3.9'):
        read_ct(tmp_path, series='1.2.3.9')


def test_missing_slice_is_warned_of(tmp_path, ct, caplog):
    write_series(tmp_path, ct, '1.2.3.1', positions=[50, 52, 54, 58, 60, 62])
    image = read_ct(tmp_path)
    # Six slices over 12 mm make a grid of 2.4 mm; the third, at 54 mm, is put at 54.8.
    assert image.GetSpacing()[2] == pytest.approx(2.4)
    assert 'slice 2 lies 0.80 mm off' in caplog.messages[0]


def test_acquisitions_in_one_series(tmp_path, ct):
    write_series(tmp_path, ct, '1.2.3.1', positions=[50, 52, 54, 50, 52, 54])
    with pytest.raises(UserError, match='6 slices share 3 positions'):
        read_ct(tmp_path)


@pytest.mark.parametrize('fraction', [0.9, 0.4])
def test_damaged_dicom_slice(tmp_path, ct, fraction):
    write_series(tmp_path, ct, '1.2.3.1')
    (tmp_path / 'notes.txt').write_text('not DICOM, and no reason to stop')
    read_ct(tmp_path)
    path = sorted(tmp_path.glob('*.dcm'))[0]
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])
    with pytest.raises(UserError, match=f'{path.name} is a damaged CT slice'):
        read_ct(tmp_path)


def test_single_dicom_file(tmp_path, ct):
    write_series(tmp_path, ct, '1.2.3.1')
    with pytest.raises(UserError, match='the folder of all its DICOM slices'):
        read_ct(next(tmp_path.iterdir()))


def test_empty_folder_and_missing_path(tmp_path):
    with pytest.raises(UserError, match='holds no DICOM series'):
        read_ct(tmp_path)
    with pytest.raises(UserError, match='does not exist'):
        read_ct(tmp_path / 'no.nii.gz')


def test_series_of_a_file(tmp_path, ct):
    sitk.WriteImage(ct, str(tmp_path / 'a.mha'))
    with pytest.raises(UserError, match='is a file'):
        read_ct(tmp_path / 'a.mha', series='1.2.3')


@pytest.mark.parametrize('name', ['a.nii.gz', 'a.nii', 'a.mha'])
def test_truncated_file(tmp_path, ct, name):
    path = tmp_path / name
    sitk.WriteImage(ct, str(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match='cannot read .*check that the file is whole'):
        read_ct(path)


def test_garbage(tmp_path):
    (tmp_path / 'a.nii.gz').write_bytes(gzip.compress(b'not a volume'))
    with pytest.raises(UserError, match='cannot read'):
        read_ct(tmp_path / 'a.nii.gz')


@pytest.mark.parametrize(
    'array',
    [
        np.zeros((5, 6), np.int16),
        np.zeros((1, 5, 6), np.int16),
        np.zeros((2, 3, 5, 6), np.int16),
    ],
)
def test_not_a_3d_volume(tmp_path, array):
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=False), str(tmp_path / 'a.nii'))
    with pytest.raises(UserError, match='not a single 3D volume'):
        read_ct(tmp_path / 'a.nii')


def test_colors_are_not_ct(tmp_path):
    image = sitk.GetImageFromArray(np.zeros((3, 5, 6, 3), np.uint8), isVector=True)
    sitk.WriteImage(image, str(tmp_path / 'a.mha'))
    with pytest.raises(UserError, match='3 value'):
        read_ct(tmp_path / 'a.mha')


@pytest.mark.parametrize(
    'scale, offset, message',
    [
        (1.0, 1024.0, 'cannot be a CT scan in HU'),  # stored values without their intercept
        (0.001, 0.0, 'cannot be a CT scan in HU'),  # normalized
        (1.0, -2000.0, 'cannot be a CT scan in HU'),  # air only
        (1000.0, 0.0, 'cannot be a CT scan in HU'),
        (np.nan, 0.0, 'NaN'),
    ],
)
def test_values_that_are_not_hu(tmp_path, ct, scale, offset, message):
    image = sitk.GetImageFromArray(sitk.GetArrayFromImage(ct) * np.float32(scale) + offset)
    sitk.WriteImage(image, str(tmp_path / 'a.mha'))
    with pytest.raises(UserError, match=message):
        read_ct(tmp_path / 'a.mha')


@pytest.mark.parametrize('kind', [np.uint8, np.int16, np.float64])
def test_labels(tmp_path, kind):
    array = np.arange(4 * 5 * 6).reshape(4, 5, 6).astype(kind)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / 'a.nii.gz'))
    labels = sitk.GetArrayFromImage(read_labels(tmp_path / 'a.nii.gz'))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, array)


@pytest.mark.parametrize('value', [0.5, -1.0, 256.0])
def test_what_is_no_label(tmp_path, value):
    array = np.zeros((4, 5, 6), np.float32)
    array[1, 1, 1] = value
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / 'a.nii.gz'))
    with pytest.raises(UserError, match='its values are not whole and 0 to 255'):
        read_labels(tmp_path / 'a.nii.gz')


def test_labels_in_2d_or_nowhere(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((5, 6), np.uint8)), str(tmp_path / 'a.mha'))
    with pytest.raises(UserError, match='no single label in 3D'):
        read_labels(tmp_path / 'a.mha')
    with pytest.raises(UserError, match='does not exist'):
        read_labels(tmp_path / 'b.mha')


def test_grids_must_agree(ct):
    check_same_grid(ct, sitk.Cast(ct, sitk.sitkUInt8), 'a and b')
    with pytest.raises(UserError, match=r'a and b have the size \[24, 20, 6\] and \[24, 20, 5\]'):
        check_same_grid(ct, ct[:, :, :5], 'a and b')
    for what, value in (('Spacing', (0.8, 0.75, 2.5)), ('Origin', (-100, -90, 51))):
        other = sitk.Image(ct)
        getattr(other, f'Set{what}')(value)
        with pytest.raises(UserError, match=f'a and b have the {what.lower()}'):
            check_same_grid(ct, other, 'a and b')


@pytest.mark.parametrize('compressed', [False, True])
def test_the_voxels_of_an_mhd_file(tmp_path, ct, compressed):
    """Messages name the file that is at fault, not the header beside it."""
    path = tmp_path / 'scan.mhd'
    sitk.WriteImage(ct, str(path), useCompression=compressed)
    data = tmp_path / ('scan.zraw' if compressed else 'scan.raw')
    assert image_files(path) == [path, data]
    whole = data.read_bytes()
    data.write_bytes(whole[:-7])
    with pytest.raises(UserError, match=rf'{data.name} is truncated: it has {len(whole) - 7} of'):
        read_image(path)
    data.unlink()
    with pytest.raises(UserError, match=rf'voxels in .*{data.name}, which does not exist'):
        read_image(path)


def test_files_of_other_images(tmp_path, ct):
    for name in ('a.mha', 'a.nii.gz', 'none.mhd'):
        assert image_files(tmp_path / name) == [tmp_path / name]
    local = tmp_path / 'local.mhd'
    local.write_text('ObjectType = Image\nElementDataFile = LOCAL\n')
    assert image_files(local) == [local]


BAD_NAME = 'caf\udce9'  # byte 0xE9, which is not UTF-8, as Python has it


@pytest.mark.parametrize('name', [f'{BAD_NAME}.nii.gz', f'{BAD_NAME}.mhd', f'{BAD_NAME}/a.nii'])
def test_a_name_that_is_not_utf8(tmp_path, ct, name):
    """SimpleITK would abort the process."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    sitk.WriteImage(ct, str(tmp_path / 'a.nii'))
    shutil.copy(tmp_path / 'a.nii', path)
    for read in (read_ct, read_image, read_labels, check_whole):
        with pytest.raises(UserError, match=r'caf\\udce9.* not UTF-8, .*rename it'):
            read(path)
    with pytest.raises(UserError, match='not UTF-8'):
        write_image(ct, path)


def test_a_slice_or_folder_whose_name_is_not_utf8(tmp_path, ct):
    write_series(tmp_path / 'a', ct, '1.2.3.1')
    (tmp_path / 'a').rename(tmp_path / BAD_NAME)
    (listed,) = list_volumes(tmp_path)
    with pytest.raises(UserError, match='not UTF-8'):
        read_ct(listed.path)
    (tmp_path / BAD_NAME).rename(tmp_path / 'a')
    path = next((tmp_path / 'a').iterdir())
    path.rename(path.with_name(BAD_NAME))
    with pytest.raises(UserError, match='not UTF-8'):
        read_ct(tmp_path / 'a')


def make_image():
    voxels = np.random.default_rng(0).integers(0, 256, (5, 6, 7), dtype=np.uint8)
    return sitk.GetImageFromArray(voxels)


@pytest.mark.parametrize('name', ['a.nii', 'a.nii.gz', 'a.mha', 'a.nrrd'])
def test_what_is_written_is_there(tmp_path, name):
    write_image(make_image(), tmp_path / name, compress=name.endswith('gz'))
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name)))
    assert np.array_equal(found, sitk.GetArrayFromImage(make_image()))


@pytest.mark.parametrize('name', ['a.nii', 'a.nii.gz', 'a.mha'])
def test_a_disk_that_is_full_is_told(tmp_path, monkeypatch, name):
    """The file ends before its last bytes, of which ITK says nothing."""
    write = sitk.WriteImage

    def write_part(image, path, **options):
        write(image, path, **options)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:-20])

    monkeypatch.setattr(sitk, 'WriteImage', write_part)
    with pytest.raises(OutputError, match='it is not whole, the disk may be full'):
        write_image(make_image(), tmp_path / name, compress=name.endswith('gz'))
