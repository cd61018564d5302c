"""A Chroma server for tests: the real one, of its package, which is installed without its dependencies and aside."""

from __future__ import annotations

import functools
import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tests.hosting.programs import await_answer, end_with_us, free_port
from tests.hosting.scripted import Request as HttpRequest
from tests.hosting.scripted import Said, ScriptedServer
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
    number = free_port()
    command = [sys.executable, "-c", _RUN, "--path", data, "--host", "127.0.0.1", "--port", str(number)]
    environ = {**os.environ, "PYTHONPATH": str(folder), "ANONYMIZED_TELEMETRY": "False"}
    server = subprocess.Popen(
        command, env=environ, cwd=data, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end_with_us(server, data)

    def answers() -> bool:
        with urlopen(f"http://127.0.0.1:{number}/api/v2/heartbeat", timeout=60):
            return True

    await_answer(server, "the Chroma server", answers, URLError, ConnectionError)
    return number


def new_address(options: dict[str, str] | None = None) -> Address:
    """Return the address of a collection that is not there yet."""
    return Address("chroma", f"//127.0.0.1:{port()}/agent-{next(_NUMBER)}", options or {})


class Front(ScriptedServer):
    """Stands before the real server."""

    def __init__(self) -> None:
        self.key: str | None = None
        self.most_bytes = 1 << 30
        self.behind = port()
        super().__init__()

    def address(self, collection: Address, **more: Any) -> Address:
        """Return the address of a collection by way of this front."""
        name = collection.location.rpartition("/")[2]
        return Address("chroma", f"//{self.host}/{name}", collection.options, **more)

    def respond(self, request: HttpRequest) -> Said:
        if self.key is not None and request.headers.get("x-chroma-token") != self.key:
            return 401, {}, b'{"error":"AuthError","message":"Unauthorized"}'
        if len(request.body) > self.most_bytes:
            return 413, {}, b"length limit exceeded"
        path = f"{request.path}?{request.query}" if request.query else request.path
        passed = Request(f"http://127.0.0.1:{self.behind}{path}", request.body or None, method=request.method)
        passed.add_header("Content-Type", "application/json")
        try:
            with urlopen(passed, timeout=120) as found:
                return found.status, {}, found.read()
        except HTTPError as error:
            with error:
                return error.code, {}, error.read()
