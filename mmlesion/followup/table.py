"""The table of a follow-up: each lesion in both studies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmlesion.io.results import NOT_FOR_DIAGNOSIS, DetectedLesion

from .pairing import Pairs, SumOfDiameters

COLUMNS = (
    'status',
    'earlier_id',
    'later_id',
    'label',
    'earlier_mm',
    'later_mm',
    'change_percent',
    'distance_mm',
)


def followup_rows(
    earlier: Sequence[DetectedLesion], later: Sequence[DetectedLesion], pairs: Pairs
) -> list[dict[str, Any]]:
    """Return a row per lesion: paired ones in the earlier order, then vanished, then new ones.

    Args:
        earlier: Lesions of the earlier study.
        later: Those of the later study.
        pairs: Their pairs.

    Returns:
        list[dict]: With :data:`COLUMNS`; None where a lesion has no partner.
    """
    rows = []
    for one, other, distance in zip(pairs.earlier, pairs.later, pairs.distance_mm):
        row = _row('paired', earlier[one], later[other])
        before, after = row['earlier_mm'], row['later_mm']
        row['change_percent'] = 100 * (after - before) / before if before else None
        row['distance_mm'] = float(distance)
        rows.append(row)
    rows += [_row('vanished', earlier[index], None) for index in pairs.vanished]
    rows += [_row('new', None, later[index]) for index in pairs.new]
    return rows


def _row(
    status: str, earlier: DetectedLesion | None, later: DetectedLesion | None
) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row['status'] = status
    for when, lesion in (('earlier', earlier), ('later', later)):
        if lesion is not None:
            row['label'] = lesion.label  # the later one's, where there is one
            row[f'{when}_id'] = lesion.id
            row[f'{when}_mm'] = lesion.diameter_mm
    return row


def followup_text(rows: Sequence[dict[str, Any]], total: SumOfDiameters) -> str:
    """Return a Markdown table of the rows, and the sum of diameters below it."""
    header = ('lesion', 'earlier', 'later', 'earlier, mm', 'later, mm', 'change, %')
    lines = [_line(header), _line(['---'] * len(header))]
    for row in rows:
        name = f'{row["label"]} ({row["status"]})'
        ids = [_text(row[f'{when}_id']) for when in ('earlier', 'later')]
        sizes = [_text(row[key]) for key in ('earlier_mm', 'later_mm', 'change_percent')]
        lines.append(_line([name, *ids, *sizes]))
    change = f'{total.earlier_mm:.1f} to {total.later_mm:.1f} mm ({_percent(total.change_percent)})'
    lines += ['', f'Sum of long diameters: {change}, {total.response}.', NOT_FOR_DIAGNOSIS]
    return '\n'.join(lines)


def _line(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'


def _percent(value: float) -> str:
    text = f'{value:+.0f}'
    return f'{"0" if text in ("+0", "-0") else text} %'  # what rounds to 0 has no sign


def _text(value: Any) -> str:
    if value is None:
        return '–'
    return f'{value:.1f}' if isinstance(value, float) else str(value)
