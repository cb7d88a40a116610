import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.io.image_writing import write_image
from mmlesion.utils import OutputError


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
