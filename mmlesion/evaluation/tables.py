"""FROC results as text."""

from terminaltables import AsciiTable


def froc_table(result: dict, title: str = 'FROC') -> str:
    """Return sensitivity at each FP rate, over all lesions and by group, as a terminal table.

    Args:
        result (dict): What :func:`~mmlesion.evaluation.functional.summarize_froc` returns.
        title (str): Name of the table.

    Returns:
        str: Several lines.
    """
    header = [
        'FP per item',
        *(f'{fp_rate:g}' for fp_rate in result['fp_levels']),
        'mean',
        'lesions',
    ]
    rows = [header, _row('sensitivity', result)]
    if interval := result.get('confidence_interval'):
        bounds = zip(interval['lower'], interval['upper'])
        cells = [f'{low:.3f}-{high:.3f}' for low, high in [*bounds, interval['mean']]]
        rows.append([f'{interval["confidence"]:.0%} interval', *cells, ''])
    rows.append(
        [
            'score threshold',
            *('-' if score is None else f'{score:.4g}' for score in result['score_thresholds']),
            '',
            '',
        ]
    )
    rows += [_row(name, group) for name, group in result.get('groups', {}).items()]
    return AsciiTable(rows, title).table


def _row(name: str, result: dict) -> list:
    values = [*result['sensitivity'], result['mean']]
    return [name, *(f'{value:.4f}' for value in values), result['num_lesions']]
