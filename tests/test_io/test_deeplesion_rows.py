import numpy as np
import pytest

from mmlesion.io.deeplesion import Line, RowError
from mmlesion.io.deeplesion_rows import parse_lines

CELLS = {
    'File_name': '000001_02_03_006.png',
    'Patient_index': '1',
    'Study_index': '2',
    'Series_ID': '3',
    'Key_slice_index': '6',
    'Measurement_coordinates': '"9, 11, 17, 11, 13, 9, 13, 15"',
    'Bounding_boxes': '"4, 4, 22, 20"',
    'Lesion_diameters_Pixel_': '"8, 6"',
    'Normalized_lesion_location': '"0.5, 0.5, 0.5"',
    'Coarse_lesion_type': '5',
    'Possibly_noisy': '0',
    'Slice_range': '"3, 9"',
    'Spacing_mm_px_': '"0.8, 0.8, 2"',
    'Image_size': '"64, 64"',
    'DICOM_windows': '"-175, 275"',
    'Patient_gender': 'F',
    'Patient_age': '60',
    'Train_Val_Test': '1',
}


def line(number, **cells):
    return Line('DL_info.csv', number, ','.join({**CELLS, **cells}.values()) + '\n')


def alone(one):
    try:
        return one.parse()
    except RowError as error:
        return error


def same(first, second):
    """Return whether two rows, or errors, are the same to the last digit and type."""
    if isinstance(first, RowError):
        return isinstance(second, RowError) and (str(first), first.kind) == (
            str(second),
            second.kind,
        )
    return repr(first) == repr(second)


def test_numbers_are_those_of_each_row():
    generator = np.random.default_rng(0)
    lines = []
    for number in range(5000):
        low = generator.uniform(1, 500, 2)
        high = low + generator.uniform(1, 30, 2)
        digits = int(generator.integers(0, 17))
        box = ', '.join(f'{value:.{digits}f}' for value in (*low, *(high + 1)))
        ends = ', '.join(map(str, generator.uniform(-9, 600, 8).round(digits)))
        measured = dict(Bounding_boxes=f'"{box}"', Measurement_coordinates=f'"{ends}"')
        lines.append(line(number, **measured, Train_Val_Test=str(number % 3 + 1)))
    assert all(map(same, parse_lines(lines), map(alone, lines)))


ODD = [
    dict(File_name='000001_02_03_007.png'),
    dict(File_name='../a.png'),
    dict(File_name='000001_02_03_0006.png'),
    dict(Patient_index='1.5'),
    dict(Patient_index='x'),
    dict(Patient_index=''),
    dict(Patient_index='-1'),
    dict(Patient_index='1e300'),
    dict(Key_slice_index='9999999'),
    dict(Bounding_boxes='"4, 4, 22"'),
    dict(Bounding_boxes='"4, , 22, 20"'),
    dict(Bounding_boxes='"4 4, 22, 20, 9"'),
    dict(Bounding_boxes='"22, 4, 4, 20"'),
    dict(Bounding_boxes='"4, 4, nan, 20"'),
    dict(Bounding_boxes='"4, 4, inf, 20"'),
    dict(Bounding_boxes='"4, 4, 1e10, 20"'),
    dict(Bounding_boxes='"4, 4, 1_0, 20"'),
    dict(Bounding_boxes='"4, 4, \u0661\u0662, 20"'),
    dict(Measurement_coordinates='"9.0000005, 1.0000015, 17, 11, 13, 9, 13, 15"'),
    dict(Lesion_diameters_Pixel_='"-8, 6"'),
    dict(Coarse_lesion_type='0'),
    dict(Coarse_lesion_type='9'),
    dict(Possibly_noisy='2'),
    dict(Slice_range='"7, 9"'),
    dict(Slice_range='"3, 99999"'),
    dict(Spacing_mm_px_='"0, 0.8, 2"'),
    dict(Image_size='"64, 10001"'),
    dict(DICOM_windows='"275, -175"'),
    dict(Train_Val_Test='4'),
    dict(Patient_gender='F,F'),
    dict(Patient_gender='"F'),
]


@pytest.mark.parametrize('odd', ODD, ids=str)
def test_an_odd_row_is_as_it_is_alone_and_spoils_no_other(odd):
    lines = [line(2), line(3, **odd), line(4, Bounding_boxes='"4.123, 4, 22, 20"')]
    assert all(map(same, parse_lines(lines), map(alone, lines)))


def test_two_broken_quotes_do_not_join_rows():
    lines = [line(2, Patient_gender='"F'), line(3, Patient_gender='F"'), line(4)]
    rows = list(parse_lines(lines))
    assert all(map(same, rows, map(alone, lines)))
    assert not isinstance(rows[2], RowError)
