import pytest

from mmlesion.io.deeplesion import DL_INFO_HEADER, Line, RowError, read_lines
from mmlesion.utils import UserError

CELLS = {
    'File_name': '000089_01_01_037.png',
    'Patient_index': '89',
    'Study_index': '1',
    'Series_ID': '1',
    'Key_slice_index': '37',
    'Measurement_coordinates': '"154.273, 176.808, 143.903, 209.029, 160, 200.511, 137, 191"',
    'Bounding_boxes': '"132.977, 171.808, 165.939, 214.029"',
    'Lesion_diameters_Pixel_': '"33.8477, 24.7578"',
    'Normalized_lesion_location': '"0.282373, 0.333694, 0.546692"',
    'Coarse_lesion_type': '-1',
    'Possibly_noisy': '0',
    'Slice_range': '"31, 43"',
    'Spacing_mm_px_': '"0.859375, 0.859375, 5"',
    'Image_size': '"512, 256"',
    'DICOM_windows': '"-175, 275"',
    'Patient_gender': 'F',
    'Patient_age': '71',
    'Train_Val_Test': '2',
}


def line(**cells):
    assert list(CELLS) == DL_INFO_HEADER and CELLS.keys() >= cells.keys()
    return Line('DL_info.csv', 7, ','.join({**CELLS, **cells}.values()))


def test_a_row_has_typed_fields():
    row = line().parse()
    assert (row.series, row.key_slice, row.split) == ('000089_01_01', 37, 'val')
    assert (row.patient, row.study, row.series_id) == (89, 1, 1)
    assert row.recist[:4] == [153.273, 175.808, 142.903, 208.029]  # pixels count from 0
    assert row.box == [131.977, 170.808, 164.939, 213.029]
    assert row.diameters == [33.8477, 24.7578] and row.spacing == [0.859375, 0.859375, 5.0]
    assert row.slice_range == [31, 43] and row.size == [512, 256] and row.window == [-175, 275]
    assert (row.lesion_type, row.noisy) == (-1, 0)
    assert row.file_name == '000089_01_01/037.png'


@pytest.mark.parametrize(
    'cells, kind, message',
    [
        ({'Train_Val_Test': '4'}, 'unknown split', 'Train_Val_Test is 4, not 1, 2 or 3'),
        ({'Slice_range': '"40, 43"'}, 'malformed row', 'Slice_range 40, 43 does not hold .* 37'),
        ({'Slice_range': '"31, 36"'}, 'malformed row', 'Slice_range 31, 36 does not hold .* 37'),
        ({'Coarse_lesion_type': '9'}, 'malformed row', 'Coarse_lesion_type is 9, not -1 or 1 to 8'),
        ({'Coarse_lesion_type': '0'}, 'malformed row', 'Coarse_lesion_type is 0, not -1 or 1 to 8'),
        ({'Possibly_noisy': '2'}, 'malformed row', 'Possibly_noisy is 2, not 0 or 1'),
        ({'DICOM_windows': '"1, 1"'}, 'malformed row', 'DICOM_windows is not low < high'),
        ({'Key_slice_index': '38'}, 'malformed row', 'does not fit patient, .*_038'),
        ({'Image_size': '"512, 0"'}, 'malformed row', 'Image_size is not 1 to 10000 px'),
        ({'Patient_age': '7,1'}, 'malformed row', '19 cells instead of 18'),
    ],
)
def test_errors_name_file_and_line(cells, kind, message):
    with pytest.raises(RowError, match=f'^DL_info.csv, line 7: .*{message}') as caught:
        line(**cells).parse()
    assert caught.value.kind == kind


def test_lines_have_their_numbers(tmp_path):
    path = tmp_path / 'DL_info.csv'
    path.write_text('\n'.join([','.join(DL_INFO_HEADER), line().text, '', line().text]) + '\n')
    assert [one.number for one in read_lines(path)] == [2, 4]
    with pytest.raises(RowError, match=f'{path}, line 4: no such'):
        raise list(read_lines(path))[1].error('no such')


@pytest.mark.parametrize(
    'header, message', [('', 'is empty'), ('a,b', 'it lacks File_name'), ('order', 'another order')]
)
def test_another_header_is_told_of(tmp_path, header, message):
    path = tmp_path / 'DL_info.csv'
    path.write_text(','.join(reversed(DL_INFO_HEADER)) if header == 'order' else header)
    with pytest.raises(UserError, match=message):
        list(read_lines(path))
