"""The FROC report of one or more runs: from their detections to the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmlesion.froc import Protocol
from mmlesion.structures import Detections, GroundTruth

from .froc_content import froc_content
from .matched_run import match_run
from .page import write_page
from .shown_test_set import Scans, Slices


def write_froc_report(
    runs: Mapping[str, Detections],
    truth: GroundTruth,
    protocol: Protocol,
    test_set: Slices | Scans,
    groups: Mapping[str, np.ndarray],
    path: str | Path,
    title: str,
    draws: int = 1000,
) -> dict[str, Any]:
    """Match the detections of runs on a test set, and write their page.

    Args:
        runs: By name; the first is the reference.
        truth: The lesions, of which some count.
        protocol: The rules.
        test_set: What is shown of it.
        groups: (m,) bool of lesions by name.
        path: The HTML file.
        title: Of the page.
        draws: Bootstrap samples of patients.

    Returns:
        dict: What the page shows.

    Raises:
        UserError: If a slice is missing or leads out of its folder.
    """
    matched = [match_run(name, found, truth, protocol) for name, found in runs.items()]
    page = froc_content(matched, truth, test_set, groups, title, draws)
    write_page('froc', page, path)
    return page
