"""Write an annotation file with fewer annotations, for experiments on what missing ones cost.

    withhold_annotations.py train.json --key-slices --out train_key_slices.json
    withhold_annotations.py train.json --lesions 0.5 --out train_half.json
    withhold_annotations.py train.json --found-in train_mined.json --out train_found.json

A detector trained on the original file is what perfect mining would give.
"""

import argparse

from mmlesion.io.checks import get_column
from mmlesion.io.coco import read_annotations
from mmlesion.io.json_files import write_json
from mmlesion.mining.experiments import keep_matched, withhold_lesions, withhold_slices
from mmlesion.utils import cli


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('annotations', help='COCO file; a lesion on several slices has a lesion_id')
    parser.add_argument('--out', required=True, help='COCO file to write')
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        '--key-slices',
        action='store_true',
        help="keep each lesion's largest box and its slice alone, as DeepLesion is annotated",
    )
    what.add_argument(
        '--lesions',
        type=float,
        metavar='FRACTION',
        help='remove this share of the lesions; their slices stay, as if without lesion',
    )
    what.add_argument(
        '--found-in',
        metavar='FILE',
        help='keep the boxes that match one of FILE, as mined annotations, by an IoU above 0.5',
    )
    parser.add_argument('--seed', type=int, default=0, help='of --lesions (default: 0)')
    return parser.parse_args(argv)


@cli
def main(argv=None):
    args = parse_args(argv)
    data = _read_named(args.annotations)
    # Lesions are withheld for good: mining is to find them again.
    if args.key_slices:
        less = withhold_slices(data)
    elif args.found_in:
        # boxes are compared on the slices of the same name
        less = keep_matched(data, _read_named(args.found_in))
    else:
        less = withhold_lesions(data, args.lesions, args.seed)
    write_json(less, args.out)
    for name in 'images', 'annotations':
        print(f'{len(less[name])} of {len(data[name])} {name}')


def _read_named(path) -> dict:
    """Read annotations of images that have names, which tell the series."""
    content = read_annotations(path)
    get_column(content['images'], 'file_name', f'{path}: image')
    return content


if __name__ == '__main__':
    main()
