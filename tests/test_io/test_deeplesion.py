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


@pytest.mark.parametrize(
    'cells, message',
    [
        ({'File_name': '000089_01_01_038.png'}, 'does not fit patient, .*_037'),
        ({'File_name': '../a.png'}, 'is not like 000001_01_01_109.png'),
        ({'Patient_index': '1.5'}, "Patient_index is '1.5', not whole"),
        ({'Patient_index': 'x'}, "Patient_index is 'x', not a number"),
        ({'Patient_index': ''}, "Patient_index is '', not a number"),
        ({'Patient_index': '"1],[2"'}, 'Patient_index is .*, not a number'),
        ({'Patient_index': '-1'}, 'does not fit patient'),
        ({'Patient_index': '1e300'}, 'Patient_index is .*, not whole'),
        ({'Bounding_boxes': '"4, 4, 22"'}, 'Bounding_boxes is .*, not 4 numbers'),
        ({'Bounding_boxes': '"4, , 22, 20"'}, 'Bounding_boxes is .*, not 4 numbers'),
        ({'Bounding_boxes': '"4 4, 22, 20, 9"'}, 'Bounding_boxes is .*, not 4 numbers'),
        ({'Bounding_boxes': '"22, 4, 4, 20"'}, 'Bounding_boxes is not x1 < x2'),
        ({'Bounding_boxes': '"4, 4, nan, 20"'}, 'Bounding_boxes is .*, not 4 numbers'),
        ({'Bounding_boxes': '"4, 4, 1e999, 20"'}, 'Bounding_boxes is .*, not 4 numbers'),
        ({'Bounding_boxes': '"4, 4, \u0661\u0662, 20"'}, 'Bounding_boxes is .*, not 4 numbers'),
        ({'Lesion_diameters_Pixel_': '"-8, 6"'}, 'Lesion_diameters_Pixel_ is negative'),
        ({'Slice_range': '"31, 99999"'}, 'Slice_range goes beyond 9999'),
        ({'Spacing_mm_px_': '"0, 0.8, 2"'}, 'Spacing_mm_px_ is not 0.01 to 100 mm'),
        ({'Image_size': '"64, 10001"'}, 'Image_size is not 1 to 10000 px'),
        ({'Patient_gender': '"F'}, 'unexpected end of data'),
    ],
)
def test_odd_cells(cells, message):
    with pytest.raises(RowError, match=f'^DL_info.csv, line 7: .*{message}'):
        line(**cells).parse()


def test_numbers_keep_their_digits():
    row = line(Measurement_coordinates='"9.0000005, 1.0000015, 1.7e1, 11, 13, 9, 13, 15"').parse()
    assert row.recist[:3] == [round(8.0000005, 6), round(1.0000015 - 1, 6), 16]
    assert line(Slice_range='"31.0, 43"').parse().slice_range == [31, 43]


def test_a_broken_quote_spoils_no_other_row(tmp_path):
    path = tmp_path / 'DL_info.csv'
    broken = [line(Patient_gender='"F').text, line(Patient_gender='F"').text]
    path.write_text('\n'.join([','.join(DL_INFO_HEADER), *broken, line().text]) + '\n')
    assert list(read_lines(path))[2].parse().split == 'val'
