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

from filelock import FileLock

from tests.node import missing
from vexrepo.remotes.stores.address import Address

VERSION = "1.5.9"
_ROOT = Path(__file__).resolve().parents[2]
_RUN = "import sys, chromadb_rust_bindings as engine; engine.cli(['chroma', 'run', *sys.argv[1:]])"
_NUMBER = itertools.count()


def _installed() -> Path:
    """Return a folder with the package: its server is a library that needs nothing else."""
    folder = _ROOT / ".pytest_cache" / f"chroma-{VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock", timeout=300):
        if not folder.exists():
            fresh = Path(f"{folder}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            install = ["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(fresh)]
            ran = subprocess.run(
                [sys.executable, "-m", "pip", *install, f"chromadb=={VERSION}"],
                check=False,
                capture_output=True,
                timeout=280,
            )
            if ran.returncode:
                missing(f"pip install chromadb=={VERSION} failed")
            fresh.rename(folder)
    return folder


@functools.cache
def port() -> int:
    """Return where the server listens, started at the first call and ended with the process."""
    package, data = _installed(), tempfile.mkdtemp(prefix="vex-chroma-")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
    command = [sys.executable, "-c", _RUN, "--path", data, "--host", "127.0.0.1", "--port", str(number)]
    environ = {**os.environ, "PYTHONPATH": str(package), "ANONYMIZED_TELEMETRY": "False"}
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
