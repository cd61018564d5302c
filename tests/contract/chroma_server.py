"""A Chroma server for tests: the real one, of its package, which is installed without its dependencies and aside."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.packages import installed
from vexrepo.remotes.stores.address import Address

VERSION = "1.5.9"
_RUN = "import sys, chromadb_rust_bindings as engine; engine.cli(['chroma', 'run', *sys.argv[1:]])"
_NUMBER = itertools.count()


def package() -> Path:
    """Return a folder with the package: its server is a library that needs nothing else."""
    return installed(f"chroma-{VERSION}", f"chromadb=={VERSION}")


@functools.cache
def port() -> int:
    """Return where the server listens, started at the first call and ended with the process."""
    folder, data = package(), tempfile.mkdtemp(prefix="vex-chroma-")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
    command = [sys.executable, "-c", _RUN, "--path", data, "--host", "127.0.0.1", "--port", str(number)]
    environ = {**os.environ, "PYTHONPATH": str(folder), "ANONYMIZED_TELEMETRY": "False"}
    server = subprocess.Popen(
        command, env=environ, cwd=data, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def end() -> None:
        server.kill()
        server.wait(10)
        shutil.rmtree(data, ignore_errors=True)

    atexit.register(end)
    for _ in range(200):
        try:
            with urlopen(f"http://127.0.0.1:{number}/api/v2/heartbeat", timeout=5):
                return number
        except (URLError, ConnectionError):
            assert server.poll() is None, "the Chroma server ended at once"
            time.sleep(0.1)
    raise AssertionError("the Chroma server does not answer")


def new_address(options: dict[str, str] | None = None) -> Address:
    """Return the address of a collection that is not there yet."""
    return Address("chroma", f"//127.0.0.1:{port()}/agent-{next(_NUMBER)}", options or {})
