"""Termination of a process of a distributed run."""

from __future__ import annotations

import gc

from torch import distributed


def leave_process_group() -> None:
    """Destroy the process group, if there is one, after the work is done.

    Gloo's threads drop what they sent last when they come to it. One that does so after the
    interpreter has begun to end aborts the process (SIGABRT, "terminate called without an active
    exception"), so they are waited for here. Not to be called after an error: the other processes
    may never answer.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    # The group's threads end with its last user, thus not before the model is gone.
    gc.collect()  # a runner is a cycle; its model holds the group
    distributed.destroy_process_group()
