from mmlesion.io.coco import as_coco


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
