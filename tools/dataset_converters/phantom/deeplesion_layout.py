"""Synthetic patients in the files of DeepLesion: ``DL_info.csv`` and ``Images_png``."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mmlesion.io.deeplesion import BOX_PADDING, DL_INFO_HEADER
from mmlesion.io.json_files import write_json
from mmlesion.io.slices import merge_ranges, slice_file_name, write_slice
from mmlesion.io.true_masks import TrueMasks, write_masks
from mmlesion.structures import SliceRun
from mmlesion.utils import check_range, run_parallel

from .anatomy import Trunk
from .layout import check_counts, new_data_folder
from .lesions import Lesion, Profile, Vessel, recist
from .patient import Patient, PatientOptions, Site, Study, draw_patient, render

_SERIES = 1
_NOISY_SHIFT = (20, 40)  # px by which the box of a noisy row misses its lesion


def make_deeplesion_phantom(
    out: Path | str,
    patients: Sequence[int] = (24, 8, 8),
    seed: int = 0,
    context_mm: float = 8.0,
    noisy: float = 0.03,
    workers: int = 1,
    overwrite: bool = False,
    options: PatientOptions | None = None,
) -> None:
    """Write a synthetic dataset in DeepLesion's layout, and the truth beside it.

    ``DL_info.csv`` and ``Images_png/<patient>_<study>_<series>/<slice>.png`` are as DeepLesion has
    them. ``truth/lesions.json`` lists all lesions and look-alike vessels, the lesions that are not
    annotated among them, and ``truth/<series>.npz`` holds the lesions' masks (see
    ``docs/datasets.md``). The same ``seed`` and options give the same bytes, whatever ``workers``
    is; a patient stays the same when others are added to another split or after it.

    Args:
        out: Folder to make; it appears when all is written.
        patients: Patients of the training, validation and test split.
        seed: Of everything.
        context_mm: Height of the slices kept above and below each key slice. DeepLesion
            has 30 mm.
        noisy: Chance of each level of the training split to get one more row, with a wrong
            box and marked ``Possibly_noisy``.
        workers: Processes.
        overwrite: Whether to replace an existing folder that is not empty.
        options: Image size, lesions, intervals.

    Raises:
        UserError: If ``out`` is not empty and ``overwrite`` is not set, or a number makes no sense.
    """
    options = options or PatientOptions()
    check_counts('patients', patients, ('training', 'validation', 'test'))
    check_range('the context in mm', context_mm, 0)
    check_range('the share of noisy rows', noisy, 0, 1)
    with new_data_folder(out, overwrite, options) as root:
        (root / 'truth').mkdir()
        (root / 'Images_png').mkdir()
        write = partial(
            _write_patient,
            root=root,
            seed=seed,
            context_mm=context_mm,
            noisy=noisy,
            options=options,
        )
        # of all patients from 1, split (1, 2 or 3), place in it from 0
        places = [(split, i) for split, n in enumerate(patients, start=1) for i in range(n)]
        tasks = [(number, *place) for number, place in enumerate(places, start=1)]
        rows: list[dict] = []
        truth: dict[str, dict] = {}
        for own_rows, own_truth in run_parallel(write, tasks, workers, 'patients', 'patient'):
            rows += own_rows
            truth |= own_truth
        _write_csv(root / 'DL_info.csv', rows)
        write_json(truth, root / 'truth' / 'lesions.json', indent=1)


def _write_patient(
    task: tuple[int, int, int],
    root: Path,
    seed: int,
    context_mm: float,
    noisy: float,
    options: PatientOptions,
) -> tuple[list[dict], dict[str, dict]]:
    """Write a patient's slices; return the entries in ``DL_info.csv`` and the truth by series."""
    number, split, index = task
    # by split and place in it: more patients of one split leave those of the others as they are
    source = np.random.SeedSequence(seed, spawn_key=(split, index))
    row_seed, patient_seed = source.spawn(2)
    rng = np.random.default_rng(row_seed)
    patient = draw_patient(patient_seed, options)
    listed: list[dict] = []
    truth: dict[str, dict] = {}
    for study_index, study in enumerate(patient.studies, start=1):
        name = f'{number:06d}_{study_index:02d}_{_SERIES:02d}'
        reach = int(context_mm // study.interval)
        keys = [study.slice_of(site.z) + 1 for site in study.sites]
        ranges = [SliceRun(max(k - reach, 1), min(k + reach, study.num_slices)) for k in keys]
        _write_slices(root, name, patient, study, ranges, options)
        common = {'Patient_index': number, 'Study_index': study_index, 'Train_Val_Test': split}
        common |= {
            'Series_ID': _SERIES,
            'Spacing_mm_px_': _numbers([study.spacing, study.spacing, study.interval]),
            'Image_size': _numbers([options.size, options.size]),
            'Patient_gender': patient.gender,
            'Patient_age': patient.age + study_index - 1,
        }
        for site, key, slices in zip(study.sites, keys, ranges):
            common |= {
                'File_name': f'{name}_{key:03d}.png',
                'Key_slice_index': key,
                'Slice_range': _numbers(slices),
            }
            rows = list(_site_rows(rng, study, site, patient.trunk, options, noisy))
            # Noisy rows count in the other splits: there no wrong box is to be found.
            kept = [row for row in rows if split == 1 or not row['Possibly_noisy']]
            listed += [common | row for row in kept]
        truth[name] = _truth(study, options)
    return listed, truth


def _write_slices(
    root: Path,
    name: str,
    patient: Patient,
    study: Study,
    ranges: Sequence[SliceRun],
    options: PatientOptions,
) -> None:
    folder = root / 'Images_png' / name
    folder.mkdir()
    slices, masks = [], []
    for first, last in merge_ranges(ranges):
        # slices of the file count from 1, those of a study from 0
        volume, labels = render(patient, study, first - 1, last - 1, options)
        masks.append(labels)
        for index, image in enumerate(volume, start=first):
            slices.append(index)
            write_slice(folder / slice_file_name(index, study.num_slices), image)
    write_masks(root / 'truth', name, TrueMasks(np.concatenate(masks), np.array(slices)))


def _site_rows(
    rng: np.random.Generator,
    study: Study,
    site: Site,
    trunk: Trunk,
    options: PatientOptions,
    noisy: float,
) -> Iterator[dict]:
    """Yield the columns of ``DL_info.csv`` that differ between the lesions of a study."""
    annotated = [lesion for lesion in site.lesions if lesion.annotated]
    for lesion in annotated:
        yield _lesion_row(study, lesion, trunk, options)
    if rng.random() < noisy:
        least, most = _NOISY_SHIFT
        shift = rng.uniform(least, most, 2) * rng.choice([-1, 1], 2)
        yield _lesion_row(study, annotated[0], trunk, options, shift) | {'Possibly_noisy': 1}


def _lesion_row(
    study: Study,
    lesion: Lesion,
    trunk: Trunk,
    options: PatientOptions,
    shift: Sequence[float] = (0.0, 0.0),
) -> dict:
    center, profile = _in_pixels(study, lesion)
    # DeepLesion counts pixels from 1.
    texts = [f'{value:.6g}' for value in recist(profile, center + shift) + 1]
    coordinates = np.array(texts, float)  # of six significant digits, as in DeepLesion's file
    points = coordinates.reshape(4, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    box = np.concatenate([low - BOX_PADDING, high + BOX_PADDING])
    # shares of the image and of the trunk, from the px that count from 1 to those from 0
    x, y = ((low + high) / 2 - 1) / options.size
    location = [x, y, min(lesion.center[2] / trunk.length, 1)]
    return {
        'Measurement_coordinates': _numbers(coordinates),
        'Bounding_boxes': _numbers(box),
        'Lesion_diameters_Pixel_': _numbers(sorted(profile.diameters, reverse=True)),
        'Normalized_lesion_location': _numbers(location),
        'Coarse_lesion_type': profile.type,
        'Possibly_noisy': 0,
        'DICOM_windows': _numbers(profile.look.window),
    }


def _in_pixels(study: Study, finding: Lesion | Vessel) -> tuple[np.ndarray, Profile]:
    """Return center x, y and profile of a finding in pixels of a study."""
    center = np.subtract(finding.center[:2], study.origin) / study.spacing
    return center, finding.profile.scaled(1 / study.spacing)


def _truth(study: Study, options: PatientOptions) -> dict:
    """Return all findings in a study, in px and slices from 1, sizes in mm."""
    lesions, vessels = [], []
    for site in study.sites:
        for lesion in site.lesions:
            entry = _truth_entry(study, site, lesion) | {
                'label': lesion.number,
                'annotated': lesion.annotated,
                'diameters_mm': [*lesion.profile.extent.tolist(), 2 * float(lesion.depth)],
            }
            lesions.append(entry)
        vessels += [_truth_entry(study, site, vessel) for vessel in site.vessels]
    return {
        'spacing': [study.spacing, study.spacing],
        'slice_interval': study.interval,
        'num_slices': study.num_slices,
        'size': options.size,
        'lesions': lesions,
        'vessels': vessels,
    }


def _truth_entry(study: Study, site: Site, finding: Lesion | Vessel) -> dict:
    center, profile = _in_pixels(study, finding)
    x, y = recist(profile, center).reshape(4, 2).min(axis=0).tolist()
    width, height = profile.extent.tolist()
    return {
        'lesion_type': profile.type,
        'center': center.tolist(),
        'key_slice': study.slice_of(site.z) + 1,
        'bbox': [x, y, width, height],
    }


def _write_csv(path: Path, rows: Sequence[dict]) -> None:
    with open(path, 'w', newline='') as file:
        writer = csv.DictWriter(file, DL_INFO_HEADER, lineterminator='\n')
        writer.writeheader()
        # The training split of DeepLesion has no lesion types.
        for row in rows:
            hidden = {'Coarse_lesion_type': -1} if row['Train_Val_Test'] == 1 else {}
            writer.writerow(row | hidden)


def _numbers(values: Iterable[float]) -> str:
    return ', '.join(f'{value:.6g}' for value in values)
