"""DeepLesion's sub-volumes: runs of consecutive slices, named as LENS' manual test set has them."""

from pathlib import Path

import numpy as np
from scipy import ndimage

from mmlesion.utils import UserError


def mask_boxes(labels, slices, sub_volume, margin=5):
    """Boxes around the lesions of a sub-volume.

    Args:
        labels (ndarray): (z, y, x) number of the lesion, 0 where there is none.
        slices (ndarray): (z,) slice number of each plane, ascending.
        sub_volume (SubVolume): Whose slices count.
        margin (int): px around a lesion, as far as there is image. Defaults to 5, DeepLesion's.

    Returns:
        list[list[int]]: x1, y1, z1, x2, y2, z2 in px and slice numbers, all inclusive.
    """
    chosen = sub_volume.contains(slices)
    numbers = slices[chosen]
    boxes = []
    for found in ndimage.find_objects(labels[chosen]):
        if found is not None:
            z, y, x = found
            first, last = int(numbers[z.start]), int(numbers[z.stop - 1])
            low = [max(axis.start - margin, 0) for axis in (x, y)]
            ends = zip((x, y), labels.shape[:0:-1])
            high = [min(axis.stop + margin, end) - 1 for axis, end in ends]
            boxes.append([*low, first, *high, last])
    return boxes


def sub_volume_coco(coco, volumes, boxes):
    """A COCO dictionary of every slice of sub-volumes, and their 3D boxes.

    Args:
        coco (dict): The data set's annotation file.
        volumes (dict[str, SliceSeries]): Its series by name, with all their slices
            (:func:`mmlesion.mining.series.list_series`).
        boxes (dict[SubVolume, list]): Of each sub-volume x1, y1, z1, x2, y2, z2, inclusive.

    Returns:
        dict: With ``sub_volume`` in each image, whose ``slice_range`` is that of the sub-volume,
        the annotations of the data set that lie on them, and ``sub_volumes``, the boxes by name.
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
    """Say what is missing of a sub-volume: an error message, or None."""
    volume = volumes.get(sub_volume.series)
    if volume is None:
        return f'{sub_volume.name}: no image of series {sub_volume.series} is annotated'
    missing = np.setdiff1d(sub_volume.numbers, volume.slices)
    if len(missing):
        return f'{sub_volume.name}: there is no slice {", ".join(map(str, missing[:5]))}'
    return None


def read_mask_boxes(folder, sub_volume):
    """Boxes of a phantom's true masks; see :func:`mask_boxes`.

    Args:
        folder (str | Path): The phantom's ``truth``.
        sub_volume (SubVolume): The sub-volume.

    Returns:
        list[list[int]]: Of all lesions, annotated or not.

    Raises:
        UserError: If there is no truth of its series.
    """
    path = Path(folder, f'{sub_volume.series}.npz')
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return mask_boxes(arrays['labels'], arrays['slices'], sub_volume)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} is not the truth of a phantom's series ({error})") from None
