"""Compare a patient's lesions in two studies: registered, paired, and measured.

    compare_studies.py EARLIER LATER --out DIR

EARLIER and LATER are folders that infer.py has written. followup.json and followup.csv have each
lesion's long diameter in both studies, its change in percent, new and vanished lesions, and RECIST
1.1's sum of diameters. For research; no result is for diagnosis.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from mmlesion.followup.pairing import (
    MAX_DISTANCE_MM,
    StudyLesions,
    pair_lesions,
    sum_of_diameters,
)
from mmlesion.followup.registration import register_rigid
from mmlesion.followup.table import COLUMNS, NOT_FOR_DIAGNOSIS, followup_rows, followup_text
from mmlesion.io.atomic import atomic_write
from mmlesion.io.checks import to_numbers
from mmlesion.io.ct import read_ct
from mmlesion.io.json_files import read_json, write_json
from mmlesion.io.names import text_cell
from mmlesion.utils import UserError, check_range, cli


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('earlier', help='results of the earlier study')
    parser.add_argument('later', help='results of the later study')
    parser.add_argument('--out', help='folder for followup.json and followup.csv')
    parser.add_argument(
        '--volumes',
        nargs=2,
        metavar=('EARLIER', 'LATER'),
        help='the CT volumes, if they are not where infer.py has read them',
    )
    parser.add_argument(
        '--score-thr', type=float, default=0.0, help='lowest score of a lesion (default: all)'
    )
    parser.add_argument(
        '--max-distance',
        type=float,
        default=MAX_DISTANCE_MM,
        help='mm between registered centers, beside the radius (default: %(default)g)',
    )
    args = parser.parse_args(argv)
    check_range('--score-thr', args.score_thr, 0, 2)  # calibrated scores go up to 2
    if not 0 < args.max_distance < np.inf:
        raise UserError(f'--max-distance is {args.max_distance}: give mm above 0')
    return args


def read_study(folder: str, score_thr: float) -> tuple[list[dict], StudyLesions, str]:
    """Return lesions as listed and as columns, and the path of the volume."""
    path = Path(folder) / 'lesions.json'
    content = read_json(path, advice='run infer.py again')
    try:
        listed = content['lesions']
        scores = to_numbers([one['score'] for one in listed], None, f'{path}: the score of lesion')
        lesions = [one for one, score in zip(listed, scores) if score >= score_thr]
        centers = [one['center_mm'] for one in lesions]
        centers = to_numbers(centers, 3, f'{path}: center_mm of lesion')
        diameters = [one['diameter_mm'] for one in lesions]
        diameters = to_numbers(diameters, None, f'{path}: diameter_mm of lesion')
        if (diameters < 0).any():
            raise ValueError('a diameter_mm is negative')
        labels = [one['label'] for one in lesions]
        source = content['volume']['source']
        if len({one['id'] for one in lesions}) < len(labels):
            raise ValueError('two lesions have one id')
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'{path} is not what infer.py writes ({type(error).__name__}: {error}): run it again'
        ) from None
    return lesions, StudyLesions(centers, diameters), source


def write_followup(out: Path, content: dict) -> None:
    """Write the JSON and its rows as a CSV file."""
    with atomic_write(out / 'followup.csv') as path:
        with open(path, 'w', newline='', encoding='utf-8') as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for row in content['lesions']:
                cells = row.items()
                writer.writerow({k: text_cell(v) if isinstance(v, str) else v for k, v in cells})
    write_json(content, out / 'followup.json')


@cli
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    listed_earlier, earlier, earlier_source = read_study(args.earlier, args.score_thr)
    listed_later, later, later_source = read_study(args.later, args.score_thr)
    sources = args.volumes or (earlier_source, later_source)
    transform = register_rigid(*(read_ct(source) for source in sources))
    points = [transform.TransformPoint(center) for center in earlier.center_mm.tolist()]
    expected = np.array(points).reshape(-1, 3)
    pairs = pair_lesions(earlier, later, expected, args.max_distance)
    total = sum_of_diameters(earlier, later, pairs)
    rows = followup_rows(listed_earlier, listed_later, pairs)
    print(followup_text(rows, total))
    if args.out:
        angles = [transform.GetAngleX(), transform.GetAngleY(), transform.GetAngleZ()]
        registration = {
            'center_mm': transform.GetCenter(),
            'rotation_deg': np.degrees(angles).tolist(),
            'translation_mm': transform.GetTranslation(),
        }
        content = {
            'note': NOT_FOR_DIAGNOSIS,
            'sources': list(map(str, sources)),
            'registration': registration,
            'sum_of_diameters': total._asdict(),
            'lesions': rows,
        }
        write_followup(Path(args.out), content)


if __name__ == '__main__':
    main()
