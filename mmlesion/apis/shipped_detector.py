"""The detector of lung nodules whose weights come with the package."""

from __future__ import annotations

from pathlib import Path

from mmlesion.io.json_files import read_json

from ..utils.configs import shipped_path

WEIGHTS = Path(__file__).parents[1] / 'weights' / 'lung-nodules.safetensors'
"""Beside it a card: what it was trained on, its figures, and its limits."""


def read_card() -> dict:
    """Return the card of the weights."""
    return read_json(WEIGHTS.with_suffix('.json'))


def shipped_detector() -> tuple[str, str]:
    """Return the config and the checkpoint of the detector."""
    return str(shipped_path(f'configs/{read_card()["config"]}')), str(WEIGHTS)
