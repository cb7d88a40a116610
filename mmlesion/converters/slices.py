"""Run a converter of volumes to slices: convert each case once, split, write and report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Callable

import SimpleITK as sitk

from mmlesion.io.coco import as_coco
from mmlesion.io.ct import read_ct, read_labels
from mmlesion.io.itk import image_files
from mmlesion.io.resume import convert_once
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError

from .base import Case, SplitRun
from .regions import SliceOptions, lesion_regions, write_slices


@dataclass(frozen=True)
class SliceConverter:
    """Conversion of the volumes of a benchmark to slices.

    Attributes:
        name: The benchmark's.
        slice_case: Takes a case, the folder of its slices and the options; returns what
            :func:`~mmlesion.converters.regions.write_slices` does, its annotations with
            ``category_id``.
        classes: Names of the categories, ids from 1.
        missing: What to do where a source is missing.
        warn: Takes the images by case, to print warnings.
    """

    name: str
    slice_case: Callable
    classes: Sequence[str] = ('lesion',)
    missing: str = 'download it again'
    warn: Callable | None = None

    def convert(
        self,
        cases: Sequence[Case],
        options: SliceOptions,
        run: SplitRun,
        left_out: Mapping[str, int] | None = None,
    ) -> dict[str, dict]:
        """Convert all cases, and write a COCO file of each split, all or none.

        Cases of an earlier run are kept if their sources and options are unchanged.

        Args:
            cases: The cases.
            options: Which slices and regions.
            run: How, and which split cases go to that have no official one.
            left_out: Why, and how many cases were not listed.

        Returns:
            dict[str, dict]: COCO content by file name, such as ``train.json``.

        Raises:
            UserError: If no case can be used; with ``run.strict``, at the first that cannot be
                used; if more are skipped than allowed, after the rest has been written.
        """
        splits = run.split(cases)
        slice_once = partial(_slice_once, converter=self, out=Path(run.out), options=options)
        images, skipped = run.convert(slice_once, cases, self.name)
        files = {}
        rows: list[list] = [
            ['split', 'patients', 'images', 'with lesions', 'lesion regions', 'ignored regions']
        ]
        for part, members in splits.items():
            of_split = list(chain.from_iterable(images.get(name, ()) for name in members))
            info = {'description': f'{self.name}, {part} split', 'seed': run.seed}
            coco = files[split_file(part)] = as_coco(of_split, self.classes, info)
            patients = {image['patient_id'] for image in of_split}
            targets = [ann['image_id'] for ann in coco['annotations'] if not ann['ignore']]
            ignored = len(coco['annotations']) - len(targets)
            counts = [len(patients), len(of_split), len(set(targets)), len(targets), ignored]
            rows.append([Path(split_file(part)).stem, *counts])
        if self.warn is not None:
            self.warn(images)
        empty = sum(not found for found in images.values())
        left_out = {
            **(left_out or {}),
            'unusable': len(skipped),
            'without a lesion': empty,
        }
        run.finish(files, skipped, rows, left_out, len(cases))
        return files


def split_file(split: str | int) -> str:
    """Return the annotation file of a split, or of a fold by its number."""
    return f'fold{split}.json' if isinstance(split, int) else f'{split}.json'


def _slice_once(
    case: Case, converter: SliceConverter, out: Path, options: SliceOptions
) -> list[dict]:
    for source in chain.from_iterable(map(image_files, case.sources)):
        if not source.is_file():
            raise UserError(f'there is no {source}: {converter.missing}')
    images = convert_once(
        out / 'cases' / f'{case.name}.json',
        case.sources,
        options,
        lambda: converter.slice_case(case, out / 'Images_png' / case.name, options),
        partial(_are_whole, folder=out / 'Images_png'),
    )
    if case.patient is not None:
        # not in the record: a table that names other patients leaves the slices as they are
        for image in images:
            image['patient_id'] = case.patient
    return images


def _are_whole(images: Any, folder: Path) -> bool:
    """Return whether a record's images are described as ``slice_case`` does, and still there."""
    if not isinstance(images, list):
        return False
    try:
        for image in images:
            is_listed = isinstance(image['annotations'], list)
            if not (is_listed and Path(folder, image['file_name']).is_file()):
                return False
    except (KeyError, TypeError):
        return False
    return True


def set_case_fields(
    images: list[dict], lesion_type: int | None, category_id: int = 1, **ids: Any
) -> list[dict]:
    """Set the fields shared by all slices of a case.

    Args:
        images: The result of ``write_slices``; it is changed.
        lesion_type: DeepLesion's coarse type, or -1.
        category_id: Of the regions that have none. Defaults to 1.
        **ids: Fields of the images, such as ``patient_id``.

    Returns:
        list[dict]: The same.
    """
    for image in images:
        image.update({'study_id': 1, 'series_id': 1, **ids})
        for annotation in image['annotations']:
            # where there are several classes, slice_case has set it
            annotation.setdefault('category_id', category_id)
            annotation['lesion_type'] = lesion_type
    return images


def slice_tumors(
    case: Case,
    folder: Path,
    options: SliceOptions,
    *,
    fit: Callable[[sitk.Image, sitk.Image, str], None],
    tumor: int,
    lesion_type: int,
) -> list[dict]:
    """Write the slices of a case with tumors in an organ to ``folder``, and describe them.

    Args:
        case: Its sources are scan and segmentation; its name ends in the patient's number.
        folder: Of the slices.
        options: Which slices and regions.
        fit: :func:`~mmlesion.io.ct.check_same_grid` or :func:`copy_geometry`.
        tumor: The highest label. The organ's are no lesions.
        lesion_type: DeepLesion's coarse type.

    Raises:
        UserError: If a volume cannot be read, or the two do not belong together.
    """
    path, segmentation = case.sources
    scan, labels = read_scan(path), read_labels(segmentation)
    # before both are flipped to the training orientation, which depends on their headers
    fit(scan, labels, f'{path} and {segmentation.name}')
    check_labels(labels, tumor, segmentation)
    volume, tumors = CTVolume(scan), CTVolume(labels).array == tumor
    regions = lesion_regions(tumors, volume.spacing[:2], options.min_area)
    images = write_slices(volume, regions, folder, options)
    number = int(re.findall(r'\d+', case.name, re.ASCII)[-1])
    return set_case_fields(images, lesion_type, patient_id=number)


def read_scan(path: Path) -> sitk.Image:
    """Read a CT volume as whole HU, which some benchmarks store as floats.

    Args:
        path: What :func:`~mmlesion.io.ct.read_ct` takes.

    Returns:
        sitk.Image: The volume.
    """
    scan = read_ct(path)
    # slices are stored as whole HU, so that rounding loses nothing more
    if scan.GetPixelID() in (sitk.sitkFloat32, sitk.sitkFloat64):
        rounded = sitk.Cast(sitk.Round(scan), sitk.sitkInt16)
        # filters drop what a DICOM series says of its slices
        for key in scan.GetMetaDataKeys():
            rounded.SetMetaData(key, scan.GetMetaData(key))
        return rounded
    return scan


def check_labels(labels: sitk.Image, highest: int, path: Path) -> None:
    """Raise :class:`UserError` where a segmentation has a label above ``highest``."""
    if (found := sitk.GetArrayViewFromImage(labels).max()) > highest:
        raise UserError(f'{path} has the label {found}, but its labels are 0 to {highest}')


def copy_geometry(scan: sitk.Image, labels: sitk.Image, names: str) -> None:
    """Overwrite the segmentation's geometry with the scan's, voxel by voxel.

    Args:
        scan: The scan.
        labels: The segmentation; it is changed.
        names: What to call them in the error message.

    Raises:
        UserError: If their sizes differ.
    """
    # Voxel i, j, k of the one is taken for that of the other, so there must be as many.
    if labels.GetSize() != scan.GetSize():
        sizes = f'{scan.GetSize()} and {labels.GetSize()}'
        raise UserError(f'{names} have the size {sizes}: give those of one scan')
    labels.CopyInformation(scan)  # origin, spacing and direction
