"""How the threads of OpenMP wait, decided before torch is imported."""

from __future__ import annotations

import os

POLICY = 'OMP_WAIT_POLICY'
# what a user may have decided: the policy, or how long GNU's, LLVM's and Intel's threads spin
_DECISIONS = (POLICY, 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME')


def let_threads_sleep() -> None:
    """Let OpenMP's threads sleep while they wait for each other, unless the user has decided.

    By default they spin. Beside another busy process the thread that all wait for is then kept from
    its core by those that wait, and a training step takes a multiple of its time
    (docs/development.md). OpenMP reads the variable when torch loads it, so that a tool calls this
    before torch is imported; processes that it starts inherit it.
    """
    if not any(name in os.environ for name in _DECISIONS):
        os.environ[POLICY] = 'PASSIVE'
