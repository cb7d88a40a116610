"""Write cubes of CT around nodules as the volumes of 3D detectors.

CUBES is an annotation file of volumes (docs/datasets.md) whose files are NIfTI of isotropic voxels,
each in the field lidc2d_part 'train' or 'val'. Every nodule is in the middle of its cube. So that
the middle tells a detector nothing, training takes random crops of the cubes, and the cubes of the
validation part are written as crops at random offsets.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from pasting import read_cube

from mmlesion.io.json_files import read_json
from mmlesion.io.volumes import write_annotations, write_volume
from mmlesion.structures import Grid
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError, check_range, cli

PARTS = ('train', 'val')


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('cubes', metavar='CUBES', help='JSON beside the NIfTI files')
    parser.add_argument('--out', required=True, help='folder for train.json, val.json, volumes')
    parser.add_argument('--size', type=int, default=48, help='side of the crops, voxels (48)')
    parser.add_argument(
        '--crops', type=int, default=4, help='of each cube of the validation part (4)'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the offsets (0)')
    return parser.parse_args()


def crop_grid(grid: Grid, start: np.ndarray, size: int) -> Grid:
    """Return the grid of a crop whose first voxel is ``start``, z, y, x."""
    (origin,) = grid.to_world([start + 0.5])
    return replace(grid, size=(size,) * 3, origin=tuple(origin.tolist()))


def findings_in(grid: Grid, annotations: list) -> list:
    """Return the nodules that reach into a grid; those whose center is outside are ignored."""
    found = []
    for annotation in annotations:
        sphere = [*annotation['center_mm'], annotation['diameter_mm']]
        (box,) = grid.boxes_around([sphere])
        if (box[3:] <= 0).any() or (box[:3] >= grid.size).any():
            continue
        inside = bool(grid.contains([sphere[:3]])[0])
        ignore = int(annotation['ignore'] or not inside)
        found.append({'center_mm': sphere[:3], 'diameter_mm': sphere[3], 'ignore': ignore})
    return found


def convert(cubes: str, out: str, size: int, crops: int, seed: int) -> None:
    """Write the volumes and annotation files; see the module."""
    check_range('--size', size, 1)
    check_range('--crops', crops, 1)
    check_range('--seed', seed, 0)
    content = read_json(cubes)
    annotations: dict = {volume['id']: [] for volume in content['volumes']}
    for annotation in content['annotations']:
        annotations[annotation['volume_id']].append(annotation)
    rng = np.random.default_rng(seed)
    entries: dict = {part: [] for part in PARTS}
    findings: dict = {part: [] for part in PARTS}
    for volume in content['volumes']:
        path = Path(cubes).parent / volume['file_name']
        ct = CTVolume(read_cube(path))
        # headers round: spheres need voxels that are cubes
        whole = replace(ct.grid, spacing=(ct.grid.spacing[0],) * 3)
        if min(whole.size) < size:
            raise UserError(f'{path} has {whole.size} voxels: give a --size of at most the least')
        part = volume['lidc2d_part']
        name = Path(volume['file_name']).name.split('.')[0]
        places = [(name, np.zeros(3, int), whole)]
        if part == 'val':
            starts = rng.integers(0, np.array(whole.size) - size + 1, (crops, 3))
            places = [
                (f'{name}_{i}', start, crop_grid(whole, start, size))
                for i, start in enumerate(starts)
            ]
        for crop_name, start, grid in places:
            z, y, x = (slice(low, low + side) for low, side in zip(start, grid.size))
            hu = np.ascontiguousarray(ct.array[z, y, x], dtype=np.int16)
            patient = {'patient_id': volume['patient_id']}
            entries[part].append(write_volume(out, crop_name, hu, grid, **patient))
            findings[part].append(findings_in(grid, annotations[volume['id']]))
    for part in PARTS:
        description = f'nodules in cubes, {part} part'
        write_annotations(
            Path(out, f'{part}.json'), entries[part], findings[part], 'nodule', description
        )
        numbers = [len(entries[part]), sum(not f['ignore'] for own in findings[part] for f in own)]
        print(f'{part}: {numbers[0]} volumes, {numbers[1]} nodules')


@cli
def main():
    convert(**vars(parse_args()))


if __name__ == '__main__':
    main()
