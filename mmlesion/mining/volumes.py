"""All slices of the series that a COCO file annotates a few of."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmlesion.io.schema import CT_FIELDS, path_under
from mmlesion.io.slices import has_slice_number, series_of, slice_number
from mmlesion.utils import UserError


@dataclass
class Volume:
    """A series: its slices and what the COCO file says of them.

    Attributes:
        name (str): Its folder under that of the images.
        slices (ndarray): (n,) numbers of the slices that there are, ascending.
        files (list[str]): (n,) names of their files, under the folder of the images.
        images (dict[int, dict]): COCO images by the number of their slice.
        annotations (list[dict]): COCO annotations of these images.
    """

    name: str
    slices: np.ndarray
    files: list
    images: dict = field(default_factory=dict)
    annotations: list = field(default_factory=list)

    @property
    def patient(self):
        """The patient's id, or the series' name where images tell none."""
        return self._template.get('patient_id', self.name)

    @property
    def _template(self):
        return next(iter(self.images.values()))

    def image(self, index):
        """The COCO image of a slice; of one that the file does not list, a new one without id.

        Args:
            index (int): Its place in ``slices``.

        Returns:
            dict: A new one has its series' fields, and the run of consecutive slices that it lies
            in as ``slice_range``.
        """
        number = int(self.slices[index])
        if number in self.images:
            return self.images[number]
        image = {key: value for key, value in self._template.items() if key != 'id'}
        first, last = self._run(index)
        image.update(file_name=self.files[index], slice_index=number, slice_range=[first, last])
        return image

    def _run(self, index):
        breaks = np.flatnonzero(np.diff(self.slices) > 1) + 1
        starts, ends = np.r_[0, breaks], np.r_[breaks, len(self.slices)]
        run = np.searchsorted(starts, index, side='right') - 1
        return int(self.slices[starts[run]]), int(self.slices[ends[run] - 1])


def list_volumes(coco, root):
    """Find the series that a COCO file annotates, and all their slices.

    Args:
        coco (dict): COCO content with mmlesion's fields; files are ``<series>/<slice>.png``.
        root (str | Path): The folder of the images.

    Returns:
        list[Volume]: By name.

    Raises:
        UserError: If a series has no folder, a listed slice is missing, or a name has no number.
    """
    volumes, volume_of = {}, {}
    for image in coco['images']:
        name = series_of(image['file_name'])
        if name not in volumes:
            volumes[name] = _list_slices(name, root)
        volume, number = volumes[name], slice_number(image['file_name'])
        if number not in volume.slices:
            raise UserError(f'there is no slice {path_under(root, image["file_name"])}')
        volume.images[number] = image
        volume_of[image['id']] = volume
    for annotation in coco['annotations']:
        volume_of[annotation['image_id']].annotations.append(annotation)
    return [volumes[name] for name in sorted(volumes)]


def _list_slices(name, root):
    folder = Path(path_under(root, name))
    if not folder.is_dir():
        raise UserError(f'there is no folder {folder} of a series: check the folder of the images')
    names = [path.name for path in folder.iterdir() if has_slice_number(path.name)]
    found = [(slice_number(name), name) for name in names]
    numbers, files = zip(*sorted(found)) if found else ((), ())
    return Volume(name, np.array(numbers, int), [f'{name}/{file}' for file in files])


def pipeline_sample(image, root, instances=()):
    """What a pipeline takes of a slice.

    Args:
        image (dict): A COCO image.
        root (str | Path): The folder of the images.
        instances (Sequence[dict]): mmdet's instances. Defaults to none.

    Returns:
        dict: As :class:`~mmlesion.datasets.CTSliceDataset` makes it.
    """
    sample = {key: image[key] for key in (*CT_FIELDS, 'height', 'width') if key in image}
    path = path_under(root, image['file_name'])
    return dict(sample, img_path=path, img_id=image.get('id'), instances=list(instances))
