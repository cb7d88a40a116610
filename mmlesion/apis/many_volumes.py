"""Inference on many volumes: one folder of results each, and one table over all."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from mmlesion.io.atomic import atomic_write
from mmlesion.io.checks import text_cell
from mmlesion.io.json_files import read_json, to_json
from mmlesion.io.resume import volume_digest
from mmlesion.io.volume_list import ListedVolume
from mmlesion.utils import UserError, printable

from .inferencer import LesionInferencer

STATUS_COLUMNS = ('name', 'status', 'lesions', 'volume', 'message')


class VolumeStatus(NamedTuple):
    """What became of a volume.

    Args:
        name: Of the volume, and of its folder.
        status: 'done', 'kept' from an earlier run, or 'failed'.
        lesions: Their number; None if it failed.
        volume: Its path.
        message: Why it failed.
    """

    name: str
    status: str
    lesions: int | None
    volume: str
    message: str = ''


def detect_many(
    inferencer: LesionInferencer,
    volumes: Sequence[ListedVolume],
    out_dir: str | Path,
    **options: Any,
) -> list[VolumeStatus]:
    """Detect the lesions in many volumes; one that cannot be used does not stop the others.

    Results are in ``<out_dir>/<name>``. Those of an earlier run with the same detector, options
    and files are kept. ``volumes.csv`` has a row for each volume, ``lesions.csv`` all lesions.

    Args:
        inferencer: The detector.
        volumes: The volumes.
        out_dir: Folder of the results.
        **options: Of the inferencer's call.

    Returns:
        list[VolumeStatus]: Of each volume.
    """
    out_dir = Path(out_dir)
    statuses = []
    for volume in tqdm(volumes, 'volumes'):
        statuses.append(_detect_one(inferencer, volume, out_dir / volume.name, options))
        # after each volume, so that a run that is stopped leaves the table of what it has done
        _write_statuses(statuses, out_dir / 'volumes.csv')
    _join_lesions(statuses, out_dir)
    return statuses


def _detect_one(
    inferencer: LesionInferencer, volume: ListedVolume, folder: Path, options: dict[str, Any]
) -> VolumeStatus:
    name, path = volume.name, str(volume.path)
    kept = _kept_results(inferencer, path, folder, options)
    if kept is not None:
        return VolumeStatus(name, 'kept', kept, path)
    try:
        lesions = inferencer(path, out_dir=folder, **options)
    except UserError as error:
        tqdm.write(printable(f'error: {name}: {error}'))
        return VolumeStatus(name, 'failed', None, path, str(error))
    return VolumeStatus(name, 'done', len(lesions), path)


def _kept_results(
    inferencer: LesionInferencer, path: str, folder: Path, options: dict[str, Any]
) -> int | None:
    """Return the number of lesions that an earlier run has found by the same means; None without.

    Results are moved into their folder together, ``lesions.json`` last.
    """
    names = 'lesions.json', 'lesions.csv', 'lesions.nii.gz'
    if not all((folder / name).is_file() for name in names):
        return None
    try:
        content = read_json(folder / 'lesions.json')
        source = content['volume']['source'], content['volume']['source_digest']
        # another config, checkpoint, threshold or mask makes other lesions
        detector = inferencer.describe_run(
            options.get('pred_score_thr'), options.get('iou_thr', 0.5), options.get('lungs')
        )
        same = source == (path, volume_digest(path))
        # as text, in which a tuple is a list
        same &= to_json(content['detector'], sort_keys=True) == to_json(detector, sort_keys=True)
        return len(content['lesions']) if same else None
    except (UserError, KeyError, TypeError):
        return None


def _write_statuses(statuses: Sequence[VolumeStatus], path: Path) -> None:
    with atomic_write(path) as temporary:
        with open(temporary, 'w', newline='', encoding='utf-8') as file:
            writer = csv.writer(file)
            writer.writerow(STATUS_COLUMNS)
            for one in statuses:
                # printable: a file's name need not be UTF-8
                texts = map(printable, (one.name, one.volume, one.message))
                name, volume, message = map(text_cell, texts)
                writer.writerow([name, one.status, one.lesions, volume, message])


def _join_lesions(statuses: Sequence[VolumeStatus], out_dir: Path) -> None:
    """Write the rows of all volumes' ``lesions.csv``, with the name of the volume before each."""
    with atomic_write(out_dir / 'lesions.csv') as temporary:
        with open(temporary, 'w', newline='', encoding='utf-8') as file:
            writer = csv.writer(file)
            header_written = False
            for status in statuses:
                if status.status == 'failed':
                    continue
                with open(
                    out_dir / status.name / 'lesions.csv', newline='', encoding='utf-8'
                ) as one:
                    header, *rows = csv.reader(one)
                if not header_written:
                    writer.writerow(['volume', *header])
                    header_written = True
                writer.writerows([text_cell(status.name), *row] for row in rows)
