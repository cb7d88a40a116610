"""Pasting of real nodules into whole chest CTs."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from tqdm import tqdm

from mmlesion.converters.lungs import find_lungs
from mmlesion.io.ct import read_ct
from mmlesion.io.json_files import read_json
from mmlesion.structures import Grid
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError

LUNG = -500  # HU; parenchyma lies below
RIM = 1.0, 4.0  # mm from a nodule: all of it is pasted up to the first, nothing from the second
SHELL = 2.0, 6.0  # mm from a nodule where the lung around it is measured
SUBSTEPS = 5  # samples over the thickness of a slice, which is their mean
APART = 15.0  # mm of lung between lesions
TRIALS = 2000  # places for a nodule
GRAY = -1024, 300  # HU of the gray values 0 and 255 of a cube


@dataclass(frozen=True, eq=False)
class Chest:
    """A whole chest CT in the training orientation.

    Attributes:
        name: Of its file.
        image: Its voxels, HU from -1024.
        lungs: (z, y, x), 3 and 4 in the lungs, 0 elsewhere.
        places: (n, 3) z, y, x of the lungs' voxels.
        depths: (n,) mm from these to what is no lung.
        lesions: (n, 4) world x, y, z and diameter in mm.
    """

    name: str
    image: sitk.Image
    lungs: np.ndarray
    places: np.ndarray
    depths: np.ndarray
    lesions: np.ndarray


@dataclass(frozen=True, eq=False)
class Nodule:
    """A nodule in a cube of isotropic voxels, in the training orientation.

    Attributes:
        name: Of its file, which begins with the patient and the study.
        hu: (z, y, x) float32.
        distance: (z, y, x) mm from the nodule's surface, negative inside.
        grid: Where the voxels lie.
        sphere: World x, y, z and diameter in mm, of the sphere of its volume.
        isolation: Share of parenchyma in the shell around it.
    """

    name: str
    hu: np.ndarray
    distance: np.ndarray
    grid: Grid
    sphere: tuple[float, ...]
    isolation: float


def read_chests(folder: Path) -> list[Chest]:
    """Read the chests that ``mmlesion.json`` in a folder lists, and find their lungs."""
    content = read_json(folder / 'mmlesion.json')
    chests = []
    for volume in content['volumes']:
        image = sitk.Clamp(read_ct(folder / volume['file_name']), sitk.sitkInt16, -1024, 3071)
        image = sitk.DICOMOrient(image, CTVolume.ORIENTATION)
        marks = [one for one in content['annotations'] if one['volume_id'] == volume['id']]
        lesions = np.reshape([(*one['center_mm'], one['diameter_mm']) for one in marks], (-1, 4))
        name = volume['file_name'].split('.')[0]
        lungs = find_lungs(image)
        depths = ndimage.distance_transform_edt(lungs > 0, sampling=image.GetSpacing()[::-1])
        places = np.argwhere(lungs > 0)
        chests.append(Chest(name, image, lungs, places, depths[lungs > 0], lesions))
    return chests


def read_cube(path: Path) -> sitk.Image:
    """Read a cube, whose voxels may all be lung: read_ct would take it for no CT."""
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError:
        raise UserError(f'{path} cannot be read: give the folder of CUBES as a whole') from None


def read_nodules(cubes: Path, patients: Container[str]) -> list[Nodule]:
    """Read cubes around nodules, each in the middle of its cube.

    Args:
        cubes: Folder of ``img``, gray values, and ``seg`` with NIfTI files of the same names,
            which begin with the patient, such as ``LIDC-IDRI-0011-1-10.nii.gz``.
        patients: Whose cubes are read.

    Returns:
        list[Nodule]: In order of name; without those that reach a side of their cube.
    """
    nodules = []
    paths = [path for path in sorted((cubes / 'img').iterdir()) if path.name[:14] in patients]
    for path in tqdm(paths, desc='nodules'):
        volume = CTVolume(read_cube(path))
        labels = sitk.GetArrayFromImage(read_cube(cubes / 'seg' / path.name))
        mask = _own(volume.oriented(labels) > 0)
        if mask.sum() != mask[1:-1, 1:-1, 1:-1].sum() or not mask.any():
            continue
        spacing = volume.spacing[0]
        inside = ndimage.distance_transform_edt(mask)
        distance = ((ndimage.distance_transform_edt(~mask) - inside) * spacing).astype(np.float32)
        hu = np.interp(volume.array, (0, 255), GRAY).astype(np.float32)
        shell = hu[(distance > SHELL[0]) & (distance < SHELL[1])]
        (center,) = volume.to_world([np.argwhere(mask).mean(0) + 0.5])
        diameter = 2 * (3 * mask.sum() * spacing**3 / (4 * np.pi)) ** (1 / 3)
        nodules.append(
            Nodule(
                path.name.split('.')[0],
                hu,
                distance,
                # headers round: spheres need voxels that are cubes
                replace(volume.grid, spacing=(spacing,) * 3),
                (*center.tolist(), float(diameter)),
                float((shell < LUNG).mean()),
            )
        )
    return nodules


def _own(mask: np.ndarray) -> np.ndarray:
    """Return the part of a mask that is nearest to the middle."""
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    middles = np.array(ndimage.center_of_mass(mask, parts, range(1, count + 1)))
    return parts == 1 + np.linalg.norm(middles - np.array(mask.shape) / 2, axis=1).argmin()


def paste_many(
    chest: Chest, nodules: list[Nodule], rng: np.random.Generator
) -> tuple[sitk.Image, np.ndarray]:
    """Paste nodules into a chest, at random places where there is room, turned at random.

    Returns:
        tuple: The chest with those for which there was room, and (n, 4) their spheres, world x, y,
        z and diameter in mm.
    """
    hu = sitk.GetArrayFromImage(chest.image).astype(np.float32)
    grid = Grid.from_image(chest.image)
    step = np.asarray(grid.spacing)[::-1]
    taken = list(chest.lesions)
    spheres = []
    for nodule in sorted(nodules, key=lambda one: -one.sphere[3]):
        radius = nodule.sphere[3] / 2
        deep = np.flatnonzero(chest.depths > radius + 2)
        places = chest.places[rng.choice(deep, min(len(deep), TRIALS), replace=False)]
        world = grid.to_world(places + 0.5)
        free = np.ones(len(places), bool)
        for *center, diameter in taken:
            distance = np.linalg.norm(world - center, axis=1)
            free &= distance > radius + diameter / 2 + APART
        for place, center in zip(places[free], world[free]):
            if _is_parenchyma(hu, step, place, radius + SHELL[0]):
                paste(hu, step, nodule, place, int(rng.integers(48)))
                spheres.append((*center.tolist(), 2 * radius))
                taken.append(spheres[-1])
                break
    image = sitk.GetImageFromArray(np.rint(hu).astype(np.int16))
    image.CopyInformation(chest.image)
    return image, np.reshape(spheres, (-1, 4))


def _is_parenchyma(hu: np.ndarray, step: np.ndarray, place: np.ndarray, radius: float) -> bool:
    """Return whether nine tenths of the cube around a place are."""
    reach = np.maximum(np.rint(radius / step), 1).astype(int)
    part = tuple(slice(max(p - r, 0), p + r + 1) for p, r in zip(place, reach))
    return bool((hu[part] < LUNG).mean() > 0.9)


def paste(hu: np.ndarray, step: np.ndarray, nodule: Nodule, place: np.ndarray, turn: int) -> None:
    """Paste a nodule into a chest, in place.

    It is averaged over the thickness of the chest's slices, and its parenchyma is shifted to the HU
    of the chest's. From 1 to 4 mm off its surface it passes into the chest.

    Args:
        hu: (z, y, x) float32, changed.
        step: z, y, x mm of its voxels.
        nodule: What is pasted.
        place: z, y, x of the voxel where its middle comes to lie.
        turn: 0 to 47, of the cube's turns and mirror images.
    """
    cube, distance = turned(nodule.hu, turn), turned(nodule.distance, turn)
    ratio = step / nodule.grid.spacing[0]  # voxels of the cube for one of the chest
    center = np.argwhere(distance < 0).mean(0)
    inside = np.argwhere(distance < RIM[1])
    low = np.floor((inside.min(0) - center) / ratio).astype(int)
    high = np.ceil((inside.max(0) - center) / ratio).astype(int) + 1
    first, last = np.maximum(place + low, 0), np.minimum(place + high, hu.shape)
    z, y, x = (np.arange(a, b) - p for a, b, p in zip(first, last, place))
    fine = (z[:, None] + (np.arange(SUBSTEPS) + 0.5) / SUBSTEPS - 0.5).ravel()
    axes = [part * r + c for part, r, c in zip((fine, y, x), ratio, center)]
    points = np.meshgrid(*axes, indexing='ij')

    def sample(values: np.ndarray) -> np.ndarray:
        found = ndimage.map_coordinates(values, points, order=1, mode='nearest')
        return found.reshape(len(z), SUBSTEPS, len(y), len(x)).mean(1)

    part = hu[tuple(map(slice, first, last))]
    new, far = sample(cube), sample(distance)
    shell = cube[(distance > SHELL[0]) & (distance < SHELL[1]) & (cube < LUNG)]
    around = part[part < LUNG]
    if len(shell) and len(around):
        # all of it below -800 HU, nothing of it above -200
        parenchyma = ((-200 - new) / 600).clip(0, 1)
        new = new + parenchyma * (np.median(around) - np.median(shell))
    weight = ((RIM[1] - far) / (RIM[1] - RIM[0])).clip(0, 1)
    part[...] = weight * new + (1 - weight) * part


def turned(cube: np.ndarray, turn: int) -> np.ndarray:
    """Return one of a cube's 48 turns and mirror images; 0 is the cube itself."""
    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    flips = [axis for axis in range(3) if turn // 6 >> axis & 1]
    return np.flip(cube.transpose(orders[turn % 6]), flips)
