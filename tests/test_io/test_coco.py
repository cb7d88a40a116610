import pytest

from mmlesion.io.coco import as_coco, coco_ground_truth
from mmlesion.utils import UserError


def test_ids_of_coco():
    images = [
        {'file_name': 'a.png', 'annotations': [{'bbox': [0, 0, 1, 1]}, {'bbox': [1, 1, 2, 2]}]},
        {'file_name': 'b.png', 'annotations': [{'bbox': [3, 3, 1, 1]}]},
    ]
    assert as_coco(images, ('lesion',), {'description': 'x'}) == {
        'info': {'description': 'x'},
        'images': [{'id': 1, 'file_name': 'a.png'}, {'id': 2, 'file_name': 'b.png'}],
        'annotations': [
            {'id': 1, 'image_id': 1, 'bbox': [0, 0, 1, 1]},
            {'id': 2, 'image_id': 1, 'bbox': [1, 1, 2, 2]},
            {'id': 3, 'image_id': 2, 'bbox': [3, 3, 1, 1]},
        ],
        'categories': [{'id': 1, 'name': 'lesion', 'supercategory': 'lesion'}],
    }
    assert 'annotations' in images[0]


@pytest.mark.parametrize('center', ['0', None, [0.5], float('nan')])
def test_a_pixel_center_that_is_no_number(center):
    images = [dict(id=1, file_name='a/1.png'), dict(id=2, file_name='a/2.png', pixel_center=center)]
    content = dict(images=images, annotations=[], categories=[dict(id=1, name='lesion')])
    with pytest.raises(
        UserError, match='image 1 .the first is 0., "pixel_center": Expected `float`'
    ):
        coco_ground_truth(content, 'a.json')
