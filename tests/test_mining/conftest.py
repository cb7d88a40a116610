import json

import cv2
import numpy as np
import pytest


@pytest.fixture
def two_studies(tmp_path):
    """A patient with two studies of ten slices; the first has one annotated lesion, on slice 5.

    The lesion is a bright square of 10 px at (10, 10) on slices 4 to 6 of either study. A brighter
    one at (40, 30) on slice 2 of the first is annotated nowhere.
    """
    for study in (1, 2):
        for number in range(1, 11):
            image = np.full((60, 60), 32768, np.uint16)
            if 4 <= number <= 6:
                image[10:20, 10:20] += 100
            if study == 1 and number == 2:
                image[30:40, 40:50] += 200
            path = tmp_path / 'images' / f'000001_0{study}_01' / f'{number:03d}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
    box = dict(bbox=[10, 10, 10, 10], area=100, iscrowd=0, category_id=1, lesion_type=4)
    noisy = dict(box, bbox=[30, 5, 10, 10], noisy=1)
    coco = dict(
        images=[_image(7, 1, 5), _image(8, 2, 5)],
        annotations=[dict(box, id=3, image_id=7), dict(noisy, id=4, image_id=8)],
        categories=[dict(id=1, name='lesion')],
    )
    (tmp_path / 'train.json').write_text(json.dumps(coco))
    return tmp_path


def _image(image_id, study, number):
    return dict(
        id=image_id,
        file_name=f'000001_0{study}_01/{number:03d}.png',
        height=60,
        width=60,
        spacing=[0.8, 0.8],
        slice_interval=2.0,
        slice_index=number,
        slice_range=[1, 10],
        patient_id=1,
        study_id=study,
        series_id=1,
    )
