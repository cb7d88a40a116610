"""Fixtures of the attacks; see ``attacks.py``."""

import sys
from pathlib import Path

import pytest

# helpers beside the tests, which importlib's mode of importing does not find
sys.path.insert(0, str(Path(__file__).parent))

import attacks  # noqa: E402


@pytest.fixture(scope='session')
def checkpoints(tmp_path_factory):
    """All hostile checkpoints, and what they aim at."""
    return attacks.Corpus.write(tmp_path_factory.mktemp('hostile'))
