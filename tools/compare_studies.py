"""Compare a patient's lesions in two studies: registered, paired, and measured.

    compare_studies.py EARLIER LATER --out DIR

EARLIER and LATER are folders that infer.py has written. followup.json and followup.csv have each
lesion's long diameter in both studies, its change in percent, new and vanished lesions, and RECIST
1.1's sum of diameters. For research; no result is for diagnosis.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mmlesion.followup.pairing import (
    MAX_DISTANCE_MM,
    StudyLesions,
    pair_lesions,
    sum_of_diameters,
)
from mmlesion.followup.registration import register_rigid
from mmlesion.followup.table import COLUMNS, followup_rows, followup_text
from mmlesion.io.atomic import atomic_write
from mmlesion.io.checks import text_cell
from mmlesion.io.ct import read_ct
from mmlesion.io.json_files import write_json
from mmlesion.io.results import NOT_FOR_DIAGNOSIS, read_results
from mmlesion.report.followup_content import Study, followup_content, study_warnings
from mmlesion.report.page import check_html_name, write_page
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError, check_range, cli, printable


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('earlier', help='results of the earlier study')
    parser.add_argument('later', help='results of the later study')
    parser.add_argument('--out', help='folder for followup.json and followup.csv')
    parser.add_argument('--report', metavar='HTML', help='page with each lesion in both studies')
    parser.add_argument(
        '--embedder',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='LesionEmbedding, by which lesions are paired beside their positions',
    )
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
    if args.report is not None:
        check_html_name('--report', args.report)
    return args


def read_study(folder: str, score_thr: float, source: str | None) -> Study:
    """Return the lesions of a folder of results with the volume that they are in."""
    results = read_results(folder, score_thr)
    source = source or results.volume['source']
    known = [results.volume.get(key) for key in ('patient', 'study_date')]
    return Study(str(source), CTVolume(read_ct(source)), results.lesions, *known)


def columns_of(study: Study, embed: Callable | None) -> StudyLesions:
    """Return what lesions are paired by."""
    return StudyLesions(
        np.array([lesion.center_mm for lesion in study.lesions]).reshape(-1, 3),
        np.array([lesion.diameter_mm for lesion in study.lesions], dtype=float),
        embed(study.volume, study.lesions) if embed else None,
    )


def load_embedder(paths: Sequence[str] | None) -> Callable | None:
    if paths is None:
        return None
    from mmlesion.apis.embedding_inferencer import EmbeddingInferencer  # with torch

    return EmbeddingInferencer(*paths)


def write_followup(out: Path, content: dict) -> None:
    """Write the JSON and its rows as a CSV file."""
    with atomic_write(out / 'followup.csv') as path:
        with open(path, 'w', newline='', encoding='utf-8') as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for row in content['lesions']:
                # numbers stay as they are, text must not begin a formula
                texts = {key: text_cell(row[key]) for key in row if isinstance(row[key], str)}
                writer.writerow({**row, **texts})
    write_json(content, out / 'followup.json')


@cli
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    # None: where the results say that the volume was read
    sources = args.volumes or (None, None)
    earlier = read_study(args.earlier, args.score_thr, sources[0])
    later = read_study(args.later, args.score_thr, sources[1])
    embed = load_embedder(args.embedder)
    columns = [columns_of(study, embed) for study in (earlier, later)]
    # from points of the earlier study to those of the later one
    transform = register_rigid(earlier.volume.orthogonal, later.volume.orthogonal)
    points = [transform.TransformPoint(center) for center in columns[0].center_mm.tolist()]
    expected = np.array(points).reshape(-1, 3)
    pairs = pair_lesions(*columns, expected, args.max_distance)
    total = sum_of_diameters(*columns, pairs)
    rows = followup_rows(earlier.lesions, later.lesions, pairs)
    print(printable(f'earlier: {earlier.title}\nlater: {later.title}\n'))
    print(printable(followup_text(rows, total)))
    for line in study_warnings(earlier, later):
        print(f'warning: {line}', file=sys.stderr)
    if args.out:
        angles = [transform.GetAngleX(), transform.GetAngleY(), transform.GetAngleZ()]
        registration = {
            'center_mm': transform.GetCenter(),
            'rotation_deg': np.degrees(angles).tolist(),
            'translation_mm': transform.GetTranslation(),
        }
        content = {
            'note': NOT_FOR_DIAGNOSIS,
            'sources': [earlier.source, later.source],
            'study_dates': [earlier.date, later.date],
            'warnings': study_warnings(earlier, later),
            'embedder': args.embedder,
            'registration': registration,
            'sum_of_diameters': total._asdict(),
            'lesions': rows,
        }
        write_followup(Path(args.out), content)
    if args.report:
        page = followup_content(earlier, later, rows, total._asdict())
        write_page('followup', page, args.report)
        print(f'report: {args.report}')


if __name__ == '__main__':
    main()
