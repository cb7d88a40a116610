"""Output of a paired comparison: Markdown table, JSON and plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmlesion.froc import Comparison
from mmlesion.io.atomic import atomic_write
from mmlesion.io.json_files import write_json
from mmlesion.visualization.froc_plots import draw_comparison


def comparison_table(
    comparison: Comparison,
    fp_rates: Sequence[float] | np.ndarray,
    num_lesions: int,
    extra: dict[str, dict[str, str]] | None = None,
) -> str:
    """Return a Markdown table of rows, with intervals and differences from the reference.

    Args:
        comparison: The rows.
        fp_rates: (l,) false positives per case.
        num_lesions: Lesions of the test set.
        extra: Further columns: header to cells by row.
            Defaults to None.

    Returns:
        str: Several lines; the last one states the bootstrap and the runs behind the intervals.
    """
    extra = extra or {}
    header = ['row', 'runs']
    header += [f'{fp_rate:g}' for fp_rate in fp_rates]
    header += ['mean ± SE', '95 % interval', f'difference from {comparison.reference}', 'p']
    header += list(extra)
    # each row has a cell for each name of the header, in its order
    lines = [_line(header), _line(['---'] * len(header))]
    for name in comparison.rows:
        extra_cells = [cells[name] for cells in extra.values()]
        lines.append(_line(_cells(name, comparison) + extra_cells))
    return '\n'.join(lines) + f'\n\n{_footnote(comparison, num_lesions)}\n'


def _line(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'


def _cells(name: str, comparison: Comparison) -> list[str]:
    row = comparison.rows[name]
    cells = [name, str(len(row.run_means))]
    # The last column of each record is the mean over the FP rates.
    cells += [f'{value:.3f}' for value in row.value[:-1]]
    error = '' if np.isnan(row.standard_error) else f' ± {row.standard_error:.3f}'
    cells += [f'**{row.value[-1]:.3f}**{error}', f'{row.lower[-1]:.3f} to {row.upper[-1]:.3f}']
    if name not in comparison.differences:
        return cells + ['reference', '']
    one = comparison.differences[name]
    difference = f'{one.value[-1]:+.3f} ({one.lower[-1]:+.3f} to {one.upper[-1]:+.3f})'
    return cells + [difference, f'{one.p[-1]:.3f}']


def _footnote(comparison: Comparison, num_lesions: int) -> str:
    text = f'{num_lesions} lesions; SE over runs; paired bootstrap over patients'
    if np.isnan(comparison.training_noise):
        return f'{text}; one run a row, so that the noise of training is not in the intervals.'
    noise = f'{comparison.training_noise:.3f} of the mean over seeds'
    return f'{text}, with the noise of training (standard deviation {noise}).'


def comparison_json(
    comparison: Comparison, fp_rates: Sequence[float] | np.ndarray, settings: dict
) -> dict:
    """Return the comparison as dicts and lists for JSON; NaN becomes null when it is written.

    Args:
        comparison: The rows.
        fp_rates: (l,) false positives per case.
        settings: Further entries, such as the number of draws.

    Returns:
        dict: ``fp_levels``, ``rows`` and ``differences`` by name; each list has the FP rates and,
        last, the mean.
    """
    return {
        **settings,
        'fp_levels': np.asarray(fp_rates).tolist(),
        'reference': comparison.reference,
        'training_noise': comparison.training_noise,
        'rows': _plain(comparison.rows),
        'differences': _plain(comparison.differences),
    }


def _plain(records: Mapping[str, Any]) -> dict[str, dict]:
    """Turn the arrays of named records into lists."""
    plain: dict[str, dict] = {}
    for name, record in records.items():
        fields = record._asdict()
        plain[name] = {field: np.asarray(value).tolist() for field, value in fields.items()}
    return plain


def write_comparison(
    comparison: Comparison,
    fp_rates: Sequence[float] | np.ndarray,
    table: str,
    settings: dict,
    folder: str | Path,
) -> None:
    """Write ``comparison.md``, ``comparison.json`` and ``comparison.png``, each atomically.

    Args:
        comparison: The rows.
        fp_rates: (l,) false positives per case.
        table: What :func:`comparison_table` returns.
        settings: Of :func:`comparison_json`.
        folder: Where to.

    Raises:
        OutputError: If they cannot be written.
    """
    folder = Path(folder)
    content = comparison_json(comparison, fp_rates, settings)
    write_json(content, folder / 'comparison.json')
    with atomic_write(folder / 'comparison.md') as path:
        path.write_text(table, encoding='utf-8')
    draw_comparison(comparison, fp_rates, folder / 'comparison.png')
