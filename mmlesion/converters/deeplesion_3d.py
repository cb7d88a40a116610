"""Make volumes of 1 mm and 3D annotations of a converted DeepLesion.

A volume is a run of consecutive slices around key slices. Volumes that an earlier run has made of
the same slices are kept.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
from scipy.sparse.csgraph import connected_components
from terminaltables import AsciiTable

from mmlesion.froc import center_in_sphere
from mmlesion.io.checks import check_spacing
from mmlesion.io.coco import coco_ground_truth
from mmlesion.io.json_files import read_json
from mmlesion.io.schema import HU_OFFSET, path_under
from mmlesion.io.slices import merge_ranges, read_slice, series_of, slice_file_name
from mmlesion.io.volumes import store_volume, write_annotations, write_volume
from mmlesion.structures import Grid, SubVolume, file_box
from mmlesion.structures.boxes import body_box
from mmlesion.structures.series import MAX_SLICES
from mmlesion.utils import UserError

from .base import SPLITS, Run, naming
from .resample import isotropic_grid, resample

# Rows run to posterior, columns to the left, slices to inferior; the world is LPS.
DIRECTION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


@dataclass(frozen=True)
class SliceSpacing:
    """What a volume depends on besides its slices: ``spacing``, mm along x, y, z."""

    spacing: list


class AnnotatedSubVolume(NamedTuple):
    """A sub-volume with key slices, and its lesions in 3D.

    Args:
        place: Series, first and last slice.
        spacing: mm along x, y, z.
        lesions: (n, 4) spheres x, y, z, diameter in mm; x = y = z = 0 is the center of
            the first pixel of slice 1.
        types: n lesion types, DeepLesion's 1 to 8, or -1.
    """

    place: SubVolume
    spacing: tuple
    lesions: np.ndarray
    types: list

    @property
    def name(self) -> str:
        """str: Name such as ``000001_01_01_103-115``."""
        return self.place.name


def convert(
    annotations: str | Path,
    out: str | Path,
    *,
    images: str | Path,
    max_diameter: float = 48.0,
    small: float = 20.0,
    **run_options: Any,
) -> None:
    """Convert ``{train,val,test}.json`` of DeepLesion to volumes and their annotation files.

    Args:
        annotations: Folder of what the DeepLesion converter wrote.
        out: Folder for the volumes and the JSON files.
        images: The folder ``Images_png``.
        max_diameter: mm from which on lesions are ignored in training.
        small: mm below which the box's long side gives way to the long diameter, if that is
            smaller; see :func:`sphere`.
        **run_options: Of :class:`~mmlesion.converters.base.Run`: workers, strict, allow_skipped.

    Raises:
        UserError: If the input cannot be used, or more is skipped than allowed.
    """
    run = Run(out, 'volume', **run_options)
    if not Path(images).is_dir():
        raise UserError(f'{images} is not a folder: give that of Images_png')
    if not max_diameter > 0:
        raise UserError(f'the largest diameter is {max_diameter} mm: give more than 0')
    if not small >= 0:
        raise UserError(f'small lesions are those below {small} mm: give 0 or more')
    splits = {split: read_split(Path(annotations, f'{split}.json'), small) for split in SPLITS}
    # The runs of all splits at once, so that no worker waits at the end of each.
    runs = list(chain.from_iterable(splits.values()))
    convert_one = partial(convert_run, images=images, out=out)
    made, skipped = run.convert(convert_one, runs, 'DeepLesion')
    rows: list[list] = [['split', 'volumes', 'lesions', 'large']]
    for split, members in splits.items():
        rows.append(write_split(out, split, members, made, max_diameter))
    run.write({}, skipped)
    if skipped:
        where = f'{run.skipped_file}: {skipped[0].message}'
        print(f'skipped {len(skipped)} volumes, see {where}', file=sys.stderr)
    print(AsciiTable(rows).table)
    run.check(len(skipped), len(runs))


def read_split(path: Path, small: float = 20.0) -> list[AnnotatedSubVolume]:
    """Read the sub-volumes of one split, without annotations marked as noisy.

    3D Aggregated Faster R-CNN, section V, removes these from validation and test, too.

    Args:
        path: What the DeepLesion converter wrote.
        small: As :func:`sphere` takes it, mm. Defaults to 20.

    Returns:
        list[AnnotatedSubVolume]: In the order of their names.

    Raises:
        UserError: If the file is missing or of another schema.
    """
    if not path.is_file():
        raise UserError(f'{path} does not exist: run tools/dataset_converters/deeplesion.py first')
    try:
        content = read_json(path)
        coco_ground_truth(content, path)
        # An annotation of no image is a KeyError, which is reported below.
        lesions: dict[int, list[dict]] = {image['id']: [] for image in content['images']}
        for annotation in content['annotations']:
            if annotation.get('noisy'):
                continue
            lesions[annotation['image_id']].append(annotation)
        series: dict[str, list[tuple]] = {}
        for image in content['images']:
            _check_image(image, path)
            key = series_of(image['file_name'])
            series.setdefault(key, []).append((image, lesions[image['id']]))
        return [run for name in sorted(series) for run in sub_volumes(name, series[name], small)]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f'{path} is not what tools/dataset_converters/deeplesion.py writes '
            f'({type(error).__name__}: {error}): run it again'
        ) from None


def _check_image(image: dict, path: Path) -> None:
    """Raise :class:`UserError` if an image's slices or spacing make no volume."""
    where = f'{path}: image {image["id"]}'
    check_spacing([*image['spacing'], image['slice_interval']], 3, where)
    first, last = image['slice_range']
    kinds = set(map(type, (first, image['slice_index'], last)))
    if kinds != {int} or not 0 <= first <= last:
        raise UserError(f'{where} has the slice_range {image["slice_range"]!r:.80}: convert again')
    if not first <= image['slice_index'] <= last:
        raise UserError(f'{where} has a slice_index outside of its slice_range: convert again')


def sub_volumes(
    series: str, key_slices: Sequence[tuple[dict, list[dict]]], small: float = 20.0
) -> Iterator[AnnotatedSubVolume]:
    """Cut a series into runs of slices, and take the key slices' lesions to 3D.

    Args:
        series: The folder of its slices.
        key_slices: Images with their annotations.
        small: As :func:`sphere` takes it, mm. Defaults to 20.

    Yields:
        AnnotatedSubVolume: Each run that key slices' ranges make together.
    """
    for first, last in merge_ranges(image['slice_range'] for image, _ in key_slices):
        if last - first >= MAX_SLICES:
            raise UserError(f'{series!r:.80} has the slice_range {first}, {last}: convert it again')
        # Each key slice lies in its own range, thus in one merged range alone.
        members = [pair for pair in key_slices if first <= pair[0]['slice_index'] <= last]
        found, types = [], []
        for image, own in members:
            for annotation in own:
                found.append(sphere(image, annotation, small))
                types.append(annotation.get('lesion_type', -1))
        spheres = np.reshape(found, (-1, 4))
        image = members[0][0]
        yield AnnotatedSubVolume(
            SubVolume(series, first, last),
            (*image['spacing'], image['slice_interval']),
            *merge_lesions(spheres, types),
        )


def sphere(image: dict, annotation: dict, small: float = 20.0) -> np.ndarray:
    """Return the sphere of a lesion that is annotated on its key slice.

    3D Aggregated Faster R-CNN, section V: z from key slice and interval; the diameter is the box's
    long side, and of small lesions, whose boxes are too large, the smaller of that and the long
    diameter. The paper does not say how small; with any limit from 10 to 30 mm, 11 % of the
    lesions have 48 mm or more, as it says.

    Args:
        image: With ``spacing``, ``slice_interval``, ``slice_index``.
        annotation: With ``bbox`` and ``diameters_mm``.
        small: Lesions whose box has a long side below it are small, mm. Defaults to 20.

    Returns:
        ndarray: (4,) x, y, z, diameter in mm, the frame of :class:`AnnotatedSubVolume`.
    """
    x1, y1, x2, y2 = file_box(annotation, image)
    dx, dy = image['spacing']
    diameter = max((x2 - x1) * dx, (y2 - y1) * dy)
    if diameter < small:
        diameter = min(diameter, annotation['diameters_mm'][0])
    if not (diameter > 0 and annotation['diameters_mm'][0] > 0):
        raise ValueError(f'a lesion of slice {image["slice_index"]} has a diameter of {diameter}')
    # The world's origin is the first pixel's center, which the box has at 0.5.
    x, y = (x1 + x2 - 1) / 2 * dx, (y1 + y2 - 1) / 2 * dy
    z = -(image['slice_index'] - 1) * image['slice_interval']
    return np.array([x, y, z, diameter])


def merge_lesions(spheres: np.ndarray, types: Sequence[int]) -> tuple[np.ndarray, list[int]]:
    """Merge annotations of one lesion: spheres of different slices, one with the other's center.

    Two of one slice, thus of the same z, are two lesions, such as a small one in a large one. The
    merged one has the mean center, the largest diameter, and the type that known types agree on.

    Args:
        spheres: (n, 4) center and diameter in mm.
        types: n lesion types, -1 if unknown.

    Returns:
        tuple[ndarray, list[int]]: (m, 4) spheres and their m types.
    """
    # (n, n): whether the center of the row's sphere is in the column's. Either way joins the two,
    # and a chain of such pairs joins all of them.
    across = spheres[:, None, 2] != spheres[None, :, 2]
    near = center_in_sphere(spheres[:, None], spheres[None]) & across
    count, numbers = connected_components(near, directed=False)
    merged, merged_types = [], []
    for number in range(count):
        group = np.flatnonzero(numbers == number).tolist()
        center, diameter = spheres[group, :3].mean(axis=0), spheres[group, 3].max()
        merged.append(np.append(center, diameter))
        known = {types[index] for index in group} - {-1}
        merged_types.append(known.pop() if len(known) == 1 else -1)
    return np.reshape(merged, (-1, 4)), merged_types


def convert_run(run: AnnotatedSubVolume, images: str | Path, out: str | Path) -> dict:
    """Make the volume of a run of slices, if that is not done.

    Args:
        run: The run.
        images: The folder of the slices.
        out: The converted dataset's folder.

    Returns:
        dict: The volume's entry in the annotation file.

    Raises:
        UserError: If it cannot be made.
    """
    with naming(run.name):
        paths = slice_paths(run, images)
        options = SliceSpacing(list(run.spacing))
        return store_volume(out, run.name, paths, options, partial(_resample, run, paths, out))


def _resample(run: AnnotatedSubVolume, paths: Sequence[Path], out: str | Path) -> dict:
    """Clip black borders, resample to 1 mm and write it; see :func:`convert_run`."""
    stack = read_slices(paths)
    image = as_image(stack, run)
    grid = isotropic_grid(Grid.from_image(image), *body(stack))
    return write_volume(out, run.name, resample(image, grid), grid)


def slice_paths(run: AnnotatedSubVolume, images: str | Path) -> list[Path]:
    """Return the files of a run's slices, in order."""
    folder = Path(path_under(images, run.place.series))
    return [folder / slice_file_name(number) for number in run.place.numbers]


def read_slices(paths: Sequence[Path]) -> np.ndarray:
    """Read slices: (z, y, x) int16 HU.

    Raises:
        UserError: If one cannot be read, or is of another size than the first.
    """
    slices = [read_slice(str(path)) for path in paths]
    for path, one in zip(paths, slices):
        if one.dtype != np.uint16:
            raise UserError(f'slice {path} has 8 bits, not 16: give DeepLesion as it is published')
        if one.shape != slices[0].shape:
            raise UserError(f'slice {path} is of another size than the first of its volume')
    return (np.stack(slices).astype(np.int32) - HU_OFFSET).astype(np.int16)


def as_image(stack: np.ndarray, run: AnnotatedSubVolume) -> sitk.Image:
    """Make a SimpleITK image of a run's slices, in the frame of :class:`AnnotatedSubVolume`."""
    image = sitk.GetImageFromArray(stack)
    image.SetSpacing(run.spacing)
    image.SetDirection(DIRECTION)
    # Slice 1 is at z = 0 and later ones are below it, as sphere() has their lesions.
    image.SetOrigin((0.0, 0.0, -(run.place.first - 1) * run.spacing[2]))
    return image


def body(stack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest z, y, x of what is not black border, (z, y, x) HU given."""
    x1, y1, x2, y2 = body_box(stack.max(axis=0))
    return np.array([0, y1, x1]), np.array([len(stack), y2, x2])


def write_split(
    out: str | Path,
    split: str,
    runs: Sequence[AnnotatedSubVolume],
    done: Mapping[str, dict],
    max_diameter: float,
) -> list:
    """Write the annotation files of a split.

    Large lesions are ignored in the training split; validation and test split have a second file,
    in which they are too.

    Returns:
        list: Split, volumes, lesions, and how many of them are large.
    """
    made = [run for run in runs if run.name in done]
    entries = [done[run.name] for run in made]
    # Names of the files, and whether large lesions are ignored in them.
    names = {split: split == 'train'}
    if split != 'train':
        names[f'{split}_below_{max_diameter:g}mm'] = True
    for name, without_large in names.items():
        limit = max_diameter if without_large else np.inf
        lesions = [findings(run.lesions, run.types, limit) for run in made]
        path = Path(out, f'{name}.json')
        write_annotations(path, entries, lesions, 'lesion', f'DeepLesion in 3D, {split} split')
    diameters = np.concatenate([np.empty(0), *(run.lesions[:, 3] for run in made)])
    return [split, len(made), len(diameters), int((diameters >= max_diameter).sum())]


def findings(spheres: np.ndarray, types: Sequence[int], max_diameter: float) -> list[dict]:
    """Describe spheres (n, 4) and their lesion types in the schema of the annotation file."""
    found = []
    for (x, y, z, diameter), lesion_type in zip(spheres.tolist(), types):
        finding = {'center_mm': [x, y, z], 'diameter_mm': diameter}
        found.append(
            {**finding, 'ignore': int(diameter >= max_diameter), 'lesion_type': lesion_type}
        )
    return found
