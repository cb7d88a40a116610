import csv
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import cv2
import SimpleITK as sitk
from tqdm import tqdm

from ..utils import UserError
from ..visualization.lesion_overlay import draw_lesion
from .lesions import label_map

COORDINATES = {
    'center_mm': 'x, y, z in mm, LPS world as ITK, SimpleITK and DICOM have it: x grows to the '
    "patient's left, y to posterior, z to superior. 3D Slicer and NIfTI tools show RAS: negate x "
    'and y.',
    'center_voxel': 'i, j, k of the volume file, 0-based; integers are voxel centres. i is the '
    'fastest axis, as in SimpleITK and nibabel; a NumPy array from SimpleITK is [k, j, i].',
    'bbox_voxel': 'i1, j1, k1, i2, j2, k2: lower and upper faces in the same coordinates; voxel n '
    'extends from n - 0.5 to n + 0.5.',
    'slice_range': 'first and last slice along the axis named in volume.slice_axis, 0-based, '
    'inclusive.',
    'diameter_mm': 'longer in-plane side of the box less detector.box_margin_mm on both sides, '
    'at least one pixel.',
    'label_map': 'lesions.nii.gz, in the geometry of the volume: the voxel value is the lesion id, '
    'drawn as the ellipsoid inscribed into bbox_voxel.',
}
CSV_COLUMNS = (
    ('id', 'label', 'score', 'x_mm_lps', 'y_mm_lps', 'z_mm_lps', 'i_voxel', 'j_voxel', 'k_voxel')
    + ('i1_voxel', 'j1_voxel', 'k1_voxel', 'i2_voxel', 'j2_voxel', 'k2_voxel')
    + ('diameter_mm', 'first_slice', 'last_slice')
)


def check_out_dir(out_dir):
    """Make sure, before the long work, that results can be written to a folder.

    Raises:
        UserError: If it is a file, or neither it nor its nearest existing parent is writable.
    """
    out_dir = Path(out_dir).absolute()
    existing = next(folder for folder in (out_dir, *out_dir.parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UserError(f'cannot write to {out_dir}: {existing} is not a writable folder')


def write_lesions(out_dir, volume, lesions, provenance, max_overlays=50, show_progress=True):
    """Write lesions as JSON, CSV, label map and overlay pictures; all of them or none.

    The files are ``lesions.json``, ``lesions.csv``, ``lesions.nii.gz`` and
    ``overlays/lesion_<id>.png``. They replace those of an earlier run in the same folder.

    Args:
        out_dir (str | Path): The folder, made if missing.
        volume (CTVolume): The volume.
        lesions (list[Lesion]): By falling score.
        provenance (dict): What the JSON says about ``source`` (the volume's path) and ``detector``.
        max_overlays (int): Pictures are drawn of so many lesions of highest score.
        show_progress (bool): Show a progress bar over the pictures.

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


def _write_json(path, volume, lesions, provenance):
    image = volume.image
    geometry = dict(
        source=provenance['source'],
        size=image.GetSize(),
        spacing_mm=image.GetSpacing(),
        origin_mm=image.GetOrigin(),
        direction=image.GetDirection(),
        orientation=sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(
            image.GetDirection()
        ),
        slice_axis='ijk'[volume.slice_axis],
    )
    content = dict(
        coordinates=COORDINATES,
        volume=geometry,
        detector=provenance['detector'],
        lesions=[asdict(lesion) for lesion in lesions],
    )
    path.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')


def _write_csv(path, lesions):
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        for lesion in lesions:
            numbers = (*lesion.center_mm, *lesion.center_voxel, *lesion.bbox_voxel)
            writer.writerow(
                [lesion.id, lesion.label, f'{lesion.score:.6f}']
                + [f'{number:.4f}' for number in (*numbers, lesion.diameter_mm)]
                + list(lesion.slice_range)
            )


def _write_label_map(path, volume, lesions):
    labels = sitk.GetImageFromArray(label_map(volume, lesions))
    labels.CopyInformation(volume.image)
    sitk.WriteImage(labels, str(path), useCompression=True)


def _write_overlay(path, volume, lesion):
    x1, y1, z1, x2, y2, z2 = volume.from_voxels(lesion.bbox_voxel)[0]
    index = min(max(int((z1 + z2) / 2), 0), len(volume.array) - 1)
    center = volume.to_voxels([x1, y1, index, x2, y2, index + 1])[0]
    axis = volume.slice_axis
    slice_name = f'{"ijk"[axis]}={round((center[axis] + center[axis + 3]) / 2)}'
    text = (
        f'{lesion.id} {lesion.label} {lesion.score:.2f}  {lesion.diameter_mm:.1f} mm  {slice_name}'
    )
    picture = draw_lesion(volume.array[index], (x1, y1, x2, y2), volume.spacing[:2], text)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(cv2.imencode('.png', picture)[1].tobytes())


@contextmanager
def _results_folder(out_dir):
    """Yield a temporary folder whose files replace an earlier run's in ``out_dir`` on success."""
    temporary = None
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f'.{out_dir.name}-', dir=out_dir.parent))
        yield temporary
        for stale in out_dir.glob('overlays/lesion_*.png'):
            stale.unlink()
        for path in [path for path in temporary.rglob('*') if path.is_file()]:
            target = out_dir / path.relative_to(temporary)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
    except (OSError, RuntimeError) as error:
        raise UserError(f'cannot write the lesions to {out_dir}: {error}') from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
