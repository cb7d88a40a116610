"""Label a detector's proposals for the false positive reduction of LENS (see docs/mining.md).

The proposals are those that mine_annotations.py has found on all slices of the training set. They
are stacked to 3D boxes as FROCMetric does; a box is a lesion or a false positive by its overlap
with annotated and mined boxes, and left out in between.
"""

import argparse
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from mmlesion.io.coco import coco_ground_truth
from mmlesion.io.json_files import read_json, write_json
from mmlesion.io.slices import list_series
from mmlesion.mining import label_volume
from mmlesion.mining.proposals import Proposals
from mmlesion.utils import UserError, cli


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('annotations', help='the COCO file, with mined annotations')
    parser.add_argument('--images', required=True, help='folder of its images')
    parser.add_argument(
        '--work-dir', required=True, help='work folder of mine_annotations.py with the proposals'
    )
    parser.add_argument('--out', required=True, help='output JSON file')
    parser.add_argument(
        '--theta',
        type=float,
        default=0.5,
        help='lesions have a greater IoU with an annotation on its slice (default: 0.5)',
    )
    parser.add_argument(
        '--theta-fp',
        type=float,
        default=0.3,
        help='false positives have a smaller IoU with all of them (default: 0.3)',
    )
    return parser.parse_args()


@cli
def main():
    args = parse_args()
    if not 0 < args.theta_fp <= args.theta < 1:
        raise UserError(
            '--theta-fp must be positive, and no greater than --theta, which is below 1'
        )
    from mmlesion.mining import VolumeStore  # with torch, which --help does without

    coco = read_json(args.annotations)
    coco_ground_truth(coco, args.annotations)
    volumes = list_series(coco, args.images)
    store = VolumeStore.open(Path(args.work_dir) / 'proposals')
    rows = {}
    for volume in tqdm(volumes, 'volumes', delay=3):
        found = read_proposals(store, volume)
        steps = found.grid_steps
        rows.update(label_volume(volume, found.pooled, args.theta, args.theta_fp, steps))
    write_json(rows, args.out)
    # a row is a box (6), its score, and 1 for a lesion or 0 for a false positive
    labels = [row[-1] for row in chain.from_iterable(rows.values())]
    print(
        f'{sum(labels)} lesions and {len(labels) - sum(labels)} false positives in {len(rows)} '
        f'sub-volumes: {args.out}'
    )


def read_proposals(store, volume):
    """Return the proposals of a volume."""
    if not store.path(volume.name).exists():
        raise UserError(
            f'{store.folder} has no proposals of {volume.name}: run mine_annotations.py to its '
            'end, on the same images'
        )
    return Proposals.from_arrays(store.load(volume.name))


if __name__ == '__main__':
    main()
