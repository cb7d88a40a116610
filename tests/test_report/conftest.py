import json

import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.apis.lesion_writer import write_lesions
from mmlesion.apis.lesions import describe_lesions
from mmlesion.io.ct import read_ct
from mmlesion.io.slices import write_slice
from mmlesion.structures import Segment
from mmlesion.structures.ct_volume import CTVolume

from .chromium import Chromium, find_chromium


def lesion(number, image, box, **fields):
    x1, y1, x2, y2 = box
    shape = [x1, y1, x2 - x1, y2 - y1]
    return dict(id=number, image_id=image, bbox=shape, category_id=1, iscrowd=0, **fields)


def detection(image, box, score):
    x1, y1, x2, y2 = box
    return dict(image_id=image, bbox=[x1, y1, x2 - x1, y2 - y1], score=score, category_id=1)


@pytest.fixture
def study(tmp_path):
    """Three slices of two patients with lesions A, B and C, an ignored one, and two runs.

    The first run finds A at 0.9 with the whole overlap and B at 0.4 with IoU 0.8, never C; its
    false positives score 0.8 and 0.3, and a second detection of A 0.7. The second run finds C.
    """
    images = []
    for number, patient in ((1, 'P1'), (2, 'P1'), (3, 'P2')):
        name = f'{patient}_01_01/{number:03d}.png'
        path = tmp_path / 'Images_png' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_slice(path, np.full((64, 64), 40 * number, dtype=np.int32))
        image = dict(id=number, file_name=name, height=64, width=64, patient_id=patient)
        images.append({**image, 'spacing': [0.5, 0.5], 'windows': [[-160, 240]]})
    lesions = [
        lesion(1, 1, (10, 10, 20, 20), organ='liver'),
        lesion(2, 2, (30, 30, 40, 40), organ='lung'),
        lesion(3, 3, (5, 40, 25, 60), organ='lung'),
        lesion(4, 3, (40, 5, 50, 15), organ='lung', ignore=1),
    ]
    truth = dict(images=images, annotations=lesions, categories=[dict(id=1, name='lesion')])
    first = [
        detection(1, (10, 10, 20, 20), 0.9),
        detection(3, (40, 40, 50, 50), 0.8),
        detection(1, (10, 10, 20, 19), 0.7),
        detection(3, (40, 5, 50, 15), 0.6),
        detection(2, (30, 30, 40, 38), 0.4),
        detection(2, (1, 1, 9, 9), 0.3),
    ]
    second = [detection(3, (5, 40, 25, 60), 0.95)]
    for name, content in (('gt', truth), ('first', first), ('second', second)):
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def browser(tmp_path):
    if find_chromium() is None:
        pytest.skip('no Chromium is installed (Debian: apt-get install chromium)')
    chromium = Chromium(tmp_path / 'profile')
    yield chromium
    chromium.close()


SPACING = (0.8, 0.8, 2.5)  # x, y, z mm


@pytest.fixture
def volume_results(tmp_path):
    """Results about a volume of 20 slices of 60 x 80 px with two bright balls; a sagittal file.

    In z, y, x of the training orientation: lesion 1 is the ball around (5, 20, 25), with a mask and
    diameters, lesion 2 that around (13, 40, 60), a box alone.
    """
    array = np.full((20, 60, 80), -1000, dtype=np.int16)
    array[:, 5:55, 5:75] = 40
    z, y, x = np.indices(array.shape)
    inside = np.zeros(array.shape, bool)
    for center in ((5, 20, 25), (13, 40, 60)):
        distance = ((z - center[0]) * 3) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2
        inside |= distance <= 36
    array[inside] = 200
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    image.SetOrigin((10, -20, 300))
    image.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, -1))  # left, posterior, inferior
    path = tmp_path / 'scan.nii.gz'
    sitk.WriteImage(sitk.DICOMOrient(image, 'PSR'), str(path))
    volume = CTVolume(read_ct(path))
    assert np.array_equal(volume.array, array)
    boxes = np.array([[19, 14, 3, 32, 27, 8], [54, 34, 11, 67, 47, 16]], float)
    segments = {index: Segment(inside[index, 14:27, 19:32], (19, 14)) for index in range(3, 8)}
    lesions = describe_lesions(
        volume, boxes, np.array([0.9, 0.6]), [0, 0], ['nodule'], 0, [segments, {}]
    )
    provenance = dict(source=str(path), detector=dict(config='c.py', checkpoint='w.pth'))
    write_lesions(tmp_path / 'results', volume, lesions, provenance, 0, False)
    return tmp_path / 'results'
