"""All slices of the partially annotated series in a COCO file."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmlesion.io.schema import CT_FIELDS, path_under
from mmlesion.io.slices import has_slice_number, series_of, slice_number
from mmlesion.utils import UserError


@dataclass
class Volume:
    """A series: its slices and their COCO records.

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
        """Return the patient's id, or the series' name if images have none."""
        return self._template.get('patient_id', self.name)

    @property
    def _template(self):
        return next(iter(self.images.values()))

    def image(self, index):
        """Return the COCO image of a slice; for an unlisted slice a new one without id.

        Args:
            index (int): Its place in ``slices``.

        Returns:
            dict: A new record has the fields of its series, and its run of consecutive slices as
            ``slice_range``.
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
    """List the series of a COCO file with all their slices.

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
    """Return a slice's input for a pipeline.

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
