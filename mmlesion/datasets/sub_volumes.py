"""DeepLesion's sub-volumes: runs of consecutive slices, named as in LENS' manual test set."""

import numpy as np


def sub_volume_coco(coco, volumes, boxes):
    """Return a COCO dictionary of every slice of sub-volumes, and their 3D boxes.

    Args:
        coco (dict): The dataset's annotation file.
        volumes (dict[str, SliceSeries]): Its series by name, with all their slices
            (:func:`mmlesion.mining.series.list_series`).
        boxes (dict[SubVolume, list]): Of each sub-volume x1, y1, z1, x2, y2, z2, inclusive.

    Returns:
        dict: With ``sub_volume`` in each image, whose ``slice_range`` is that of the sub-volume,
        the annotations of the dataset that lie on them, and ``sub_volumes``, the boxes by name.
    """
    images, annotations = [], []
    for sub in boxes:
        volume = volumes[sub.series]
        ids = {}
        for index in np.flatnonzero(sub.contains(volume.slices)):
            image = dict(volume.image(index), slice_range=[sub.first, sub.last])
            ids[image.pop('id', None)] = len(images) + 1
            images.append({'id': len(images) + 1, **image, 'sub_volume': sub.name})
        annotations += [
            {**annotation, 'id': number, 'image_id': ids[annotation['image_id']]}
            for number, annotation in enumerate(
                (one for one in volume.annotations if one['image_id'] in ids), len(annotations) + 1
            )
        ]
    return {
        'info': {'description': 'every slice of sub-volumes'},
        'images': images,
        'annotations': annotations,
        'categories': coco['categories'],
        'sub_volumes': {sub.name: found for sub, found in boxes.items()},
    }


def check_slices(sub_volume, volumes):
    """Return an error message if slices of a sub-volume are missing, or None."""
    volume = volumes.get(sub_volume.series)
    if volume is None:
        return f'{sub_volume.name}: no image of series {sub_volume.series} is annotated'
    missing = np.setdiff1d(sub_volume.numbers, volume.slices)
    if len(missing):
        return f'{sub_volume.name}: there is no slice {", ".join(map(str, missing[:5]))}'
    return None
