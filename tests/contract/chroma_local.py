"""Chroma's embedded mode for tests: its package and what that needs to be imported, installed aside.

What it names as needed is 300 MB, most of it for servers and models: only what it imports is installed.
"""

from __future__ import annotations

import functools
import itertools
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from tests.contract.chroma_server import _ROOT, _installed
from tests.node import missing
from vexrepo.remotes.stores.address import Address

_NEEDED = (
    "googleapis-common-protos==1.76.0", "opentelemetry-api==1.45.2", "opentelemetry-exporter-otlp-common==0.66b2",
    "opentelemetry-exporter-otlp-proto-common==1.45.2", "opentelemetry-exporter-otlp-proto-grpc==1.45.2",
    "opentelemetry-proto==1.45.2", "opentelemetry-sdk==1.45.2", "opentelemetry-semantic-conventions==0.66b2",
    "overrides==7.7.0", "pybase64==1.5.1", "pydantic-settings==2.16.3", "tenacity==9.2.1", "tqdm==4.70.1",
)  # fmt: skip
_NUMBER = itertools.count()


@functools.cache
def importable() -> None:
    """Let ``chromadb`` be imported: after everything else, so that nothing of ours gets another version."""
    folder = _ROOT / ".pytest_cache" / "chroma-local"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock", timeout=300):
        if not folder.exists():
            fresh = Path(f"{folder}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            install = ["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(fresh)]
            command = [sys.executable, "-m", "pip", *install, *_NEEDED]
            ran = subprocess.run(command, check=False, capture_output=True, timeout=280)
            if ran.returncode:
                missing("pip install of what chromadb needs failed")
            fresh.rename(folder)
    sys.path += [str(_installed()), str(folder)]


def new_address(folder: Path, options: dict[str, str] | None = None) -> Address:
    """Return the address of a collection of a folder that is not there yet."""
    importable()
    return Address("chroma", str(folder / "chroma"), {"collection": f"agent-{next(_NUMBER)}", **(options or {})})
