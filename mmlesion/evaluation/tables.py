"""FROC results as text."""

from terminaltables import AsciiTable


def froc_table(result: dict, title: str = 'FROC') -> str:
    """Return sensitivity at each FP rate, over all lesions and by group, as a terminal table.

    Args:
        result: What :func:`~mmlesion.froc.summarize_froc` returns.
        title: Name of the table.

    Returns:
        str: Several lines.
    """
    header = ['FP per item']
    header += [f'{fp_rate:g}' for fp_rate in result['fp_levels']]
    rows = [header + ['mean', 'lesions'], _row('sensitivity', result)]
    if interval := result.get('confidence_interval'):
        rows.append(_interval_row(interval))
    thresholds = list(map(_threshold_cell, result['score_thresholds']))
    rows.append(['score threshold'] + thresholds + ['', ''])
    for name, group in result.get('groups', {}).items():
        rows.append(_row(name, group))
    return AsciiTable(rows, title).table


def _row(name: str, result: dict) -> list:
    values = result['sensitivity'] + [result['mean']]
    cells = [f'{value:.4f}' for value in values]
    return [name] + cells + [result['num_lesions']]


def _interval_row(interval: dict) -> list[str]:
    bounds = list(zip(interval['lower'], interval['upper'])) + [interval['mean']]
    cells = [f'{low:.3f}-{high:.3f}' for low, high in bounds]
    return [f'{interval["confidence"]:.0%} interval'] + cells + ['']


def _threshold_cell(score: float | None) -> str:
    return '-' if score is None else f'{score:.4g}'
