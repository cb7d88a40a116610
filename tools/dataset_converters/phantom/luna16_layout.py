"""Synthetic patients in the files of LUNA16: chest scans, lung masks and lists of nodules."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from mmlesion.io.ct import write_image
from mmlesion.utils import run_parallel

from .layout import check_counts, new_data_folder, turned, upright_image
from .lesions import Lesion, Profile
from .patient import Patient, PatientOptions, Study, draw_patient, organ_mask, render

SUBSETS = 10
LUNG_MASKS = 'seg-lungs-LUNA16'
ANNOTATION_HEADER = ('seriesuid', 'coordX', 'coordY', 'coordZ', 'diameter_mm')
LUNG_LABELS = {'left': 3, 'right': 4, 'trachea': 5}

_LUNG_TYPE = 5
LUNA16_OPTIONS = PatientOptions(
    size=128,
    lesion_scale=0.4,
    slice_intervals=(1.0, 1.25, 2.5),
    lesion_types=(_LUNG_TYPE,),
    sites=(2, 4),
    lesions_per_site=(0.8, 0.2),
    vessels_per_lesion=1.0,
    unannotated=0.2,
    studies=(1.0,),
    at_end=0.0,
)
_DIAMETERS = (4.0, 12.0)  # mm, of the smallest and the largest nodule of these small lungs
_MARGIN = 4.0  # mm of the trunk above and below the lungs
_TURNED = 4  # the rows and columns of every fourth scan run the other way
_SHIFT = ((-60, 40), (-250, -90), (-350, -100))  # mm, of the trunk's middle in the world
_UNMEASURED = 2 / 3  # of the excluded findings on other places have no diameter
# The readers' own marks of a nodule, as the official list of excluded findings has them.
_READERS = 3
_MARK_DISTANCE = (0.084, 0.9)  # of the nodule's radius: median, and spread of the logarithm
_MARK_REACH = 0.95  # of the radius, at most
_MARK_DIAMETER = 0.08  # spread, as a share of the nodule's
_UNMEASURED_MARKS = 0.1


def make_luna16_phantom(
    out: Path | str,
    scans: Sequence[int] = (20, 10),
    seed: int = 0,
    workers: int = 1,
    overwrite: bool = False,
    options: PatientOptions | None = None,
) -> None:
    """Write a synthetic dataset in LUNA16's layout.

    ``subset0`` to ``subset9`` hold the scans as ``<uid>.mhd`` and ``.raw``, ``seg-lungs-LUNA16``
    the masks of the left (3) and right lung (4) and the trachea (5). ``annotations.csv`` lists the
    nodules, ``annotations_excluded.csv`` those to ignore, most of them with a diameter of -1, and
    three readers' marks of each nodule, as in LUNA16, and ``seriesuids.csv`` the scans. Nodules are
    balls of 4 to 12 mm.
    The same ``seed`` and options give the same bytes, whatever ``workers`` is.

    Args:
        out: Folder to make; it appears when all is written.
        scans: Scans with nodules and without; both are dealt out to the ten subsets.
            A third of LUNA16's has none.
        seed: Of everything.
        workers: Processes.
        overwrite: Whether to replace an existing folder that is not empty.
        options: Image size, slice intervals and more. Defaults to None,
            ``LUNA16_OPTIONS``.

    Raises:
        UserError: If ``out`` is not empty and ``overwrite`` is not set, or a number makes no sense.
    """
    options = replace(options or LUNA16_OPTIONS, lesion_types=(_LUNG_TYPE,), studies=(1.0,))
    check_counts('scans', scans, ('with nodules', 'without'))
    with new_data_folder(out, overwrite, options) as root:
        (root / LUNG_MASKS).mkdir()
        for number in range(SUBSETS):
            (root / f'subset{number}').mkdir()
        write = partial(_write_scan, root=root, seed=seed, positives=scans[0], options=options)
        written = run_parallel(write, range(sum(scans)), workers, 'scans', 'scan')
        _write_lists(root, written)


def _write_scan(
    number: int, root: Path, seed: int, positives: int, options: PatientOptions
) -> tuple[str, list[list], list[list]]:
    """Write a scan; return its name, and its rows of the lists of nodules and of other findings."""
    source = np.random.SeedSequence(seed, spawn_key=(number,))
    plan_seed, patient_seed, readers_seed = source.spawn(3)
    rng = np.random.default_rng(plan_seed)
    patient = draw_patient(patient_seed, options)
    study = _with_nodules(patient.studies[0], number >= positives)
    first, last = _lung_slices(patient, study)
    low, high = np.transpose(_SHIFT)
    shift = rng.uniform(low, high)

    hu, _ = render(patient, study, first, last, options)
    mask = _lung_mask(patient, study, first, last, options)
    uid = f'2.25.{source.generate_state(1, np.uint64)[0]}'
    for folder, array in ((f'subset{number % SUBSETS}', hu), (LUNG_MASKS, mask)):
        image = upright_image(array, study, last, shift)
        if number % _TURNED == 0:
            image = turned(image)
        path = root / folder / f'{uid}.mhd'
        write_image(image, path, compress=folder == LUNG_MASKS)
    nodules, excluded = [], []
    for lesion in study.lesions:
        diameter = lesion.profile.diameters[0]
        if not lesion.annotated and rng.random() < _UNMEASURED:
            diameter = -1
        # from the trunk's z, which runs to inferior, to LPS
        center = np.multiply(lesion.center, (1, 1, -1)) + shift
        rows = nodules if lesion.annotated else excluded
        rows.append([*center.tolist(), diameter])
    excluded += _reader_marks(nodules, np.random.default_rng(readers_seed))
    return uid, nodules, excluded


def _reader_marks(nodules: Sequence[list], rng: np.random.Generator) -> list[list]:
    """Return x, y, z and diameter of each reader's marks of each nodule, inside the nodule."""
    shape = len(nodules), _READERS
    # one row per nodule, of one column for all its readers
    own = np.reshape(nodules, (-1, 1, 4))
    own_centers, own_diameters = own[..., :3], own[..., 3]
    median, spread = _MARK_DISTANCE
    reach = np.minimum(median * rng.lognormal(0, spread, shape), _MARK_REACH)
    direction = rng.normal(size=shape + (3,))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    diameters = own_diameters * rng.normal(1, _MARK_DIAMETER, shape)
    diameters[rng.random(shape) < _UNMEASURED_MARKS] = -1
    # reach is less than 1, so that every mark lies inside its nodule
    centers = own_centers + direction * (reach * own_diameters / 2)[..., None]
    return np.concatenate([centers, diameters[..., None]], axis=-1).reshape(-1, 4).tolist()


def _with_nodules(study: Study, negative: bool) -> Study:
    """Return a study with balls as lesions, or none; its vessels keep the nodules' calibers."""
    sites = []
    for site in study.sites:
        lesions: list[Lesion] = []
        for lesion in () if negative else site.lesions:
            profile = _round(lesion.profile)
            lesions.append(replace(lesion, profile=profile, depth=profile.diameters[0] / 2))
        vessels = [replace(vessel, profile=_round(vessel.profile)) for vessel in site.vessels]
        sites.append(replace(site, lesions=tuple(lesions), vessels=tuple(vessels)))
    return replace(study, sites=tuple(sites))


def _round(profile: Profile) -> Profile:
    """Return a circle with the ellipse's area, within the sizes of nodules."""
    smallest, largest = _DIAMETERS
    diameter = float(np.clip(np.sqrt(np.prod(profile.diameters)), smallest, largest))
    return replace(profile, diameters=(diameter, diameter))


def _lung_slices(patient: Patient, study: Study) -> tuple[int, int]:
    """Return the first and last slice, 0-based, with lungs."""
    lungs = patient.trunk.named(['lung'])
    top = min(lung.center[2] - lung.radii[2] for lung in lungs) - _MARGIN
    bottom = max(lung.center[2] + lung.radii[2] for lung in lungs) + _MARGIN
    return max(study.slice_of(top), 0), min(study.slice_of(bottom), study.num_slices - 1)


def _lung_mask(
    patient: Patient, study: Study, first: int, last: int, options: PatientOptions
) -> np.ndarray:
    """Return a (z, y, x) uint8 mask with LUNA16's labels."""
    mask_of = partial(organ_mask, patient, study, first, last, options)
    lungs, trachea = mask_of(['lung']), mask_of(['trachea'])
    # the patient's left is at x over 0
    left = np.arange(options.size) * study.spacing + study.origin[0] > 0
    mask = lungs * np.where(left, LUNG_LABELS['left'], LUNG_LABELS['right'])
    mask[trachea] = LUNG_LABELS['trachea']
    return mask.astype(np.uint8)


def _write_lists(root: Path, written: Sequence[tuple[str, list, list]]) -> None:
    nodules, excluded = [[*ANNOTATION_HEADER]], [[*ANNOTATION_HEADER]]
    for uid, *lists in written:
        for rows, found in zip((nodules, excluded), lists):
            rows += [[uid, *(f'{number:.10g}' for number in row)] for row in found]
    files = {
        'annotations.csv': nodules,
        'annotations_excluded.csv': excluded,
        'seriesuids.csv': [[uid] for uid, *_ in written],
    }
    for name, rows in files.items():
        with open(root / name, 'w', newline='') as file:
            csv.writer(file, lineterminator='\n').writerows(rows)
