"""The part of LIDC-IDRI in data/lidc_sample: what quickstart.sh trains on and scores."""

import json
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / 'data/lidc_sample'
SIZES = dict(train=(383, 388, 100), val=(154, 162, 52))  # slices, boxes, patients


def read(split):
    return json.loads((SAMPLE / f'{split}.json').read_text(encoding='utf-8'))


@pytest.mark.parametrize('split', SIZES)
def test_its_readme_counts_it(split):
    data = read(split)
    patients = {image['patient_id'] for image in data['images']}
    assert (len(data['images']), len(data['annotations']), len(patients)) == SIZES[split]


def test_no_patient_is_in_both_splits():
    train, val = ({image['patient_id'] for image in read(split)['images']} for split in SIZES)
    assert not train & val


@pytest.mark.parametrize('split', SIZES)
def test_slices_are_16_bit_windows_with_boxes_inside(split):
    data = read(split)
    boxes = {}
    for annotation in data['annotations']:
        boxes.setdefault(annotation['image_id'], []).append(annotation['bbox'])
    for image in data['images']:
        hu = cv2.imread(str(SAMPLE / 'Images_png' / image['file_name']), cv2.IMREAD_UNCHANGED)
        assert hu.dtype == 'uint16' and hu.shape == (96, 96)
        for x, y, width, height in boxes[image['id']]:
            assert 0 <= x and x + width <= 96 and 0 <= y and y + height <= 96


def test_its_license_is_beside_it():
    text = (SAMPLE / 'README.md').read_text(encoding='utf-8')
    assert 'CC BY 3.0' in text and 'LIDC-IDRI' in text and 'Changes:' in text
