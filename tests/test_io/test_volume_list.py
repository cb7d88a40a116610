import pytest
import SimpleITK as sitk

from mmlesion.io.volume_list import list_volumes
from mmlesion.utils import UserError


@pytest.fixture
def folder(tmp_path):
    for name in ('b.nii.gz', 'a.mha', 'notes.txt'):
        (tmp_path / name).write_bytes(b'')
    return tmp_path


def write_dicom(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray([[[0, 1], [2, 3]]])
    sitk.WriteImage(sitk.Cast(image, sitk.sitkInt16), str(path))


def listed(source):
    return [(volume.name, volume.path) for volume in list_volumes(source)]


def test_folder_and_pattern(folder):
    expected = [('a', folder / 'a.mha'), ('b', folder / 'b.nii.gz')]
    assert listed(folder) == expected
    assert listed(f'{folder}/*.nii*') == expected[1:]
    assert list_volumes(folder / 'a.mha') is None


def test_dicom_studies(tmp_path):
    write_dicom(tmp_path / 'P1' / 'CT' / '1.dcm')
    write_dicom(tmp_path / 'P2' / '1.dcm')
    assert listed(tmp_path) == [('P1_CT', tmp_path / 'P1' / 'CT'), ('P2', tmp_path / 'P2')]
    assert list_volumes(tmp_path / 'P2') is None


def test_csv(folder):
    table = folder / 'list.csv'
    table.write_text('name,volume\nfirst,b.nii.gz\n,a.mha\n')
    assert listed(table) == [('first', folder / 'b.nii.gz'), ('a', folder / 'a.mha')]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('path\na.mha\n', 'no column "volume"'),
        ('volume\n', 'lists no volume'),
        ('name,volume\nx,\n', 'line 2: the volume is missing'),
        ('name,volume\n../x,a.mha\n', "'../x' is no name of a folder"),
        ('name,volume\nx,a.mha\nx,b.nii.gz\n', 'are both called x'),
        ('name,volume\nx\0y,a.mha\n', 'is no name of a folder|cannot be read as CSV'),
        ('name,volume\n.mmlesion-part-x,a.mha\n', 'is no name of a folder'),
        ('name,volume\nlesions.csv,a.mha\n', 'as a table of all volumes is'),
    ],
)
def test_bad_csv(folder, text, message):
    table = folder / 'list.csv'
    table.write_text(text)
    with pytest.raises(UserError, match=message):
        list_volumes(table)


def test_nothing_found(tmp_path):
    with pytest.raises(UserError, match='has neither volumes'):
        list_volumes(tmp_path)
    with pytest.raises(UserError, match='no file matches'):
        list_volumes(f'{tmp_path}/*.nii')
