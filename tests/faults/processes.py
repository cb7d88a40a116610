"""Programs that are started to be killed, and all processes that come of them."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple


class Ended(NamedTuple):
    """How a program ended.

    Args:
        status (int): Exit status; of a signal the negative number.
        seconds (float): From the fault, or from the start if there was none, to the end of all.
        orphans (int): Processes that outlived the program by more than a minute.
        stderr (str): What it said.
    """

    status: int
    seconds: float
    orphans: int
    stderr: str


class Program:
    """A program in a session of its own.

    Args:
        command (list): What to run.
        folder (Path): Where.
        log (Path): File for its output.
    """

    def __init__(self, command: list, folder: Path, log: Path) -> None:
        self.log = log
        self.begun = time.monotonic()
        with open(log, 'wb') as file:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        atexit.register(self.kill_all)  # where this program is interrupted itself

    def kill_all(self) -> None:
        for pid in self.members():
            os.kill(pid, signal.SIGKILL)

    def is_running(self) -> bool:
        return self.process.poll() is None

    def members(self) -> list[int]:
        """Return the processes of its session that are alive, the first one included."""
        found = []
        for path in Path('/proc').glob('[0-9]*/stat'):
            try:
                fields = path.read_text().rpartition(')')[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            # state, parent, group, session, as proc(5) has them after the name
            if fields[0] != 'Z' and int(fields[3]) == self.process.pid:
                found.append(int(path.parent.name))
        return found

    def children(self) -> list[int]:
        return [pid for pid in self.members() if pid != self.process.pid]

    def wait(self, timeout: float = 60) -> Ended:
        """Wait for the end of all its processes; kill those that stay."""
        start = time.monotonic()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        while self.members() and time.monotonic() - start < timeout:
            time.sleep(0.1)
        seconds = time.monotonic() - start
        left = self.members()
        self.kill_all()
        atexit.unregister(self.kill_all)
        text = self.log.read_text(encoding='utf-8', errors='replace')
        return Ended(self.process.wait(), seconds, len(left), text)
