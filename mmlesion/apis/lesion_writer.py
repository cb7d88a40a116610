"""Output of inference results as JSON, CSV, label map and overlay images."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from hashlib import sha256
from pathlib import Path

import cv2
import SimpleITK as sitk
from tqdm import tqdm

from mmlesion.io.atomic import temporary_folder
from mmlesion.io.checks import text_cell
from mmlesion.io.ct import write_image
from mmlesion.io.json_files import write_json

from ..report.volume_report import write_volume_report
from ..structures.ct_volume import PATIENT, STUDY_DATE, CTVolume
from ..utils import UserError
from ..visualization.overlays import draw_lesion
from .lesions import Lesion, label_map

COORDINATES = {
    'center_mm': 'x, y, z in mm, LPS world as ITK, SimpleITK and DICOM have it: x grows to the '
    "patient's left, y to posterior, z to superior. 3D Slicer and NIfTI tools show RAS: negate x "
    "and y. In a DICOM series with tilted or unevenly spaced slices it is from the slices' own "
    'positions, from which the regular grid of the label map is up to volume.geometry_error_mm '
    'off.',
    'center_voxel': 'i, j, k of the volume file, 0-based; integers are voxel centers. i is the '
    'fastest axis, as in SimpleITK and nibabel; a NumPy array from SimpleITK is [k, j, i].',
    'bbox_voxel': 'i1, j1, k1, i2, j2, k2: lower and upper faces in the same coordinates; voxel n '
    'extends from n - 0.5 to n + 0.5. With a tilted gantry it is that of the slice at its center; '
    'on others the lesion lies where their own positions put it.',
    'slice_range': 'first and last slice along the axis named in volume.slice_axis, 0-based, '
    'inclusive.',
    'diameter_mm': 'with diameter_source "mask" the long diameter of the mask on key_slice, where '
    'it is longest, and short_diameter_mm the longest one at right angles to it (RECIST); with '
    '"box" the longer and the shorter in-plane side of the box less detector.box_margin_mm on both '
    'sides, at least one pixel, and key_slice the middle one.',
    'recist_voxel': 'ends of the long diameter, then of the short one, i, j, k each; null without '
    'a mask.',
    'label_map': 'lesions.nii.gz, in the geometry of the volume: the voxel value is the lesion id, '
    'drawn as the mask within the box of each slice, or with diameter_source "box" as the '
    'ellipsoid inscribed into bbox_voxel.',
}
CSV_COLUMNS = (
    ('id', 'label', 'score', 'x_mm_lps', 'y_mm_lps', 'z_mm_lps', 'i_voxel', 'j_voxel', 'k_voxel')
    + ('i1_voxel', 'j1_voxel', 'k1_voxel', 'i2_voxel', 'j2_voxel', 'k2_voxel')
    + ('diameter_mm', 'short_diameter_mm', 'diameter_source')
    + ('first_slice', 'last_slice', 'key_slice')
)


def check_out_dir(out_dir: Path | str) -> None:
    """Check in advance that results can be written to a folder.

    Raises:
        UserError: If it is a file, or neither it nor its nearest existing parent is writable.
    """
    out_dir = Path(out_dir).absolute()
    # the nearest folder that exists, in which the others would be made
    existing = next(folder for folder in (out_dir, *out_dir.parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UserError(f'cannot write to {out_dir}: {existing} is not a writable folder')


def write_lesions(
    out_dir: Path | str,
    volume: CTVolume,
    lesions: Sequence[Lesion],
    provenance: Mapping,
    max_overlays: int = 50,
    show_progress: bool = True,
    report: bool = False,
) -> None:
    """Write lesions as JSON, CSV, label map, overlay images and page: all of them or none.

    The files are ``lesions.json``, ``lesions.csv``, ``lesions.nii.gz``,
    ``overlays/lesion_<id>.png`` and, if asked for, ``report.html``. They replace
    those of an earlier run in the same folder.

    Args:
        out_dir: The folder, made if missing.
        volume: The volume.
        lesions: In descending order of score.
        provenance: The JSON's entries ``source`` (the volume's path), ``source_digest`` (of
            the states of its files, optional) and ``detector``.
        max_overlays: Number of highest-scoring lesions for which overlay images are drawn.
        show_progress: Show a progress bar over the images.
        report: Whether the page is written.

    Raises:
        UserError: If the folder cannot be written.
    """
    with _results_folder(Path(out_dir)) as folder:
        _write_json(folder / 'lesions.json', volume, lesions, provenance)
        _write_csv(folder / 'lesions.csv', lesions)
        _write_label_map(folder / 'lesions.nii.gz', volume, lesions)
        shown = lesions[:max_overlays]
        for lesion in tqdm(shown, 'overlays', disable=not (show_progress and shown)):
            _write_overlay(folder / 'overlays' / f'lesion_{lesion.id:03d}.png', volume, lesion)
        if report:
            write_volume_report(folder, volume=volume)


def _write_json(
    path: Path, volume: CTVolume, lesions: Sequence[Lesion], provenance: Mapping
) -> None:
    image = volume.image
    geometry = dict(
        source=provenance['source'],
        source_digest=provenance.get('source_digest'),
        **_study(image),
        size=image.GetSize(),
        spacing_mm=image.GetSpacing(),
        origin_mm=image.GetOrigin(),
        direction=image.GetDirection(),
        orientation=sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(
            image.GetDirection()
        ),
        slice_axis='ijk'[volume.slice_axis],
        geometry_error_mm=round(volume.geometry_error_mm, 3),
    )
    content = dict(
        coordinates=COORDINATES,
        volume=geometry,
        detector=provenance['detector'],
        lesions=[_entry(lesion) for lesion in lesions],
    )
    write_json(content, path, indent=2)


def _study(image: sitk.Image) -> dict:
    """Return by what two studies of one patient are known; None where the file says nothing.

    Returns:
        dict: ``patient``, the SHA-256 of its identifier, which itself is not written;
        ``study_date``, YYYY-MM-DD.
    """
    patient = date = None
    if image.HasMetaDataKey(PATIENT):
        patient = sha256(image.GetMetaData(PATIENT).encode()).hexdigest()
    if image.HasMetaDataKey(STUDY_DATE):
        date = re.sub(r'(\d{4})(\d{2})(\d{2})', r'\1-\2-\3', image.GetMetaData(STUDY_DATE))
    return dict(patient=patient, study_date=date)


def _entry(lesion: Lesion) -> dict:
    """Return a lesion's entry in the JSON: all but its masks, which the label map has."""
    names = [field.name for field in fields(lesion) if field.name != 'segments']
    return {name: getattr(lesion, name) for name in names}


def _write_csv(path: Path, lesions: Sequence[Lesion]) -> None:
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        writer.writerows(_csv_row(lesion) for lesion in lesions)


def _csv_row(lesion: Lesion) -> list:
    """Return a lesion's values of :data:`CSV_COLUMNS`."""
    places = lesion.center_mm + lesion.center_voxel + lesion.bbox_voxel
    numbers = places + (lesion.diameter_mm, lesion.short_diameter_mm)
    first, last = lesion.slice_range
    row = [lesion.id, text_cell(lesion.label), f'{lesion.score:.6f}']
    row += [f'{number:.4f}' for number in numbers]
    return row + [lesion.diameter_source, first, last, lesion.key_slice]


def _write_label_map(path: Path, volume: CTVolume, lesions: Sequence[Lesion]) -> None:
    labels = sitk.GetImageFromArray(label_map(volume, lesions))
    labels.CopyInformation(volume.image)
    write_image(labels, path, compress=True)


def _write_overlay(path: Path, volume: CTVolume, lesion: Lesion) -> None:
    """Draw a lesion on its key slice."""
    # from i, j, k of the volume's file to z, y, x of its array
    _, y1, x1, _, y2, x2 = volume.boxes_from_index(lesion.bbox_voxel)[0]
    index = volume.slice_index(lesion.key_slice)
    recist = None
    if lesion.recist_voxel is not None:
        # x, y with the center of px n at n
        recist = volume.points_from_index(lesion.recist_voxel)[:, :0:-1] - 0.5
    text = (
        f'{lesion.id} {lesion.label} {lesion.score:.2f}  {lesion.diameter_mm:.1f} x '
        f'{lesion.short_diameter_mm:.1f} mm ({lesion.diameter_source})  '
        f'{"ijk"[volume.slice_axis]}={lesion.key_slice}'
    )
    picture = draw_lesion(
        volume.array[index],
        (x1, y1, x2, y2),
        volume.spacing[:2],
        text,
        lesion.segments.get(index),
        recist,
    )
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(cv2.imencode('.png', picture)[1].tobytes())


@contextmanager
def _results_folder(out_dir: Path) -> Iterator[Path]:
    """Yield a temporary folder whose files replace an earlier run's in ``out_dir`` on success."""
    try:
        with temporary_folder(out_dir) as temporary:
            yield temporary
            # The page of a volume shows the results beside which it lies.
            for stale in (*out_dir.glob('overlays/lesion_*.png'), out_dir / 'report.html'):
                stale.unlink(missing_ok=True)
            # one by one, so that other files of the user in the folder stay
            files = [path for path in temporary.rglob('*') if path.is_file()]
            # last the one by which a later run knows that all are there
            files.sort(key=lambda path: path.name == 'lesions.json')
            for path in files:
                target = out_dir / path.relative_to(temporary)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)
    except (OSError, RuntimeError) as error:
        raise UserError(f'cannot write the lesions to {out_dir}: {error}') from error
