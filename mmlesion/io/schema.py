"""The annotation schema that all files of mmlesion share (docs/datasets.md).

Annotation files are COCO's, with fields of CT beside. What makes an image or an annotation makes it
by :func:`make_image` and :func:`make_annotation`; what reads one asks here whether it is a lesion.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict, Union, cast

import msgspec
import numpy as np

from mmlesion.utils import UserError

HU_OFFSET = 32768
"""Stored value of 0 HU in the 16-bit PNG of slices."""
ABDOMEN_WINDOW = (-175.0, 275.0)
"""HU; DeepLesion's window of the abdomen, and of slices that have no ``windows`` of their own."""
SOFT_TISSUE_WINDOW = (-160.0, 240.0)
"""HU; the clinical window in which detections in soft tissue are shown."""
LUNG_WINDOW = (-1350.0, 150.0)
"""HU; the clinical window in which detections in the lungs are shown."""
LESION_TYPES = (
    'bone',
    'abdomen',
    'mediastinum',
    'liver',
    'lung',
    'kidney',
    'soft_tissue',
    'pelvis',
)
"""DeepLesion's coarse types; ``lesion_type`` counts them from 1, and is -1 where unknown."""
SPACING_LIMITS = (0.01, 100.0)
"""mm from voxel to voxel that a CT may have."""
CT_FIELDS = (
    'spacing',
    'slice_interval',
    'slice_index',
    'slice_range',
    'windows',
    'patient_id',
    'study_id',
    'series_id',
)
"""What an image of the schema says beyond COCO's own fields."""


class Image(TypedDict, total=False):
    """A slice, as ``images`` of an annotation file has it.

    Attributes:
        id: COCO's.
        file_name: ``<series>/<number>.png``, relative to the folder of the images.
        height: px.
        width: px.
        spacing: x, y mm per px.
        slice_interval: mm from slice to slice.
        slice_index: The slice's number, which its name ends in.
        slice_range: First and last slice, inclusive, that are on disk around it.
        windows: Low and high HU of windows that show its lesions.
        patient_id: Its patient.
        study_id: The patient's study.
        series_id: The study's series.
        pixel_center: Coordinate of the first pixel's center in the file; 0.5 where it is
            not given.
        sub_volume: The sub-volume that it belongs to.
    """

    id: int
    file_name: str
    height: int
    width: int
    spacing: list[float]
    slice_interval: float
    slice_index: int
    slice_range: list[int]
    windows: list[list[float]]
    patient_id: int | str
    study_id: int
    series_id: int
    pixel_center: float
    sub_volume: str


class Annotation(TypedDict, total=False):
    """A lesion on a slice, as ``annotations`` of an annotation file has it.

    Attributes:
        id: COCO's.
        image_id: Its image.
        category_id: Its class.
        bbox: x, y, w, h px.
        area: px².
        iscrowd: 1 for a crowd, COCO's sign of what is ignored.
        ignore: 1 for a finding that is neither a target nor background.
        noisy: 1 where DeepLesion says so: not a training target, but one of evaluation.
        source: 'annotated', or the rule that mined it.
        recist: x1, y1, ..., x4, y4 px, the ends of the long and short diameter.
        diameters_mm: Long and short.
        segmentation: COCO's RLE or polygons.
        mask_source: What made ``segmentation`` from ``recist``.
        lesion_type: One of :data:`LESION_TYPES` counted from 1, or -1.
        normalized_location: DeepLesion's x, y, z in the body, 0 to 1.
        lesion_id: The lesion, where several slices of a series show it.
        score: Of a mined lesion.
        expert: The expert that found an uncertain region.
        matched_id: The annotation whose embedding a mined lesion matches.
        distance: Of these embeddings.
    """

    id: int
    image_id: int
    category_id: int
    bbox: list[float]
    area: float
    iscrowd: int
    ignore: int
    noisy: int
    source: str
    recist: list[float]
    diameters_mm: list[float]
    segmentation: dict | list
    mask_source: str
    lesion_type: int
    normalized_location: list[float]
    lesion_id: int
    score: float
    expert: str
    matched_id: int
    distance: float


Name = Union[int, float, str]
"""An id. (The unions are evaluated, in Python 3.9 too.)"""
Flag = Union[bool, Annotated[float, msgspec.Meta(ge=0, le=1, multiple_of=1)], None]
"""A number, not text, of which ``'0'`` would be true."""


class Flags(msgspec.Struct, gc=False):
    """What a file says of any annotation, of a slice or of a volume.

    Attributes:
        iscrowd: See :class:`Annotation`.
        ignore: See :class:`Annotation`.
        noisy: See :class:`Annotation`.
        category_id: A whole number.
    """

    iscrowd: Flag = None
    ignore: Flag = None
    noisy: Flag = None
    category_id: float = 1


class _FileImage(msgspec.Struct, gc=False):
    id: Name
    file_name: str = ''
    patient_id: Name = ''
    pixel_center: Annotated[float, msgspec.Meta(gt=-1e9, lt=1e9)] = 0.5
    # published files also have one number for both directions
    spacing: Union[float, tuple[float, float]] = 1.0  # noqa: UP007


class _FileAnnotation(Flags, gc=False, kw_only=True):
    image_id: Name
    bbox: tuple[float, float, float, float]


class CocoFile(msgspec.Struct):
    """What is needed of a COCO file, to check one by :func:`~.json_files.check_content`.

    Attributes:
        images: See :class:`Image`.
        annotations: See :class:`Annotation`.
    """

    images: list[_FileImage]
    annotations: list[_FileAnnotation]


_KNOWN: dict[type, frozenset[str]] = {
    schema: frozenset(schema.__annotations__) for schema in (Image, Annotation)
}


def make_image(
    file_name: str,
    size: Sequence[int],
    spacing: Sequence[float],
    slice_index: int,
    slice_range: Sequence[int],
    windows: Iterable[Sequence[float]] = (ABDOMEN_WINDOW,),
    **fields: Any,
) -> Image:
    """Make the image of a slice.

    Args:
        file_name: Of the slice, under the folder of the images.
        size: Height and width in px.
        spacing: x, y mm per px and mm from slice to slice.
        slice_index: The slice's number.
        slice_range: First and last slice around it, inclusive.
        windows: Low and high HU. Defaults to that of the abdomen.
        **fields: More of :class:`Image`.

    Raises:
        TypeError: If the schema has no such field.
    """
    _check_names(fields, Image)
    image = {
        'file_name': file_name,
        'height': size[0],
        'width': size[1],
        'spacing': list(spacing[:2]),
        'slice_interval': spacing[2],
        'slice_index': slice_index,
        'slice_range': list(slice_range),
        'windows': [list(window) for window in windows],
        **fields,
    }
    return cast('Image', image)


def make_annotation(
    bbox: Sequence[float],
    area: float,
    *,
    noisy: int = 0,
    source: str = 'annotated',
    **fields: Any,
) -> Annotation:
    """Make the annotation of a lesion on a slice.

    Args:
        bbox: x, y, w, h px.
        area: px².
        noisy: 1 for one that is not to be trained with. Defaults to 0.
        source: What it is from. Defaults to 'annotated'.
        **fields: More of :class:`Annotation`.

    Raises:
        TypeError: If the schema has no such field.
    """
    _check_names(fields, Annotation)
    own = {'bbox': list(bbox), 'area': area, 'iscrowd': 0, 'noisy': noisy, 'source': source}
    return cast('Annotation', {**own, **fields})


def _check_names(fields: Mapping[str, Any], schema: type) -> None:
    known = _KNOWN[schema]
    if not known.issuperset(fields):
        unknown = fields.keys() - known
        raise TypeError(f'{schema.__name__} has no field {", ".join(sorted(unknown))}')


def is_ignored(annotation: Mapping[str, Any]) -> bool:
    """Return whether evaluation ignores an annotation: neither finding nor missing it counts."""
    return bool(annotation.get('iscrowd') or annotation.get('ignore'))


def is_target(annotation: Mapping[str, Any]) -> bool:
    """Return whether an annotation is a lesion to train with: neither ignored nor noisy."""
    return not (is_ignored(annotation) or annotation.get('noisy'))


def path_under(root: str | Path, name: str) -> str:
    """Join the ``file_name`` of an annotation file to the folder that it is relative to.

    Links are followed wherever they lead: the folder, or one in it, may be a link that the user
    made. A name cannot step back behind one, as ``..`` is refused.

    Raises:
        UserError: If the result lies outside ``root``, or the name is not text.
    """
    if not isinstance(name, str) or '\0' in name:
        raise UserError(f'{name!a:.80} is no name of a file under {root}')
    root = os.path.abspath(root)
    path = os.path.abspath(os.path.join(root, name))
    steps_back = '..' in name.replace('\\', '/').split('/')
    if steps_back or os.path.commonpath([root, path]) != root:
        raise UserError(f'{name!r} leads outside {root}: names in files stay under their folder')
    return path


KITS19_KIDNEY, KITS19_TUMOR = 1, 2
LITS_LIVER, LITS_TUMOR = 1, 2


def display_window(metainfo: Mapping, default: Sequence[float] = ABDOMEN_WINDOW) -> np.ndarray:
    """Return the first of the ``windows`` of an image or a sample.

    Args:
        metainfo: With ``windows``, [[low, high], ...] or one [low, high], where it has any.
        default: Taken where it has none. Defaults to that of the abdomen.

    Returns:
        ndarray: (2,) lower and upper HU.

    Raises:
        UserError: If ``windows`` are anything else.
    """
    windows = metainfo.get('windows')
    try:
        given = [default] if windows is None or not len(windows) else windows
        window = np.asarray(given, float).reshape(-1, 2)[0]
    except (TypeError, ValueError, OverflowError):
        window = np.full(2, np.nan)
    if not (np.isfinite(window).all() and window[0] < window[1]):
        name = metainfo.get('file_name') or metainfo.get('img_path')
        raise UserError(f'{name} has the windows {windows!r:.80}: give pairs of low and high HU')
    return window
