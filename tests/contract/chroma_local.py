"""Chroma's embedded mode for tests: its package and what that needs to be imported, installed aside.

What it names as needed is 300 MB, most of it for servers and models: only what it imports is installed.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from tests.contract.chroma_server import package
from tests.packages import installed

_NEEDED = (
    "googleapis-common-protos==1.76.0", "opentelemetry-api==1.45.2", "opentelemetry-exporter-otlp-common==0.66b2",
    "opentelemetry-exporter-otlp-proto-common==1.45.2", "opentelemetry-exporter-otlp-proto-grpc==1.45.2",
    "opentelemetry-proto==1.45.2", "opentelemetry-sdk==1.45.2", "opentelemetry-semantic-conventions==0.66b2",
    "overrides==7.7.0", "pybase64==1.5.1", "pydantic-settings==2.16.3", "tenacity==9.2.1", "tqdm==4.70.1",
)  # fmt: skip


def needed() -> Path:
    """Return a folder with what the package imports."""
    return installed("chroma-local", *_NEEDED)


@functools.cache
def importable() -> None:
    """Let ``chromadb`` be imported: after everything else, so that nothing of ours gets another version."""
    sys.path += [str(package()), str(needed())]
