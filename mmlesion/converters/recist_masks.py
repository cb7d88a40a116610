"""Add dense lesion masks to a COCO file, by GrabCut from the RECIST diameters (docs/masks.md)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from terminaltables import AsciiTable
from tqdm import tqdm

from mmlesion.io.checks import plain_name
from mmlesion.io.coco import coco_ground_truth
from mmlesion.io.deeplesion import BOX_PADDING
from mmlesion.io.json_files import parse_json, read_bytes, write_json
from mmlesion.io.schema import display_window, path_under
from mmlesion.io.slices import read_hu
from mmlesion.structures import decode_mask, usable_segmentation
from mmlesion.utils import UserError
from mmlesion.visualization.overlays import draw_mask

from .base import Run, print_skipped
from .grabcut import recist_from_box
from .mask_run import NO_RECIST, MaskOptions, MaskRun, MaskStore

# Of each kind of problem so many are printed.
PRINTED = 20


def convert(
    ann: str | Path,
    out: str | Path,
    *,
    images: str | Path,
    workers: int = 1,
    from_box: bool = False,
    box_padding: float = BOX_PADDING,
    window: Sequence[float] = MaskOptions.window,
    picture: str | Path | None = None,
    num: int = 20,
    **run_options: Any,
) -> dict:
    """Add ``segmentation`` and ``mask_source`` to the annotations that have ``recist``.

    An empty ``segmentation`` of other annotations is removed. An interrupted run is resumed when it
    is called again.

    Args:
        ann: COCO file with ``recist``.
        out: The COCO file to write.
        images: The folder that file names start from.
        workers: Processes.
        from_box: Whether the axes of the ellipse in the box stand in for RECIST.
        box_padding: px that a box has beyond its lesion on each side.
        window: HU from and to that GrabCut sees of images without ``windows``.
        picture: Folder for pictures of some masks.
        num: How many pictures.
        **run_options: Of :class:`~mmlesion.converters.base.Run`: strict, allow_skipped.

    Returns:
        dict: What was written.

    Raises:
        UserError: If the input cannot be used, or more lesions get no mask than allowed.
    """
    policy = Run(Path(out).parent, 'lesion', workers, consequence='get no mask', **run_options)
    options = MaskOptions(tuple(window), from_box, box_padding)
    if not Path(images).is_dir():
        raise UserError(f'{images} is not a folder: give the one that file names start from')
    if Path(out).is_dir():
        raise UserError(f'--out {out} is a folder: give the name of a file')
    if os.path.realpath(out) == os.path.realpath(ann):
        raise UserError(f'--out {out} is the annotation file itself: give another name')
    if num < 1:
        raise UserError('--num must be at least 1')
    if not options.box_padding >= 0:
        raise UserError(f'--box-padding {options.box_padding:g} must not be negative')
    if not window[0] < window[1]:
        raise UserError('--window {:g} {:g} is not low < high'.format(*window))
    text, coco = read_annotations(ann, options.window)
    masks = MaskRun(coco, images, options, policy)
    # What an earlier run has stored counts only if both annotations and options are the same.
    store = MaskStore(f'{out}.partial', options.fingerprint(text))
    try:
        masks.run(workers, store)
    finally:
        if store.is_empty():
            store.remove()
    report(masks, ann)
    # Masks are kept by the annotation's place in the file.
    for index, mask in masks.masks.items():
        coco['annotations'][index].update(mask)
    drop_unusable(coco['annotations'])
    write_json(coco, out)
    store.remove()  # not before the whole is written
    if picture:
        draw_pictures(coco, images, options, picture, num)
    skipped = sum(one.kind != NO_RECIST for one in masks.skipped)
    policy.check(skipped, len(coco['annotations']), 'the lines above')
    return coco


def read_annotations(path: str | Path, window: Sequence[float]) -> tuple[bytes, dict]:
    """Read and check a COCO file.

    Args:
        path: The file.
        window: HU from and to of images without ``windows``.

    Returns:
        tuple[bytes, dict]: Its bytes and content.

    Raises:
        UserError: If it cannot be used.
    """
    text = read_bytes(path)
    coco = parse_json(text, path)
    coco_ground_truth(coco, path)
    for image in coco['images']:
        if not isinstance(image.get('file_name'), str):
            raise UserError(f'{path}: image {image["id"]} has no "file_name"')
        display_window(image, window)  # its check
    return text, coco


def report(run: MaskRun, ann: str | Path) -> None:
    """Print the sources of masks, and the lesions without a mask.

    Raises:
        UserError: If there is no mask at all.
    """
    failed = [one for one in run.skipped if one.kind != NO_RECIST]
    print_skipped(failed, PRINTED, 'no mask')
    if not run.masks:
        raise UserError(f'no lesion of {ann} got a mask: {_explain_none(run)}')
    rows = [('mask from', 'lesions')] + sorted(run.counts().items())
    print(AsciiTable(rows).table)
    if without := len(run.skipped) - len(failed):
        print(f'{without} lesions have no "recist" and got no mask', file=sys.stderr)


def _explain_none(run: MaskRun) -> str:
    if not run.skipped:
        return 'it has no annotations'
    first = run.skipped[0]
    if first.kind == NO_RECIST:
        return f'{first.message}: convert DL_info.csv by deeplesion.py, or give --recist-from-box'
    return f'{first.message}: check --images'


def drop_unusable(annotations: Sequence[dict]) -> None:
    """Delete empty ``segmentation``: such a lesion has no mask."""
    # training would take it for the lesion's mask
    for annotation in annotations:
        if usable_segmentation(annotation.get('segmentation')) is None:
            annotation.pop('segmentation', None)


def draw_pictures(
    coco: dict, root: str | Path, options: MaskOptions, folder: str | Path, num: int
) -> None:
    """Draw masks, evenly picked, one PNG each, named by slice and annotation.

    Args:
        coco: With masks.
        root: The folder that file names start from.
        options: How masks were made.
        folder: Where pictures are written.
        num: How many.

    Raises:
        UserError: If the folder or a picture cannot be written.
    """
    images = {image['id']: image for image in coco['images']}
    masked = [ann for ann in coco['annotations'] if 'mask_source' in ann]
    # evenly spread over the file; fewer than asked for where there are fewer masks
    picked = np.unique(np.linspace(0, len(masked) - 1, num).round().astype(int))
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'{folder} cannot be made: {error.strerror}') from None
    for index in tqdm(picked, desc='pictures', unit='picture'):
        ann = masked[index]
        image = images[ann['image_id']]
        slice_name = '_'.join(Path(image['file_name']).with_suffix('').parts)
        name = plain_name(f'{slice_name}_{ann["id"]}.png', 'an annotation')
        path = Path(folder) / name
        x, y, w, h = ann['bbox']
        box = [x, y, x + w, y + h]
        picture = draw_mask(
            read_hu(path_under(root, image['file_name'])),
            decode_mask(ann['segmentation']),
            ann.get('recist') or recist_from_box(box, options.box_padding),
            box,
            display_window(image, options.window).tolist(),
        )
        if not cv2.imwrite(str(path), picture):
            raise UserError(f'{path} cannot be written')
