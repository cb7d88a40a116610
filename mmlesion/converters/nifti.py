"""Convert NIfTI scans with masks or 3D boxes of lesions to slices, or to volumes of 1 mm."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count, product
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from mmlesion.io.ct import check_same_grid, read_labels
from mmlesion.io.schema import ABDOMEN_WINDOW
from mmlesion.io.volumes import describe_volumes, store_volume, to_bbox_3d, write_volume
from mmlesion.structures import Grid
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError

from .base import Case, SplitRun, naming
from .case_table import ListedCase, read_case_table
from .regions import SliceOptions, box_regions, lesion_regions, number_lesions, write_slices
from .resample import isotropic_grid, resample
from .slices import SliceConverter, check_labels, read_scan, set_case_fields, split_file

FRAMES = ('voxel', 'LPS', 'RAS')
# nnU-Net names the first channel of a scan <case>_0000
_FILE = re.compile(r'(.+?)(?:_0000)?\.(?:nii|nii\.gz|mha|mhd|nrrd)', re.IGNORECASE)


@dataclass(frozen=True)
class NiftiOptions(SliceOptions):
    """Options for converting scans; lists, as a cached record in JSON has them.

    Attributes:
        classes: Names of the categories, ids from 1.
        frame: What boxes are in: 'voxel', faces in voxels of the file, voxel n from n - 0.5
            to n + 0.5, or 'LPS' or 'RAS', mm in the world.
        boxed: Whether lesions are boxes; else they are masks.
        by_label: Whether a mask's labels are the classes; else all labels are of the first.
        window: HU from and to, for pictures.
    """

    classes: list = field(default_factory=lambda: ['lesion'])
    frame: str = 'voxel'
    boxed: bool = False
    by_label: bool = False
    window: list = field(default_factory=lambda: list(ABDOMEN_WINDOW))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frame not in FRAMES:
            raise UserError(f'frame is {self.frame}: choose one of {", ".join(FRAMES)}')
        if not self.window[0] < self.window[1]:
            raise UserError('--window {:g} {:g} is not low < high'.format(*self.window))
        if len(set(self.classes)) < len(self.classes):
            raise UserError(f'--classes {" ".join(self.classes)} names one twice')


def convert(
    images: str | Path,
    out: str | Path,
    *,
    masks: str | Path | None = None,
    boxes: str | Path | None = None,
    cases: str | Path | None = None,
    frame: str = 'voxel',
    classes: Sequence[str] | None = None,
    volumes: bool = False,
    min_area: float = SliceOptions.min_area,
    context_mm: float = SliceOptions.context_mm,
    every_slice: bool = False,
    window: Sequence[float] = ABDOMEN_WINDOW,
    **run_options: Any,
) -> dict[str, dict]:
    """Convert scans to slices and COCO files or, with ``volumes``, to volumes and their files.

    Args:
        images: Folder of the scans, ``<case>.nii.gz`` or another of SimpleITK's.
        out: Folder of the converted dataset.
        masks: Folder of masks named like the scans, 0 where no lesion is.
        boxes: CSV of boxes instead; see
            :func:`~mmlesion.converters.case_table.read_case_table`.
        cases: With ``masks``, CSV of the patient and split of each case.
        frame: What boxes are in: see :class:`NiftiOptions`.
        classes: Names of the classes: of the labels of masks from 1, or
            of the boxes in the order of the categories. Defaults to None: 'lesion' for all labels
            of masks, and the sorted class names of boxes.
        volumes: Whether volumes of 1 mm are made instead of slices.
        min_area: mm² below which a region of a slice is ignored.
        context_mm: Height of the slices kept above and below a lesion.
        every_slice: Whether every slice is an image.
        window: HU from and to, for pictures of slices.
        **run_options: Of :class:`~mmlesion.converters.base.SplitRun`: seed, val_share, test_share,
            folds, workers, strict, allow_skipped.

    Returns:
        dict[str, dict]: Content of the annotation files by name.

    Raises:
        UserError: If the input cannot be used, or more is skipped than allowed.
    """
    if (masks is None) == (boxes is None):
        raise UserError('give the lesions by --masks or by --boxes, one of them')
    if masks and frame != 'voxel':
        raise UserError('--world is of the file of --boxes: leave it out with --masks')
    if boxes and cases:
        raise UserError('--cases goes with --masks: the file of --boxes has these columns itself')
    table = boxes or cases
    listed = read_case_table(table, with_boxes=bool(boxes)) if table else {}
    names = {box.class_name for case in listed.values() for box in case.boxes}
    options = NiftiOptions(
        min_area=min_area,
        context_mm=context_mm,
        every_slice=every_slice,
        classes=list(classes or sorted(names) or ['lesion']),
        frame=frame,
        boxed=bool(boxes),
        by_label=bool(masks and classes),
        window=list(window),
    )
    scans = find_scans(images)
    if boxes:
        found = boxed_cases(scans, images, listed, boxes, options.classes)
        left_out = {'not listed': len(scans.keys() - listed.keys())}
    else:
        assert masks is not None  # one of the two is given
        found = masked_cases(scans, masks, listed)
        left_out = {'without a mask': len(scans) - len(found)}
    run = SplitRun(out, **run_options)
    if volumes:
        return _convert_volumes(found, options, run, left_out)
    # The classes of a slice are those of the options, in the order of their category ids.
    converter = SliceConverter('NIfTI', slice_case, options.classes, 'check its name')
    return converter.convert(found, options, run, left_out)


def find_scans(folder: str | Path) -> dict[str, Path]:
    """Find the scans, or masks, of a folder.

    Returns:
        dict[str, Path]: By case, sorted.

    Raises:
        UserError: If it is no folder, has no scan, or has two scans of one case.
    """
    if not Path(folder).is_dir():
        raise UserError(f'{folder} is not a folder: give that of <case>.nii.gz')
    scans: dict[str, Path] = {}
    for path in sorted(Path(folder).iterdir()):
        match = _FILE.fullmatch(path.name)
        # Hidden files, as macOS leaves them beside each file on other disks, are no scans.
        if match and not path.name.startswith('.'):
            if match[1] in scans:
                raise UserError(f'{path} and {scans[match[1]]} are of one case: leave one of them')
            scans[match[1]] = path
    if not scans:
        raise UserError(f'{folder} has no file <case>.nii.gz, .nii, .mha, .mhd or .nrrd')
    return scans


def boxed_cases(
    scans: Mapping[str, Path],
    folder: str | Path,
    listed: Mapping[str, ListedCase],
    table: str | Path,
    classes: Sequence[str],
) -> list[Case]:
    """Make the cases of a table of boxes.

    Args:
        scans: Scans by case.
        folder: Where they are, for messages.
        listed: The table.
        table: Its file.
        classes: Names of the categories.

    Returns:
        list[Case]: Their findings have ``box`` and ``category_id``.

    Raises:
        UserError: If a box has another class.
    """
    ids = dict(zip(classes, count(1)))
    cases = []
    for name, case in listed.items():
        findings = []
        for class_name, box in case.boxes:
            if class_name not in ids:
                raise UserError(f'{table} has the class {class_name!r}: add it to --classes')
            findings.append({'box': box, 'category_id': ids[class_name]})
        # A listed scan that is missing becomes a skipped case, which is reported.
        sources = scans.get(name, Path(folder, f'{name}.nii.gz')), Path(table)
        cases.append(Case(name, sources, tuple(findings), case.patient, case.split))
    return cases


def masked_cases(
    scans: Mapping[str, Path], folder: str | Path, listed: Mapping[str, ListedCase]
) -> list[Case]:
    """Make the cases that have a mask.

    Args:
        scans: Scans by case.
        folder: Of the masks.
        listed: Patient and split of cases.

    Returns:
        list[Case]: Their sources are scan and mask.

    Raises:
        UserError: If no scan has a mask.
    """
    masks = find_scans(folder)
    cases = []
    for name in scans:
        if name in masks:
            case = listed.get(name, ListedCase())
            sources = scans[name], masks[name]
            cases.append(Case(name, sources, (), case.patient, case.split))
    if not cases:
        raise UserError(f'{folder} has no mask that is named like a scan')
    return cases


def slice_case(case: Case, folder: Path, options: NiftiOptions) -> list[dict]:
    """Write the slices of a case to ``folder``, and describe them.

    Raises:
        UserError: If a file cannot be read, scan and mask do not belong together, or a box lies
            outside of its scan.
    """
    volume = CTVolume(read_scan(case.sources[0]))
    if options.boxed:
        boxes = boxes_of(case, volume, options.frame)
        regions = box_regions(boxes, volume.grid, options.min_area)
        categories = [finding['category_id'] for finding in case.findings]
    else:
        numbers, categories = mask_lesions(case, volume, options)
        regions = lesion_regions(numbers, volume.spacing[:2], options.min_area)
    # A region's lesion_id is the number of its box, or of its connected part, from 1.
    for region in chain.from_iterable(regions.values()):
        region['category_id'] = categories[region['lesion_id'] - 1]
    images = write_slices(volume, regions, folder, options, options.window)
    return set_case_fields(images, -1, patient_id=case.name)


def boxes_of(case: Case, volume: CTVolume, frame: str) -> np.ndarray:
    """Convert the boxes of a case to voxels of its volume.

    Args:
        case: With ``box`` in its findings.
        volume: Its scan.
        frame: What they are in; see :class:`NiftiOptions`. A box of the world that is
            oblique to the scan becomes the one around it.

    Returns:
        ndarray: (n, 6) z1, y1, x1, z2, y2, x2 in voxels of ``volume.array``.

    Raises:
        UserError: If the center of one is not in the scan.
    """
    # (n, 6) also where the case has no finding
    boxes = np.array([finding['box'] for finding in case.findings], float).reshape(-1, 6)
    if frame == 'voxel':
        found = volume.boxes_from_index(boxes)
    else:
        found = _from_world(boxes if frame == 'LPS' else _ras_to_lps(boxes), volume.grid)
    # z, y, x in voxels; a center outside tells that the boxes are in another frame
    centers = (found[:, :3] + found[:, 3:]) / 2
    outside = ((centers < 0) | (centers >= volume.grid.size)).any(axis=1)
    if outside.any():
        box = boxes[outside.argmax()].tolist()
        raise UserError(f'the box {box} of {case.name} lies outside of its scan: check --world')
    return found


def _ras_to_lps(boxes: np.ndarray) -> np.ndarray:
    """Turn x and y around; what was the upper face of a box becomes the lower one."""
    x1, y1, z1, x2, y2, z2 = boxes.T
    return np.stack([-x2, -y2, z1, -x1, -y1, z2], axis=1)


def _from_world(boxes: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the boxes (n, 6), z, y, x in voxels, around boxes of the world, x, y, z in mm."""
    # A box that is oblique to the voxels is bounded by its eight corners.
    low, high = boxes[:, None, :3], boxes[:, None, 3:]  # (n, 1, 3)
    upper = np.array(list(product((False, True), repeat=3)))  # (8, 3), which faces meet at a corner
    corners = np.where(upper, high, low)  # (n, 8, 3)
    voxels = grid.from_world(corners.reshape(-1, 3)).reshape(corners.shape)
    return np.concatenate([voxels.min(axis=1), voxels.max(axis=1)], axis=1)


def mask_lesions(
    case: Case, volume: CTVolume, options: NiftiOptions
) -> tuple[np.ndarray, list[int]]:
    """Number the lesions of a case's mask, which are connected in 3D.

    Args:
        case: Its sources are scan and mask.
        volume: The scan.
        options: Whether labels are classes.

    Returns:
        tuple[ndarray, list[int]]: (z, y, x) number from 1 of each voxel's lesion, 0 where there is
        none, and the category id of each lesion.

    Raises:
        UserError: If the mask cannot be read, or is of another scan or has other labels.
    """
    scan, mask = case.sources
    labels = read_labels(mask)
    check_same_grid(volume.image, labels, f'{scan} and {mask.name}')
    if options.by_label:
        check_labels(labels, len(options.classes), mask)
    array = CTVolume(labels).array
    classes = range(1, len(options.classes) + 1) if options.by_label else (1,)
    numbers = np.zeros(array.shape, np.uint16)
    categories: list[int] = []
    for category in classes:
        found = number_lesions(array == category if options.by_label else array > 0)
        # The lesions of a class follow those of the classes before: categories[number - 1].
        numbers[found > 0] = found[found > 0] + len(categories)
        categories += [category] * int(found.max())
    return numbers, categories


def _convert_volumes(
    cases: Sequence[Case], options: NiftiOptions, run: SplitRun, left_out: Mapping[str, int]
) -> dict[str, dict]:
    """Make a volume of each case, and the annotation files; see :func:`convert`."""
    names = run.split(cases)
    convert_one = partial(convert_volume, out=run.out, options=options)
    done, skipped = run.convert(convert_one, cases, 'NIfTI')
    files = _volume_files(names, done, options.classes)
    rows: list[list] = [['file', 'volumes', 'lesions']]
    for name, content in files.items():
        rows.append([name, len(content['volumes']), len(content['annotations'])])
    run.finish(files, skipped, rows, {**left_out, 'unusable': len(skipped)}, len(cases))
    return files


def _volume_files(names: Mapping, done: Mapping[str, dict], classes: Sequence[str]) -> dict:
    """Return content by file name: one file per split, or one of all folds, which volumes name."""
    if set(map(type, names)) != {int}:
        files = {}
        for split, members in names.items():
            files[split_file(split)] = _describe_members(members, done, classes)
        return files
    fold_of: dict[str, int] = {}
    for fold, members in names.items():
        fold_of.update(dict.fromkeys(members, fold))
    return {'volumes.json': _describe_members(sorted(fold_of), done, classes, fold_of)}


def _describe_members(
    members: Sequence[str],
    done: Mapping[str, dict],
    classes: Sequence[str],
    fold_of: Mapping[str, int] | None = None,
) -> dict:
    """Return the content of the annotation file of some cases; skipped ones are left out."""
    entries, lesions = [], []
    for name in members:
        if name not in done:
            continue
        entry = dict(done[name])
        lesions.append(entry.pop('lesions'))
        if fold_of is not None:
            entry['fold'] = fold_of[name]
        entries.append(entry)
    return describe_volumes(entries, lesions, classes, 'NIfTI')


def convert_volume(case: Case, out: str | Path, options: NiftiOptions) -> dict:
    """Make a case's volume of 1 mm, if that is not done.

    Args:
        case: The case.
        out: The converted dataset's folder.
        options: How.

    Returns:
        dict: Its entry in the annotation file, and its ``lesions``, with ``bbox_3d``.

    Raises:
        UserError: If it cannot be made.
    """
    with naming(case.name):
        make = partial(_make_volume, case, out, options)
        entry = store_volume(out, case.name, case.sources, options, make)
    # not from the record: a table that names other patients leaves the volume as it is
    return {**entry, 'patient_id': case.patient or case.name}


def _make_volume(case: Case, out: str | Path, options: NiftiOptions) -> dict:
    volume = CTVolume(read_scan(case.sources[0]))
    if options.boxed:
        boxes = boxes_of(case, volume, options.frame)
        categories = [finding['category_id'] for finding in case.findings]
    else:
        numbers, categories = mask_lesions(case, volume, options)
        regions = ndimage.find_objects(numbers)  # Python slices along z, y and x
        boxes = np.array([[*(s.start for s in box), *(s.stop for s in box)] for box in regions])
    lesions = []
    for box, category in zip(to_bbox_3d(boxes, volume.grid), categories):
        lesions.append({'bbox_3d': box, 'category_id': category, 'ignore': 0})
    # The grid is that of the array, whose axes are turned to the training orientation; so must be
    # the image that is resampled to it.
    grid = isotropic_grid(volume.grid, (0, 0, 0), volume.grid.size)
    oriented = sitk.DICOMOrient(volume.image, CTVolume.ORIENTATION)
    resampled = resample(oriented, grid)
    return write_volume(out, case.name, resampled, grid, patient_id=case.name, lesions=lesions)
