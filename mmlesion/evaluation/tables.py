"""FROC results as text, and which items they are about."""

import numpy as np
from terminaltables import AsciiTable

from mmlesion.io.checks import some_names
from mmlesion.structures import GroundTruth, Predictions


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


def coverage(truth: GroundTruth, predictions: Predictions) -> dict[str, int]:
    """Count which items have lesions, and which have predictions.

    Args:
        truth: The lesions.
        predictions: The detections.

    Returns:
        dict: ``items_with_lesions``, ``items_without_lesions``, ``items_without_predictions``,
        ``unknown_items`` and ``detections_in_unknown_items``.
    """
    # A case whose lesions are all ignored counts as one without lesions.
    total = len(truth.cases)
    with_lesions = _count_distinct(truth.lesions.case[~truth.lesions.ignore])
    return {
        'items_with_lesions': with_lesions,
        'items_without_lesions': total - with_lesions,
        'items_without_predictions': total - _count_distinct(predictions.detections.case),
        'unknown_items': len(predictions.unknown_cases),
        'detections_in_unknown_items': predictions.num_unknown,
    }


def _count_distinct(cases: np.ndarray) -> int:
    return int(np.count_nonzero(np.bincount(cases)))


def coverage_warnings(truth: GroundTruth, predictions: Predictions) -> list[str]:
    """Return warnings about items without predictions, unknown ones, and lesions listed twice.

    Args:
        truth: The lesions.
        predictions: The detections.

    Returns:
        list[str]: A line for each, none if all is well.
    """
    counts, total = coverage(truth, predictions), len(truth.cases)
    lines = []
    if missing := counts['items_without_predictions']:
        lines.append(
            f'{missing} of {total} items have no predictions, and count with all their lesions '
            'missed; if only some of the items were meant, evaluate against a list of these'
        )
    if predictions.unknown_cases:
        lines.append(
            f'{counts["unknown_items"]} items with predictions are not in the ground truth '
            f'({some_names(predictions.unknown_cases, truth.cases)}); their '
            f'{predictions.num_unknown} detections are left out'
        )
    if repeated := int((truth.lesions.repeated & ~truth.lesions.ignore).sum()):
        lines.append(
            f'{repeated} lesions are listed twice, and count twice, as in the published programs: '
            'list each once'
        )
    return lines
