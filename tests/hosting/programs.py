"""Programs that serve tests: a port for each, an end with the process that started it, a wait until it answers."""

from __future__ import annotations

import atexit
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

_CHANCE = random.SystemRandom()  # others run tests with the same seed


def free_port() -> int:
    """Return a port that was free a moment ago.

    It is below those that the kernel gives to connections: one of these, of any test, could have it before the server.
    """
    while True:
        number = _CHANCE.randrange(11_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", number))
            return number


def end_with_us(server: subprocess.Popen[Any], data: str | Path | None = None) -> None:
    """See that a program ends with this process, and the folder of its data with it."""

    def end() -> None:
        server.kill()
        server.wait()
        if data is not None:
            shutil.rmtree(data, ignore_errors=True)

    atexit.register(end)


def await_answer(
    server: subprocess.Popen[Any],
    name: str,
    answers: Callable[[], bool],
    *errors: type[Exception],
    said: Callable[[], str] = str,
) -> None:
    """Wait until a program answers; ``errors`` mean that it does not yet, ``said`` is what it printed if it ended."""
    deadline = time.monotonic() + 200  # a busy machine; a test as a whole may take 300 s
    while time.monotonic() < deadline:
        try:
            if answers():
                return
        except errors:
            pass
        assert server.poll() is None, f"{name} ended at once{said()}"
        time.sleep(0.02)
    raise AssertionError(f"{name} does not answer")
