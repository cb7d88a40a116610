"""Headers of MHD and NRRD files must say how large voxels are."""

import numpy as np
import pytest

from mmlesion.io.ct import read_ct
from mmlesion.utils import UserError

MHD = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
{}
DimSize = 8 8 3
ElementType = MET_SHORT
ElementDataFile = v.raw
"""
NRRD = """NRRD0004
type: short
dimension: 3
sizes: 8 8 3
encoding: raw
endian: little
{}
data file: v.raw

"""
PLACE = 'Offset = 0 0 0\n'
AXES = 'space: left-posterior-superior\nspace origin: (0,0,0)\nspace directions: '
VECTORS = '(0.8,0,0) (0,0.8,0) (0,0,2)'


@pytest.fixture
def read(tmp_path):
    def read(fields):
        array = np.full((3, 8, 8), 40, '<i2')
        array[:, :4] = -1000
        (tmp_path / 'v.raw').write_bytes(array.tobytes())
        is_mhd = '=' in fields or not fields
        path = tmp_path / ('v.mhd' if is_mhd else 'v.nhdr')
        path.write_text((MHD if is_mhd else NRRD).format(fields))
        return read_ct(path)

    return read


@pytest.mark.parametrize(
    ('fields', 'told'),
    [
        (f'{PLACE}ElementSpacing = 0.8 0.8 2', ''),
        (f'{PLACE}ElementSize = 0.8 0.8 2', ''),
        ('Position = 0 0 0\nElementSpacing = 0.8 0.8 2', ''),
        ('ElementSpacing = 0.8 0.8 2', 'has no Offset'),
        (f'{AXES}{VECTORS}', ''),
        (f'{AXES}{VECTORS}\nspace units: "mm" "mm" "mm"', ''),
        ('spacings: 0.8 0.8 2', 'has no space origin'),
    ],
)
def test_a_header_with_spacing(read, caplog, fields, told):
    np.testing.assert_allclose(read(fields).GetSpacing(), (0.8, 0.8, 2))
    assert (told in ' '.join(caplog.messages)) if told else not caplog.messages


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (PLACE, 'needs ElementSpacing'),
        (f'{PLACE}ElementSpacings = 0.8 0.8 2', 'needs ElementSpacing'),
        (f'{PLACE}ElementSpacing = 0.8 nan 2', 'needs ElementSpacing'),
        (f'{PLACE}ElementSpacing = -0.8 -0.8 -2', 'needs ElementSpacing'),
        ('# nothing: at all', 'needs space directions or spacings'),
        ('spacings: nan nan nan', 'needs space directions or spacings'),
        (f'{AXES}(0.8,0,0) (0,0.8,0) (0,0,0)', 'needs space directions or spacings'),
        (f'{AXES}{VECTORS}\nspace units: "cm" "cm" "cm"', 'has the unit cm'),
        ('spacings: 0.8 0.8 2\nunits: "m" "m" "m"', 'has the unit m,'),
    ],
)
def test_a_header_without(read, fields, message):
    with pytest.raises(UserError, match=message):
        read(fields)
