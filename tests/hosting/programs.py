"""Programs that serve tests: a port for each, an end with the process that started it, a wait until it answers."""

from __future__ import annotations

import atexit
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_with_us(server: subprocess.Popen[Any], data: str | Path | None = None) -> None:
    """See that a program ends with this process, and the folder of its data with it."""

    def end() -> None:
        server.kill()
        server.wait(10)
        if data is not None:
            shutil.rmtree(data, ignore_errors=True)

    atexit.register(end)


def await_answer(
    server: subprocess.Popen[Any],
    name: str,
    answers: Callable[[], bool],
    *errors: type[Exception],
    tries: int = 600,
    said: Callable[[], str] = str,
) -> None:
    """Wait until a program answers; ``errors`` mean that it does not yet, ``said`` is what it printed if it ended."""
    for _ in range(tries):
        try:
            if answers():
                return
        except errors:
            pass
        assert server.poll() is None, f"{name} ended at once{said()}"
        time.sleep(0.1)
    raise AssertionError(f"{name} does not answer")
