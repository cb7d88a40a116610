"""List every slice of DeepLesion's sub-volumes for inference, with the 3D boxes to be found.

FROCMetric stacks what a detector finds on these slices and scores it as LENS does. The schema is
described in docs/datasets.md.
"""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from mmlesion.datasets.conversion import add_skip_options, check_skipped
from mmlesion.datasets.sub_volumes import (
    check_slices,
    sub_volume_coco,
)
from mmlesion.evaluation.files import coco_ground_truth, read_lens_ground_truth
from mmlesion.io.json_files import read_json, write_json
from mmlesion.mining.series import list_series
from mmlesion.phantom.truth import read_masks, sub_volume_boxes
from mmlesion.structures import SubVolume
from mmlesion.utils import UserError, cli


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('annotations', help='what deeplesion.py wrote: test.json, for instance')
    parser.add_argument('--images', required=True, help='the folder Images_png')
    parser.add_argument('--out', required=True, help='the JSON file to write')
    truth = parser.add_mutually_exclusive_group()
    truth.add_argument(
        '--gt', help='manual annotation, .json or .pkl: the sub-volumes that it names, its boxes'
    )
    truth.add_argument(
        '--truth',
        help="a phantom's folder truth: all runs of consecutive slices, boxes of the true masks, "
        'which also become OUT with the suffix .boxes3d.json, as a manual annotation',
    )
    parser.add_argument('--split', choices=['val', 'test'], help='which part of the annotation')
    add_skip_options(parser, 'sub-volume')
    return parser.parse_args()


@cli
def main():
    args = parse_args()
    if args.split and not args.gt:
        raise UserError('--split is of the manual annotation: give it by --gt')
    coco = read_json(args.annotations)
    coco_ground_truth(coco, args.annotations)
    volumes = {volume.name: volume for volume in list_series(coco, args.images)}
    listed = read_boxes(args, volumes)
    boxes = complete(listed, volumes, args.strict)
    if not boxes:
        raise UserError(f'{args.images} has no whole sub-volume: check --images and --gt')
    content = sub_volume_coco(coco, volumes, boxes)
    write_json(content, args.out)
    if args.truth:
        write_json(content['sub_volumes'], Path(args.out).with_suffix('.boxes3d.json'))
    count = sum(map(len, boxes.values()))
    print(f'{len(content["images"])} slices of {len(boxes)} sub-volumes, {count} boxes: {args.out}')
    skipped = len(listed) - len(boxes)
    check_skipped(skipped, len(listed), args.allow_skipped, 'sub-volume', 'the lines above')


def read_boxes(args, volumes):
    """The sub-volumes, and the boxes of each.

    Args:
        args (Namespace): Of the command line.
        volumes (dict[str, SliceSeries]): The series by name.

    Returns:
        dict[SubVolume, list]: By their names. Without ``--gt`` and ``--truth`` there are no boxes.
    """
    if args.gt:
        return read_manual(args.gt, args.split)
    runs = [run for name in sorted(volumes) for run in volumes[name].sub_volumes]
    if not args.truth:
        return {run: [] for run in runs}
    return {
        run: sub_volume_boxes(read_masks(args.truth, run.series), run)
        for run in tqdm(runs, 'sub-volumes', delay=3)
    }


def read_manual(path, split):
    """The sub-volumes of the manual annotation, and their boxes."""
    truth = read_lens_ground_truth(path, split)
    entries = {SubVolume.parse(name): [] for name in truth.cases}
    by_case = list(entries.values())
    for number, case in enumerate(truth.lesions.case):
        by_case[case].append(lesion_entry(truth.lesions, number))
    return entries


def lesion_entry(lesions, number):
    """A lesion as the manual annotation has it: its box, or a dictionary if it has more fields."""
    box = lesions.geometry[number].tolist()
    fields = {name: values[number] for name, values in lesions.attributes.items()}
    fields = {name: value for name, value in fields.items() if value is not None}
    return {'bbox_3d': box, **fields} if fields else box


def complete(boxes, volumes, strict):
    """Those sub-volumes that have all their slices; the others are printed."""
    problems = {sub: problem for sub in boxes if (problem := check_slices(sub, volumes))}
    for problem in problems.values():
        if strict:
            raise UserError(f'{problem}. Without --strict such sub-volumes are skipped')
        print(f'skipped: {problem}', file=sys.stderr)
    return {sub: found for sub, found in boxes.items() if sub not in problems}


if __name__ == '__main__':
    main()
