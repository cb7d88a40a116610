"""Write cubes around nodules, and whole chests with pasted nodules, as the volumes of 3D detectors.

CUBES has the folders img and seg: NIfTI of the same names, isotropic voxels of gray values 0 to 255
for -1024 to 300 HU, and the nodule's mask. CHESTS has mmlesion.json (docs/datasets.md) and its
NIfTI. PARTS has train.json and val.json, whose images say which patients each part has. Chests are
cut to their lungs, at 1 mm, and each is a fold; each of their copies has some of the nodules.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np
from pasting import Chest, Nodule, paste_many, read_chests, read_nodules
from tqdm import tqdm

from mmlesion.converters.lungs import LungRegion, cut_to_lungs
from mmlesion.converters.resample import isotropic_grid, resample, to_image
from mmlesion.io.json_files import read_json
from mmlesion.io.volumes import write_annotations, write_volume
from mmlesion.utils import check_range, cli

ISOLATED = 0.8  # share of parenchyma around nodules that are pasted
NO_FOLD = 9
REGION = LungRegion()
PREPARATION = dict(lungs=asdict(REGION))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('cubes', metavar='CUBES', type=Path, help='folder of nodules')
    parser.add_argument('chests', metavar='CHESTS', type=Path, help='folder of whole chests')
    parser.add_argument('parts', metavar='PARTS', type=Path, help='folder of train.json, val.json')
    parser.add_argument('--out', type=Path, required=True, help='folder of the volumes')
    parser.add_argument('--copies', type=int, default=8, help='of each chest (8)')
    parser.add_argument('--seed', type=int, default=0, help='of places and turns (0)')
    return parser.parse_args()


@cli
def main() -> None:
    args = parse_args()
    check_range('--copies', args.copies, 1)
    check_range('--seed', args.seed, 0)
    rng = np.random.default_rng(args.seed)
    chests = read_chests(args.chests)
    for part in ('val', 'train'):
        images = read_json(args.parts / f'{part}.json')['images']
        nodules = read_nodules(args.cubes, {image['patient_id'] for image in images})
        entries, findings = paste_all(args.out, part, chests, nodules, args.copies, rng)
        write(args.out / f'chests_{part}.json', entries, findings)
        # the chests are first, so that a volume has the same id in both files
        for nodule in tqdm(nodules, desc=f'cubes, {part}'):
            entry, found = write_cube(args.out, nodule, nodules)
            entries.append(entry)
            findings.append(found)
        write(args.out / f'{part}.json', entries, findings)


def paste_all(
    out: Path,
    part: str,
    chests: list[Chest],
    nodules: list[Nodule],
    copies: int,
    rng: np.random.Generator,
) -> tuple[list[dict], list[list[dict]]]:
    """Write each chest with all isolated nodules, in several copies with a part of them each."""
    isolated = [one for one in nodules if one.isolation >= ISOLATED]
    entries, findings = [], []
    for fold, chest in enumerate(chests):
        order = rng.permutation(len(isolated))
        for copy in tqdm(range(copies), desc=f'{chest.name}, {part}'):
            chosen = [isolated[index] for index in order[copy::copies]]
            image, spheres = paste_many(chest, chosen, rng)
            name = f'{chest.name}_{part}_{copy}'
            hu, grid = cut_to_lungs(image, chest.lungs, REGION)
            entries.append(write_volume(out, name, hu, grid, patient_id=chest.name, fold=fold))
            findings.append([mark(sphere) for sphere in (*chest.lesions, *spheres)])
    return entries, findings


def write_cube(out: Path, nodule: Nodule, nodules: list[Nodule]) -> tuple[dict, list[dict]]:
    """Write a nodule's cube at 1 mm, with all nodules of its study that are in it."""
    grid = isotropic_grid(nodule.grid, (0, 0, 0), nodule.grid.size)
    hu = resample(to_image(nodule.hu, nodule.grid), grid)
    # no chest's fold: cubes are trained on with all of them
    patient = nodule.name[:14]
    entry = write_volume(out, nodule.name, hu, grid, patient_id=patient, fold=NO_FOLD)
    study = nodule.name.rsplit('-', 1)[0]
    found = []
    for other in nodules:
        if other.name.rsplit('-', 1)[0] == study and grid.contains([other.sphere[:3]])[0]:
            found.append(mark(other.sphere))
    return entry, found


def mark(sphere: np.ndarray | tuple) -> dict:
    """Return a finding of a sphere, world x, y, z and diameter in mm."""
    *center, diameter = map(float, sphere)
    return dict(center_mm=center, diameter_mm=diameter, ignore=0)


def write(path: Path, entries: list[dict], findings: list[list[dict]]) -> None:
    write_annotations(path, entries, findings, 'nodule', 'lung nodules in CT', PREPARATION)
    print(f'{path}: {len(entries)} volumes, {sum(map(len, findings))} nodules')


if __name__ == '__main__':
    main()
