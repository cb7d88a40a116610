import gzip
import re
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.io.ct import read_ct, read_image
from mmlesion.io.itk import image_files, nifti_pair
from mmlesion.utils import UserError


@pytest.fixture(params=['.nii', '.nii.gz'])
def write(request, tmp_path):
    def write(array):
        path = tmp_path / f'scan{request.param}'
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
        return path

    return write


@pytest.mark.parametrize('kind', [np.float32, np.float64, np.int16])
def test_finite_voxels(write, kind):
    path = write(np.arange(24).reshape(2, 3, 4).astype(kind))
    assert sitk.GetArrayFromImage(read_image(path)).max() == 23


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('kind', [np.float32, np.float64])
def test_voxels_that_itk_makes_zero(write, kind, value):
    array = np.zeros((2, 3, 4), kind)
    array[1, 2, 3] = value
    path = write(array)
    assert not sitk.GetArrayFromImage(sitk.ReadImage(str(path))).any()
    with pytest.raises(UserError, match='holds NaN or infinite values'):
        read_image(path)


@pytest.mark.parametrize('side', [0.0, np.nan, np.inf])
def test_sizes_of_voxels_that_itk_makes_one(tmp_path, side):
    path = tmp_path / 'scan.nii'
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 3, 4), np.int16)), str(path))
    content = bytearray(path.read_bytes())
    struct.pack_into('<f', content, 88, side)
    path.write_bytes(content)
    with pytest.raises(UserError, match=f'the spacing 1, 1, {side:g} mm'):
        read_image(path)


SIZE = (24, 20, 12)  # voxels i, j, k
SIDES = (0.8, 0.8, 2.5)
FORM = np.array([[-0.8, 0, 0, 100], [0, -0.8, 0, 90], [0, 0, 2.5, 50]])  # RAS, mm
LPS_ORIGIN = (-100, -90, 50)
KINDS = dict(u1=2, i2=4, i4=8, f4=16, f8=64, i1=256, u2=512, u4=768, i8=1024, u8=1280)


def volume(hu, kind='i2'):
    """Return voxels of one value, below air."""
    voxels = np.full(SIZE[::-1], hu, kind)
    voxels[:, :4] = -1000
    return voxels


def write_nifti(
    path, qform=None, sform=None, pixdim=SIDES, unit=2, order='<', voxels=None, rescale=(1, 0)
):
    """Write voxels with a header by hand: a turn of 180 degrees, qoffset and srow."""
    voxels = volume(40) if voxels is None else voxels
    header = bytearray(352)
    struct.pack_into(f'{order}i', header, 0, 348)
    struct.pack_into(f'{order}8h', header, 40, 3, *SIZE, 1, 1, 1, 1)
    struct.pack_into(f'{order}2h', header, 70, KINDS[voxels.dtype.str[1:]], 8 * voxels.itemsize)
    struct.pack_into(f'{order}4f', header, 76, 1, *pixdim)
    struct.pack_into(f'{order}f', header, 108, 352)
    struct.pack_into(f'{order}2f', header, 112, *rescale)
    header[123] = unit
    if qform is not None:
        struct.pack_into(f'{order}h', header, 252, 1)
        struct.pack_into(f'{order}6f', header, 256, 0, 0, 1, *qform[:, 3])
    if sform is not None:
        struct.pack_into(f'{order}h', header, 254, 2)
        struct.pack_into(f'{order}12f', header, 280, *sform.ravel())
    header[344:348] = b'n+1\0'
    path.write_bytes(bytes(header) + voxels.astype(voxels.dtype.newbyteorder(order)).tobytes())
    return path


def shifted(x, y, z):
    return FORM + np.array([[0, 0, 0, x], [0, 0, 0, y], [0, 0, 0, z]])


def scaled(*factors):
    return FORM * (*factors, 1)


def sheared(share):
    """Slices shifted along y by a share of their distance."""
    return FORM + np.array([[0, 0, 0, 0], [0, 0, 2.5 * share, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    ('forms', 'origin', 'spacing', 'told'),
    [
        (dict(qform=FORM, sform=FORM), LPS_ORIGIN, SIDES, ''),
        (dict(qform=FORM), LPS_ORIGIN, SIDES, ''),
        (dict(sform=FORM), LPS_ORIGIN, SIDES, ''),
        (dict(sform=FORM, order='>'), LPS_ORIGIN, SIDES, ''),
        (dict(qform=FORM, sform=shifted(0.05, 0, 0)), (-100.05, -90, 50), SIDES, ''),
        (dict(qform=FORM, sform=shifted(4, -3, 0)), (-104, -87, 50), SIDES, 'qform.*5.0 mm'),
        # 24 and 20 voxels of 0.96 instead of 0.8 mm: the far corner is hypot(23, 19) x 0.16 mm off
        (
            dict(qform=FORM, sform=scaled(1.2, 1.2, 1)),
            LPS_ORIGIN,
            (0.96, 0.96, 2.5),
            'qform and sform .* disagree by up to 4.8 mm',
        ),
        (dict(sform=scaled(1, 1, 2)), LPS_ORIGIN, (0.8, 0.8, 5), 'pixdim and sform.*27.5 mm'),
        (dict(), (0, 0, 0), SIDES, 'neither qform nor sform'),
        # each axis turns by half of the angle about the volume's center: hypot(13.75, 7.6) / 2000
        (dict(sform=sheared(0.001)), (-100, -90, 50), SIDES, 'sheared sform.* 0.0079 mm'),
        (dict(sform=sheared(0.001), qform=FORM), (-100, -90, 50), SIDES, 'sheared sform'),
        # of meters and micrometers
        (
            dict(sform=FORM / 1000, pixdim=np.array(SIDES) / 1000, unit=1),
            LPS_ORIGIN,
            SIDES,
            '',
        ),
        (dict(qform=FORM * 1000, pixdim=np.array(SIDES) * 1e3, unit=3), LPS_ORIGIN, SIDES, ''),
    ],
)
def test_the_sform_counts_and_what_contradicts_it_is_said(
    tmp_path, caplog, forms, origin, spacing, told
):
    image = read_ct(write_nifti(tmp_path / 'scan.nii', **forms))
    np.testing.assert_allclose(image.GetOrigin(), origin, atol=0.03)
    np.testing.assert_allclose(image.GetSpacing(), spacing, atol=1e-5)
    np.testing.assert_allclose(image.GetDirection(), np.eye(3).ravel(), atol=1e-3)
    messages = ' '.join(caplog.messages)
    assert re.search(told, messages) if told else not messages


def test_a_form_of_an_oblique_scan_is_that_of_nibabel(tmp_path, caplog):
    nibabel = pytest.importorskip('nibabel', reason='nibabel computes the affine to compare with')
    rng = np.random.default_rng(0)
    for codes in ((1, 0), (0, 1), (1, 2), (3, 4)):
        image = nibabel.Nifti1Image(np.zeros(SIZE, np.int16), None)
        for code, set_form in zip(codes, (image.set_qform, image.set_sform)):
            affine = np.eye(4)
            # columns of any handedness
            affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * rng.uniform(0.5, 3, 3)
            affine[:3, 3] = rng.uniform(-200, 200, 3)
            set_form(affine, code)
        path = tmp_path / 'scan.nii.gz'
        image.to_filename(path)
        read = read_image(path)
        axes = np.reshape(read.GetDirection(), (3, 3)) * read.GetSpacing()
        expected = np.diag([-1, -1, 1]) @ nibabel.load(path).affine[:3]
        np.testing.assert_allclose(np.column_stack([axes, read.GetOrigin()]), expected, atol=1e-4)


@pytest.mark.parametrize(
    ('form', 'message'),
    [
        (sheared(0.2), 'a sheared sform, by .* mm at its corners'),
        (FORM * np.nan, 'a sform that is not finite'),
        (scaled(0, 1, 1), 'a sform in which voxels have no size'),
    ],
)
def test_forms_that_are_no_grid(tmp_path, form, message):
    with pytest.raises(UserError, match=message):
        read_image(write_nifti(tmp_path / 'scan.nii', qform=FORM, sform=form))


@pytest.mark.parametrize('name', ['SCAN.NII.GZ', 'SCAN.NII', 'scan.hdr', 'scan.img.gz'])
@pytest.mark.parametrize('fault', ['none', 'truncated', 'nan'])
def test_checks_go_by_content_not_by_the_name(tmp_path, name, fault):
    array = np.full((3, 8, 8), 40, np.float32)
    array[:, :4] = -1000
    if fault == 'nan':
        array[1, 2, 3] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / name.lower()))
    (tmp_path / name.lower()).rename(tmp_path / name)
    header, voxels = nifti_pair(tmp_path / name)
    if fault == 'truncated':
        packed = voxels.name.lower().endswith('.gz')
        content = gzip.decompress(voxels.read_bytes()) if packed else voxels.read_bytes()
        voxels.write_bytes(gzip.compress(content[:-8]) if packed else content[:-8])
    assert set(image_files(tmp_path / name)) == {header, voxels}
    if fault == 'none':
        assert read_ct(tmp_path / name).GetSize() == (8, 8, 3)
        return
    with pytest.raises(UserError, match=dict(truncated='of the .* bytes', nan='holds NaN')[fault]):
        read_image(tmp_path / name)


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('kind', KINDS)
def test_types_and_rescale_are_those_of_itk(tmp_path, kind, order):
    for number, rescale in enumerate([(1, 0), (0, 0), (0.3, 0.1), (1, -1000), (np.nan, 5)]):
        path = tmp_path / f'{number}.nii'
        voxels = (np.arange(np.prod(SIZE)) % 100).astype(kind)
        write_nifti(path, sform=FORM, order=order, voxels=voxels, rescale=rescale)
        read, by_itk = read_image(path), sitk.ReadImage(str(path))
        assert read.GetPixelID() == by_itk.GetPixelID()
        np.testing.assert_array_equal(*map(sitk.GetArrayFromImage, (read, by_itk)))


def test_big_endian_floats(tmp_path):
    path = write_nifti(tmp_path / 'scan.nii', sform=FORM, voxels=volume(40, 'f4'), order='>')
    assert read_ct(path).GetSize() == SIZE
    write_nifti(path, sform=FORM, voxels=volume(np.nan, 'f4'), order='>')
    with pytest.raises(UserError, match='NaN or infinite'):
        read_image(path)


def test_a_compressed_file_beside_a_plain_one(tmp_path):
    """ITK takes the voxels of the plain one for both."""
    write_nifti(tmp_path / 'scan.nii', sform=FORM)
    other = write_nifti(tmp_path / 'other.nii', sform=FORM, voxels=volume(80)).read_bytes()
    (tmp_path / 'scan.nii.gz').write_bytes(gzip.compress(other))
    assert read_ct(tmp_path / 'scan.nii.gz')[0, 19, 0] == 80


@pytest.mark.parametrize('damage', [b'\x55', b'\xff' * 50, b'\0' * 50])
def test_a_damaged_stream(tmp_path, damage):
    """ITK reads it, with other voxels."""
    path = tmp_path / 'scan.nii.gz'
    rng = np.random.default_rng(0)
    sitk.WriteImage(sitk.GetImageFromArray(rng.integers(-1000, 400, SIZE)), str(path))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + len(damage)] = damage
    path.write_bytes(content)
    with pytest.raises(UserError, match='check that the file is whole'):
        read_image(path)


def test_a_plain_file_named_as_a_compressed_one(tmp_path):
    path = write_nifti(tmp_path / 'scan.nii.gz', sform=FORM)
    assert read_ct(path).GetSize() == SIZE


def test_nifti_2_is_named(tmp_path):
    (tmp_path / 'scan.nii').write_bytes(struct.pack('<i8s', 540, b'n+2\0\r\n\x1a\n') + bytes(600))
    with pytest.raises(UserError, match='is NIfTI-2, .* save it as NIfTI-1'):
        read_image(tmp_path / 'scan.nii')
