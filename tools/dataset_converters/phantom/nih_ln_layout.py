"""Synthetic patients in the files of NIH-LN: DICOM series, masks and lists of lymph nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from mmlesion.io.ct import write_image, writing_image
from mmlesion.utils import run_parallel

from .layout import MARGIN, check_counts, new_data_folder, upright_image
from .lesions import Lesion
from .patient import PatientOptions, Study, draw_patient, render, slices_around

IMAGES, MASKS, MARKERS = 'CT Lymph Nodes', 'MED_ABD_LYMPH_MASKS', 'MED_ABD_LYMPH_ANNOTATIONS'
_CT_STORAGE = '1.2.840.10008.5.1.4.1.1.2'
_STUDY_DATE, _STUDY_TIME = '20000101', '000000'


class _Region(NamedTuple):
    """A part of the body: prefix of names, DeepLesion's lesion type, organs that a scan shows."""

    prefix: str
    lesion_type: int
    organs: tuple[str, ...]


_ABDOMEN = _Region('ABD', 2, ('pancreas', 'kidney'))
_MEDIASTINUM = _Region('MED', 3, ('heart',))


def make_nih_ln_phantom(
    out: Path | str,
    patients: Sequence[int] = (10, 10),
    seed: int = 0,
    workers: int = 1,
    overwrite: bool = False,
    options: PatientOptions | None = None,
) -> None:
    """Write a synthetic dataset in the layout of TCIA's CT Lymph Nodes.

    ``CT Lymph Nodes/<patient>/<study>/<series>/*.dcm`` are the slices of a scan,
    ``MED_ABD_LYMPH_MASKS/<patient>/<patient>_mask.nii.gz`` its lymph nodes, numbered from 1, and
    ``MED_ABD_LYMPH_ANNOTATIONS/<patient>/<patient>_lymphnodes_*.txt`` their centers (world mm and
    voxels) and diameters: the shortest in the mediastinum, the longest and shortest in the abdomen.
    The same ``seed`` and options give the same bytes, whatever ``workers`` is.

    Args:
        out: Folder to make; it appears when all is written.
        patients: Patients ``ABD_LYMPH_*`` and ``MED_LYMPH_*``.
        seed: Of everything.
        workers: Processes.
        overwrite: Whether to replace an existing folder that is not empty.
        options: Image size, lesion sizes, intervals. The kinds of
            lesions and the number of scans per patient are those of NIH-LN.

    Raises:
        UserError: If ``out`` is not empty and ``overwrite`` is not set, or a number makes no sense.
    """
    options = replace(options or PatientOptions(), unannotated=0.0, studies=(1.0,))
    check_counts('patients', patients, ('abdomens', 'mediastina'))
    tasks = []
    for region, count in zip((_ABDOMEN, _MEDIASTINUM), patients):
        tasks += [(number, region) for number in range(1, count + 1)]
    with new_data_folder(out, overwrite, options) as root:
        write = partial(_write_patient, root=root, seed=seed, options=options)
        run_parallel(write, tasks, workers, 'patients', 'patient')


def _write_patient(
    task: tuple[int, _Region], root: Path, seed: int, options: PatientOptions
) -> None:
    number, region = task
    options = replace(options, lesion_types=(region.lesion_type,))
    source = np.random.SeedSequence(seed, spawn_key=(region.lesion_type, number))
    patient = draw_patient(source, options)
    (study,) = patient.studies
    first, last = slices_around(patient, study, region.organs, MARGIN)
    volume, nodes = render(patient, study, first, last, options)
    name = f'{region.prefix}_LYMPH_{number:03d}'
    uid = f'2.25.{source.generate_state(1, np.uint64)[0]}'
    series = root / IMAGES / name / 'study' / 'lymphnodes'
    write_dicom(series, upright_image(volume, study, last), uid, name)
    (root / MASKS / name).mkdir(parents=True)
    mask = root / MASKS / name / f'{name}_mask.nii.gz'
    write_image(upright_image(nodes, study, last), mask, compress=True)
    _write_markers(root / MARKERS / name, name, study.lesions, study, last)


def write_dicom(folder: Path, image: sitk.Image, uid: str, patient: str) -> None:
    """Write a volume as a DICOM series.

    Args:
        folder: To make, for ``000000.dcm`` and so on.
        image: HU; its axes run to the left, to posterior and to superior.
        uid: Of the series; study, frame and slices have longer ones.
        patient: The patient's id.
    """
    folder.mkdir(parents=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for index in range(image.GetDepth()):
        plane = image[:, :, index]
        position = image.TransformIndexToPhysicalPoint((0, 0, index))
        tags = {
            '0008|0016': _CT_STORAGE,
            '0008|0018': f'{uid}.{index + 1}',
            # GDCM would write the time of writing
            '0008|0020': _STUDY_DATE,
            '0008|0030': _STUDY_TIME,
            '0008|0060': 'CT',
            '0010|0020': patient,
            '0018|0050': f'{image.GetSpacing()[2]:g}',
            '0020|000d': f'{uid}.0.1',
            '0020|000e': uid,
            '0020|0013': str(index + 1),
            '0020|0052': f'{uid}.0.2',
            '0020|0032': '\\'.join(f'{mm:.6f}' for mm in position),
            '0020|0037': '1\\0\\0\\0\\1\\0',
        }
        for key, value in tags.items():
            plane.SetMetaData(key, value)
        path = folder / f'{index:06d}.dcm'
        writer.SetFileName(str(path))
        with writing_image(path):
            writer.Execute(plane)


def _write_markers(
    folder: Path, name: str, lesions: Sequence[Lesion], study: Study, last: int
) -> None:
    folder.mkdir(parents=True)
    # from the trunk's z, which runs to inferior, to LPS
    centers = np.array([lesion.center for lesion in lesions]) * (1, 1, -1)
    # LPS mm of voxel (0, 0, 0), which is on the lowest slice
    x, y = study.origin
    lowest = (x, y, -(study.top + last * study.interval))
    steps = (study.spacing, study.spacing, study.interval)
    # the longest, then the shortest diameter, which is the only one in the mediastinum
    sizes = np.sort([lesion.profile.diameters for lesion in lesions])[:, ::-1]
    if name.startswith('MED'):
        sizes = sizes[:, 1:]
    columns: dict[str, np.ndarray] = {
        'physicalPoints': centers,
        'indices': np.rint((centers - lowest) / steps).astype(int),
        'sizes': sizes,
    }
    for kind, rows in columns.items():
        lines = [' '.join(f'{value:g}' for value in row) + '\n' for row in rows]
        (folder / f'{name}_lymphnodes_{kind}.txt').write_text(''.join(lines))
