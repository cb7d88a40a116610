"""Make volumes of 1 mm and 3D annotations of a converted DeepLesion (see docs/datasets.md).

A volume is a run of consecutive slices around key slices. It reads train.json, val.json and
test.json of tools/dataset_converters/deeplesion.py. Volumes that an earlier run has made of the
same slices are kept, so that an interrupted run goes on where it was.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from scipy.sparse.csgraph import connected_components
from terminaltables import AsciiTable

from mmlesion.datasets.conversion import add_skip_options, check_skipped
from mmlesion.datasets.transforms import ClipBlackBorder
from mmlesion.datasets.volume_files import (
    isotropic_grid,
    resample,
    store_volume,
    write_annotations,
    write_volume,
)
from mmlesion.evaluation.functional import centre_in_sphere
from mmlesion.io.atomic import atomic_write
from mmlesion.io.json_files import read_json
from mmlesion.io.schema import HU_OFFSET, path_under
from mmlesion.io.slices import merge_ranges, read_slice, series_of, slice_file_name
from mmlesion.structures import Grid, SubVolume, file_box
from mmlesion.utils import UserError, cli, run_parallel

SPLITS = ('train', 'val', 'test')
# Rows run to posterior, columns to the left, slices to inferior; the world is LPS.
DIRECTION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


@dataclass(frozen=True)
class SliceSpacing:
    """What a volume depends on besides its slices: ``spacing``, mm along x, y, z."""

    spacing: list


class AnnotatedSubVolume(NamedTuple):
    """A sub-volume that has key slices, and its lesions in 3D.

    Args:
        place (SubVolume): Series, first and last slice.
        spacing (tuple[float]): mm along x, y, z.
        lesions (ndarray): (n, 4) spheres x, y, z, diameter in mm; x = y = z = 0 is the centre of
            the first pixel of slice 1.
        types (list[int]): n lesion types, DeepLesion's 1 to 8, or -1.
    """

    place: SubVolume
    spacing: tuple
    lesions: np.ndarray
    types: list

    @property
    def name(self) -> str:
        """Such as ``000001_01_01_103-115``."""
        return self.place.name


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('annotations', help='the folder with train.json, val.json, test.json')
    parser.add_argument('--images', required=True, help='the folder Images_png')
    parser.add_argument('--out', required=True, help='folder for the volumes and their JSON files')
    parser.add_argument(
        '--max-diameter',
        type=float,
        default=48.0,
        help='mm from which on lesions are left out of training (48)',
    )
    parser.add_argument(
        '--workers', type=int, default=os.cpu_count() or 1, help='processes (one a core)'
    )
    add_skip_options(parser, 'volume')
    return parser.parse_args()


@cli
def main():
    args = parse_args()
    if not Path(args.images).is_dir():
        raise UserError(f'{args.images} is not a folder: give that of Images_png')
    if not args.max_diameter > 0:
        raise UserError(f'the largest diameter is {args.max_diameter} mm: give more than 0')
    splits = {split: read_split(Path(args.annotations, f'{split}.json')) for split in SPLITS}
    convert = partial(
        convert_volume,
        images=args.images,
        out=args.out,
        strict=args.strict,
    )
    tasks = [volume for volumes in splits.values() for volume in volumes]
    results = run_parallel(convert, tasks, args.workers, 'DeepLesion', 'volume', resumable=True)
    done = {volume.name: result for volume, result in zip(tasks, results)}
    problems = [result for result in done.values() if isinstance(result, str)]
    if problems and len(problems) == len(done):
        raise UserError(f'no volume can be made; the first: {problems[0]}')
    rows = [
        write_split(args.out, split, volumes, done, args.max_diameter)
        for split, volumes in splits.items()
    ]
    report(args.out, rows, problems)
    skipped = Path(args.out, 'skipped.txt')
    check_skipped(len(problems), len(done), args.allow_skipped, 'volume', skipped)


def read_split(path):
    """Read the sub-volumes of one split.

    Args:
        path (Path): What the DeepLesion converter wrote.

    Returns:
        list[AnnotatedSubVolume]: In the order of their names.

    Raises:
        UserError: If the file is missing or of another schema.
    """
    if not path.is_file():
        raise UserError(f'{path} does not exist: run tools/dataset_converters/deeplesion.py first')
    try:
        content = read_json(path)
        lesions = {image['id']: [] for image in content['images']}
        for annotation in content['annotations']:
            lesions[annotation['image_id']].append(annotation)
        series = {}
        for image in content['images']:
            key = series_of(image['file_name'])
            series.setdefault(key, []).append((image, lesions[image['id']]))
        return [volume for name in sorted(series) for volume in sub_volumes(name, series[name])]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'{path} is not what tools/dataset_converters/deeplesion.py writes '
            f'({type(error).__name__}: {error}): run it again'
        ) from None


def sub_volumes(series, key_slices):
    """Cut a series into runs of slices, and take the key slices' lesions to 3D.

    Args:
        series (str): The folder of its slices.
        key_slices (list[tuple[dict, list[dict]]]): Images with their annotations.

    Yields:
        AnnotatedSubVolume: Each run that key slices' ranges make together.
    """
    for first, last in merge_ranges(image['slice_range'] for image, _ in key_slices):
        members = [pair for pair in key_slices if first <= pair[0]['slice_index'] <= last]
        pairs = [(image, ann) for image, annotations in members for ann in annotations]
        spheres = np.reshape([sphere(image, ann) for image, ann in pairs], (-1, 4))
        types = [ann.get('lesion_type', -1) for _, ann in pairs]
        image = members[0][0]
        yield AnnotatedSubVolume(
            SubVolume(series, first, last),
            (*image['spacing'], image['slice_interval']),
            merge_spheres(spheres),
            merge_types(spheres, types),
        )


def sphere(image, annotation):
    """The sphere of a lesion that is annotated on its key slice.

    3D Aggregated Faster R-CNN, section V: z from key slice and interval; the diameter is the
    smaller of the box's long side and the long diameter, as boxes of small lesions are too large.

    Args:
        image (dict): With ``spacing``, ``slice_interval``, ``slice_index``.
        annotation (dict): With ``bbox`` and ``diameters_mm``.

    Returns:
        ndarray: (4,) x, y, z, diameter in mm, the frame of :class:`AnnotatedSubVolume`.
    """
    x1, y1, x2, y2 = file_box(annotation, image)
    dx, dy = image['spacing']
    diameter = min(max((x2 - x1) * dx, (y2 - y1) * dy), annotation['diameters_mm'][0])
    # The world's origin is the first pixel's center, which the box has at 0.5.
    x, y = (x1 + x2 - 1) / 2 * dx, (y1 + y2 - 1) / 2 * dy
    z = -(image['slice_index'] - 1) * image['slice_interval']
    return np.array([x, y, z, diameter])


def merge_spheres(spheres):
    """Merge annotations of one lesion: spheres, one of which has the other's centre in it.

    The merged one has the mean centre and the largest diameter.

    Args:
        spheres (ndarray): (n, 4) centre and diameter in mm.

    Returns:
        ndarray: (m, 4).
    """
    members = [spheres[group] for group in groups_of_one_lesion(spheres)]
    merged = [[*part[:, :3].mean(axis=0), part[:, 3].max()] for part in members]
    return np.reshape(merged, (-1, 4))


def merge_types(spheres, types):
    """The lesion types of merged spheres: what the known types of each agree on, or -1.

    Args:
        spheres (ndarray): (n, 4) as :func:`merge_spheres` takes them.
        types (Sequence[int]): n lesion types, -1 if unknown.

    Returns:
        list[int]: m lesion types.
    """
    groups = groups_of_one_lesion(spheres)
    known = [{types[index] for index in group} - {-1} for group in groups]
    return [one.pop() if len(one) == 1 else -1 for one in known]


def groups_of_one_lesion(spheres):
    """Indices of spheres that are one lesion (list[ndarray]); see :func:`merge_spheres`."""
    near = centre_in_sphere(spheres[:, None], spheres[None])
    count, group = connected_components(near, directed=False)
    return [np.flatnonzero(group == number) for number in range(count)]


def convert_volume(volume, images, out, strict=False):
    """Make a sub-volume's volume, if that is not done.

    Args:
        volume (AnnotatedSubVolume): The sub-volume.
        images (str | Path): The folder of the slices.
        out (str | Path): The data set's folder.
        strict (bool): Whether a volume that cannot be made is an error.

    Returns:
        dict | str: Its entry in the annotation file, or what is wrong with it.

    Raises:
        UserError: With ``strict``, if it cannot be made.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # as there are several processes
    options = SliceSpacing(list(volume.spacing))
    try:
        paths = slice_paths(volume, images)
        convert = partial(clip_volume, volume, paths, out)
        return store_volume(out, volume.name, paths, options, convert)
    except UserError as error:
        if strict:
            raise UserError(f'{error}. Without --strict such volumes are skipped') from None
        return f'{volume.name}: {error}'


def clip_volume(volume, paths, out):
    """Clip black borders, resample to 1 mm and write it; see :func:`convert_volume`."""
    stack = read_slices(paths)
    image = as_image(stack, volume)
    grid = isotropic_grid(Grid.from_image(image), *body(stack))
    return write_volume(out, volume.name, resample(image, grid), grid)


def slice_paths(volume, images):
    """The files of a sub-volume's slices, in their order."""
    folder = Path(path_under(images, volume.place.series))
    return [folder / slice_file_name(number) for number in volume.place.numbers]


def read_slices(paths):
    """Read slices: (z, y, x) int16 HU.

    Raises:
        UserError: If one cannot be read, or is of another size than the first.
    """
    slices = [read_slice(str(path)) for path in paths]
    for path, one in zip(paths, slices):
        if one.shape != slices[0].shape:
            raise UserError(f'slice {path} is of another size than the first of its volume')
    return (np.stack(slices).astype(np.int32) - HU_OFFSET).astype(np.int16)


def as_image(stack, volume):
    """A SimpleITK image of a sub-volume's slices, in the frame of :class:`AnnotatedSubVolume`."""
    image = sitk.GetImageFromArray(stack)
    image.SetSpacing(volume.spacing)
    image.SetDirection(DIRECTION)
    image.SetOrigin((0.0, 0.0, -(volume.place.first - 1) * volume.spacing[2]))
    return image


def body(stack):
    """Lowest and highest z, y, x of what is not black border, (z, y, x) HU given."""
    projection = stack.max(axis=0)[..., None]
    clipped = ClipBlackBorder().transform(dict(img=projection))
    x, y = clipped['border_offset']
    height, width = clipped['img_shape']
    return np.array([0, y, x]), np.array([len(stack), y + height, x + width])


def write_split(out, split, volumes, done, max_diameter):
    """Write the annotation files of a split.

    Large lesions are ignored in the training split; validation and test split have a second file,
    in which they are too.

    Returns:
        list: Split, volumes, lesions, and how many of them are large.
    """
    made = [volume for volume in volumes if isinstance(done[volume.name], dict)]
    entries = [done[volume.name] for volume in made]
    names = {split: split == 'train'}
    if split != 'train':
        names[f'{split}_below_{max_diameter:g}mm'] = True
    for name, without_large in names.items():
        limit = max_diameter if without_large else np.inf
        lesions = [findings(volume.lesions, volume.types, limit) for volume in made]
        path = Path(out, f'{name}.json')
        write_annotations(path, entries, lesions, 'lesion', f'DeepLesion in 3D, {split} split')
    diameters = np.concatenate([np.empty(0), *(volume.lesions[:, 3] for volume in made)])
    return [split, len(made), len(diameters), int((diameters >= max_diameter).sum())]


def findings(spheres, types, max_diameter):
    """Spheres (n, 4) and their lesion types in the schema of the annotation file."""
    return [
        {
            'center_mm': center,
            'diameter_mm': diameter,
            'ignore': int(diameter >= max_diameter),
            'lesion_type': lesion_type,
        }
        for (*center, diameter), lesion_type in zip(spheres.tolist(), types)
    ]


def report(out, rows, problems):
    """Print what was skipped and why, and what is in the files."""
    skipped = Path(out, 'skipped.txt')
    skipped.unlink(missing_ok=True)
    if problems:
        with atomic_write(skipped) as temporary:
            temporary.write_text(''.join(f'{problem}\n' for problem in problems))
        print(f'skipped {len(problems)} volumes, see {skipped}: {problems[0]}', file=sys.stderr)
    print(AsciiTable([['split', 'volumes', 'lesions', 'large'], *rows]).table)


if __name__ == '__main__':
    main()
