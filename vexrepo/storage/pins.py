"""What this machine remembers of a repository, outside of it: its newest operation, and since when it has been known.

One file a repository in the user's state folder.  Format: objects/FORMAT.md, "Files of a repository".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import orjson

from vexrepo.errors import UsageError
from vexrepo.objects.digest import OperationId
from vexrepo.storage.files import Files


@dataclass(frozen=True, slots=True)
class Pin:
    """The newest operation seen of a repository, and when it was seen here first (microseconds since 1970).

    ``since_us`` is None in a pin of a vexrepo that did not keep it.
    """

    operation: OperationId
    sequence: int
    since_us: int | None


def read_pin(path: Path) -> Pin | None:
    """Return the pin in a file, None where there is none that can be read."""
    try:
        match orjson.loads(path.read_bytes()):
            case {"operation": str(operation), "sequence": int(sequence), **rest}:
                since = rest.get("since_us")
                return Pin(OperationId.parse(operation), sequence, since if type(since) is int else None)
    except (OSError, ValueError, UsageError):
        pass
    return None


def write_pin(files: Files, path: Path, pin: Pin, folder: str) -> None:
    """Write a pin; ``folder`` says where the repository is.  Raises: StorageFailure."""
    content = {"operation": pin.operation.hex(), "sequence": pin.sequence, "folder": folder, "since_us": pin.since_us}
    files.make_folder(path.parent)
    files.write(path, orjson.dumps(content))
