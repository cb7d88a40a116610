"""List every slice of DeepLesion's sub-volumes for inference, with the 3D boxes to be found.

``FROCMetric`` stacks what a detector finds on these slices and scores it as LENS does.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmlesion.io.coco import coco_ground_truth
from mmlesion.io.json_files import read_json, write_json
from mmlesion.io.slices import list_series
from mmlesion.io.sub_volumes import check_slices, read_lens_ground_truth, sub_volume_coco
from mmlesion.io.true_masks import read_masks, sub_volume_boxes
from mmlesion.structures import Lesions, SliceSeries, SubVolume
from mmlesion.utils import UserError

from .base import Run


def convert(
    annotations: str | Path,
    out: str | Path,
    *,
    images: str | Path,
    gt: str | Path | None = None,
    truth: str | Path | None = None,
    split: str | None = None,
    **run_options: Any,
) -> dict:
    """List the slices of sub-volumes as COCO, with their 3D boxes.

    Args:
        annotations: What the DeepLesion converter wrote, such as ``test.json``.
        out: The JSON file to write.
        images: The folder ``Images_png``.
        gt: Manual annotation: the sub-volumes that it names, its boxes.
        truth: Folder of true masks (:mod:`mmlesion.io.true_masks`), such as
            a phantom's ``truth``: their boxes, which also become ``out`` with the suffix
            ``.boxes3d.json``. Without both, sub-volumes are all runs of consecutive slices, without
            boxes.
        split: Which part of the manual annotation, 'val' or 'test'.
        **run_options: Of :class:`~mmlesion.converters.base.Run`: strict, allow_skipped.

    Returns:
        dict: What was written.

    Raises:
        UserError: If the input cannot be used, or more is skipped than allowed.
    """
    run = Run(Path(out).parent, 'sub-volume', **run_options)
    if split and not gt:
        raise UserError('--split is of the manual annotation: give it by --gt')
    coco = read_json(annotations)
    coco_ground_truth(coco, annotations)
    if not coco.get('categories'):
        raise UserError(f'{annotations} has no "categories": convert DeepLesion again')
    volumes = {series.name: series for series in list_series(coco, images)}
    listed = read_manual(gt, split) if gt else read_runs(volumes, truth)
    boxes = drop_incomplete(listed, volumes, run)
    if not boxes:
        raise UserError(f'{images} has no whole sub-volume: check --images and --gt')
    content = sub_volume_coco(coco, volumes, boxes)
    write_json(content, out)
    if truth:
        write_json(content['sub_volumes'], Path(out).with_suffix('.boxes3d.json'))
    count = sum(map(len, boxes.values()))
    print(f'{len(content["images"])} slices of {len(boxes)} sub-volumes, {count} boxes: {out}')
    run.check(len(listed) - len(boxes), len(listed), 'the lines above')
    return content


def read_runs(
    volumes: Mapping[str, SliceSeries], truth: str | Path | None
) -> dict[SubVolume, list]:
    """Find all runs of consecutive slices, and the boxes of true masks in each, if given.

    Args:
        volumes: The series by name.
        truth: Folder of true masks.

    Returns:
        dict[SubVolume, list]: Boxes by sub-volume; without ``truth`` there are none.
    """
    boxes: dict[SubVolume, list] = {}
    for name in sorted(volumes):
        boxes.update((run, []) for run in volumes[name].sub_volumes)
    if truth:
        for run in tqdm(boxes, 'sub-volumes', delay=3):
            boxes[run] = sub_volume_boxes(read_masks(truth, run.series), run)
    return boxes


def read_manual(path: str | Path, split: str | None) -> dict[SubVolume, list]:
    """Read the sub-volumes of the manual annotation, and their boxes with what fields they have."""
    truth = read_lens_ground_truth(path, split)
    entries: dict[SubVolume, list] = {SubVolume.parse(name): [] for name in truth.cases}
    # lesions.case is the place of each lesion's sub-volume among the cases
    by_case = list(entries.values())
    for index, case in enumerate(truth.lesions.case):
        by_case[case].append(lesion_entry(truth.lesions, index))
    return entries


def lesion_entry(lesions: Lesions, index: int) -> list | dict:
    """Return a lesion as the manual annotation has it: its box, or a dictionary with its fields."""
    box = lesions.geometry[index].tolist()
    fields = {}
    for name, values in lesions.attributes.items():
        if values[index] is not None:  # some lesions have a field, this one does not
            fields[name] = values[index]
    return {'box': box, **fields} if fields else box


def drop_incomplete(
    boxes: Mapping[SubVolume, list], volumes: Mapping[str, SliceSeries], run: Run
) -> dict[SubVolume, list]:
    """Drop and report sub-volumes with missing slices."""
    whole = {}
    for sub, found in boxes.items():
        if problem := check_slices(sub, volumes):
            print(f'skipped: {run.skip(problem).message}', file=sys.stderr)
        else:
            whole[sub] = found
    return whole
