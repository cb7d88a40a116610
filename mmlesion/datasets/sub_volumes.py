"""DeepLesion's sub-volumes: runs of consecutive slices, named as LENS' manual test set has them."""

import re
from typing import NamedTuple

import numpy as np

from mmlesion.utils import UserError

_NAME = re.compile(r'(.+)_(\d+)-(\d+)')


class SubVolume(NamedTuple):
    """A run of slices of a series.

    Args:
        series (str): The folder of its slices.
        first (int): Number of its first slice.
        last (int): Number of its last slice.
    """

    series: str
    first: int
    last: int

    @property
    def name(self):
        """Such as ``000046_03_02_086-104``."""
        return f'{self.series.replace("/", "_")}_{self.first:03d}-{self.last:03d}'

    @classmethod
    def parse(cls, name):
        """The sub-volume of a name.

        Raises:
            UserError: If it is none.
        """
        match = _NAME.fullmatch(name)
        if match is None or int(match[2]) > int(match[3]):
            raise UserError(f'{name!r} is no sub-volume such as 000046_03_02_086-104')
        return cls(match[1], int(match[2]), int(match[3]))


def consecutive_runs(series, numbers):
    """Cut the slices that there are of a series into runs of consecutive ones.

    Args:
        series (str): The folder of its slices.
        numbers (Sequence[int]): Their numbers, ascending.

    Returns:
        list[SubVolume]: In their order.
    """
    numbers = np.asarray(numbers, int)
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return [SubVolume(series, int(run[0]), int(run[-1])) for run in runs if len(run)]


def sub_volume_coco(coco, volumes, boxes):
    """A COCO dictionary of every slice of sub-volumes, and their 3D boxes.

    Args:
        coco (dict): The data set's annotation file.
        volumes (dict[str, Volume]): Its series by name, with all their slices
            (:func:`mmlesion.mining.volumes.list_volumes`).
        boxes (dict[SubVolume, list]): Of each sub-volume x1, y1, z1, x2, y2, z2, inclusive.

    Returns:
        dict: With ``sub_volume`` in each image, whose ``slice_range`` is that of the sub-volume,
        the annotations of the data set that lie on them, and ``sub_volumes``, the boxes by name.
    """
    images, annotations = [], []
    for sub in boxes:
        volume = volumes[sub.series]
        ids = {}
        for index in np.flatnonzero((volume.slices >= sub.first) & (volume.slices <= sub.last)):
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
    wanted = np.arange(sub_volume.first, sub_volume.last + 1)
    missing = np.setdiff1d(wanted, volume.slices)
    if len(missing):
        return f'{sub_volume.name}: there is no slice {", ".join(map(str, missing[:5]))}'
    return None
