"""Compare masks made by recist_masks.py with the true lesion masks of a phantom."""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from terminaltables import AsciiTable
from tqdm import tqdm

from mmlesion.converters.grabcut import ellipse_mask, quadrilateral_mask
from mmlesion.io.checks import get_column, to_numbers
from mmlesion.io.coco import coco_ground_truth
from mmlesion.io.json_files import read_json, write_json
from mmlesion.io.true_masks import read_masks
from mmlesion.structures import decode_mask
from mmlesion.utils import UserError, cli


class Finding(NamedTuple):
    """A lesion of a phantom: x, y px on its key slice, and its label in the mask."""

    center: list
    key_slice: int
    label: int


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('masks', metavar='ANN_MASKS.json', help='output of recist_masks.py')
    parser.add_argument('--truth', required=True, help="the phantom's truth folder")
    parser.add_argument('--out', metavar='JSON', help='output file of the results')
    return parser.parse_args()


@cli
def main():
    args = parse_args()
    coco = read_json(args.masks)
    coco_ground_truth(coco, args.masks)
    overlaps, skipped = evaluate(coco, args.truth)
    if not overlaps:
        raise UserError(f'{args.masks} has no masks of lesions in {args.truth}')
    figures = summarize(overlaps)
    print(table(figures))
    if skipped:
        print(f'{skipped} masked annotations show no lesion of {args.truth} (noisy ones do not)')
    if args.out:
        write_json(figures, args.out)


def evaluate(coco, truth):
    """Compute the IoU with the truth of each masked annotation with RECIST.

    Returns:
        tuple[dict[str, list], int]: IoU by the source of the mask, with the quadrilateral and the
        ellipse of the same diameters beside it, and the number of masks that have no true one.
    """
    findings = read_findings(Path(truth) / 'lesions.json')
    images = {image['id']: image for image in coco['images']}
    overlaps, skipped = {}, 0
    for field in ('file_name', 'slice_index'):
        get_column(coco['images'], field, 'image')
    masked = [ann for ann in coco['annotations'] if ann.get('mask_source') and ann.get('recist')]
    to_numbers([ann['recist'] for ann in masked], 8, 'masked annotation, "recist"')
    for ann in tqdm(masked, desc='lesions', unit='lesion'):
        true = true_mask(images[ann['image_id']], ann, truth, findings)
        if true is None:
            skipped += 1
            continue
        # What GrabCut adds is told by the shapes that the same diameters give without it.
        points = np.reshape(ann['recist'], (4, 2))
        found = {
            'all masks': decode_mask(ann['segmentation']),
            'quadrilateral alone': quadrilateral_mask(points, true.shape),
            'ellipse alone': ellipse_mask(points, true.shape),
        }
        found[f'masks by {ann["mask_source"]}'] = found['all masks']
        for name, mask in found.items():
            overlaps.setdefault(name, []).append((mask & true).sum() / (mask | true).sum())
    return overlaps, skipped


def read_findings(path):
    """Centre, key slice and label of the lesions of each series."""
    findings = read_json(path)
    try:
        by_series = {}
        for series, of_series in findings.items():
            by_series[series] = found = []
            for lesion in of_series['lesions']:
                found.append(Finding(lesion['center'], lesion['key_slice'], lesion['label']))
        return by_series
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a phantom's list of lesions ({error!r})") from None


def true_mask(image, annotation, truth, findings):
    """Return the mask (H, W) of the lesion whose center is that of the diameters, or None."""
    series = Path(image['file_name']).parts[0]
    center = np.reshape(annotation['recist'], (4, 2)).mean(axis=0)
    # A phantom's diameters end on the lesion's border: their mean is its center, but for rounding.
    for lesion in findings.get(series, []):
        offset = np.abs(np.subtract(lesion.center, center)).max()
        if lesion.key_slice == image['slice_index'] and offset < 1:
            break
    else:
        return None
    masks = read_masks(truth, series)  # (slices, H, W), of the slices with a lesion
    plane = np.flatnonzero(masks.slices == image['slice_index'])[0]
    return masks.labels[plane] == lesion.label


def summarize(overlaps):
    """Return the number of lesions and statistics of the IoU for each source of masks."""
    figures = {}
    for name, values in overlaps.items():
        figures[name] = {
            'lesions': len(values),
            'mean_iou': float(np.mean(values)),
            'median_iou': float(np.median(values)),
            'worst_iou': float(np.min(values)),
            'under_0.7': float(np.mean(np.array(values) < 0.7)),
        }
    return figures


def table(figures):
    rows = [['', 'lesions', 'mean IoU', 'median', 'worst', 'under 0.7']]
    for name, figure in figures.items():
        lesions, mean, median, worst, under = figure.values()
        rows.append([name, lesions, f'{mean:.3f}', f'{median:.3f}', f'{worst:.3f}', f'{under:.1%}'])
    return AsciiTable(rows).table


if __name__ == '__main__':
    main()
