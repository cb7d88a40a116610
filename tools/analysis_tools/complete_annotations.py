"""Write a phantom's annotation file with all slices and lesions: what perfect mining gives.

    complete_annotations.py data/phantom/train.json --images data/phantom/Images_png \\
        --truth data/phantom/truth --out data/phantom/train_complete.json

A file of sub-volumes becomes one of their slices, on which boxes are evaluated in 2D.
"""

import argparse
from functools import partial

from mmlesion.io.coco import read_annotations
from mmlesion.io.json_files import write_json
from mmlesion.io.slices import list_series
from mmlesion.io.true_masks import read_lesions
from mmlesion.mining.experiments import add_true_boxes
from mmlesion.utils import cli


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('annotations', help='COCO file of a phantom')
    parser.add_argument('--images', required=True, help='folder of its images')
    parser.add_argument('--truth', required=True, help='folder of its true masks')
    parser.add_argument('--out', required=True, help='COCO file to write')
    return parser.parse_args(argv)


@cli
def main(argv=None):
    args = parse_args(argv)
    data = read_annotations(args.annotations)
    before = {name: len(data[name]) for name in ('images', 'annotations')}
    add_true_boxes(data, list_series(data, args.images), partial(read_lesions, args.truth))
    data.pop('sub_volumes', None)  # the 3D boxes, by which FROCMetric would evaluate
    write_json(data, args.out)
    for name, number in before.items():
        print(f'{len(data[name])} {name}, {len(data[name]) - number} of them added')


if __name__ == '__main__':
    main()
