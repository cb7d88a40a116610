import numpy as np
import pytest

from mmlesion.converters.deeplesion_lesions import MeasuredLesions
from mmlesion.io.deeplesion import Line, Row


def make_row(generator):
    """A row whose numbers have six significant digits, as those of the file."""
    low, size = generator.uniform(0, 400, 2), generator.uniform(1, 90, 2)
    box = [*low, *(low + size)]
    return Row(
        line=Line('DL_info.csv', 2, ''),
        series='000001_01_01',
        key_slice=7,
        patient=1,
        study=1,
        series_id=1,
        recist=generator.uniform(0, 500, 8).round(3).tolist(),
        box=np.round(box, 3).tolist(),
        diameters=generator.uniform(1, 90, 2).round(4).tolist(),
        location=generator.random(3).round(6).tolist(),
        lesion_type=int(generator.integers(1, 9)),
        noisy=int(generator.integers(2)),
        slice_range=[1, 60],
        spacing=[0.488281, 0.488281, 5.0],
        size=[512, 512],
        window=[-175.0, 275.0],
        split='train',
    )


def plain_annotation(number, image_id, row, category):
    """The annotation of a row, by Python's own numbers."""
    x1, y1, x2, y2 = row.box
    w, h = round(x2 - x1, 6), round(y2 - y1, 6)
    return dict(
        id=number,
        image_id=image_id,
        bbox=[x1, y1, w, h],
        area=round(w * h, 6),
        iscrowd=0,
        noisy=row.noisy,
        source='annotated',
        category_id=category,
        recist=row.recist,
        diameters_mm=[round(diameter * row.spacing[0], 6) for diameter in row.diameters],
        normalized_location=row.location,
        lesion_type=row.lesion_type,
    )


@pytest.mark.parametrize('multi_type', [False, True])
def test_lesions_are_as_dictionaries_would_be(multi_type):
    generator = np.random.default_rng(0)
    lesions, plain = MeasuredLesions(multi_type), []
    for number in range(1, 501):
        row, image_id = make_row(generator), int(generator.integers(1, 9))
        lesions.add(image_id, row)
        category = row.lesion_type if multi_type else 1
        plain.append(plain_annotation(number, image_id, row, category))
    assert len(lesions) == 500 and list(lesions) == plain
    assert lesions[:] == plain and lesions[490:600] == plain[490:] and lesions[-1] == plain[-1]
    assert repr(lesions[3]) == repr(plain[3])  # the same types, in the same order
    with pytest.raises(IndexError):
        lesions[500]


def test_no_lesions():
    lesions = MeasuredLesions(multi_type=False)
    assert not lesions and lesions[:] == [] and list(lesions) == []
