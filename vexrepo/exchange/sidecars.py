"""What stands beside a vmig file about it: compared before it is read, and told where it went."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vexrepo.errors import InvalidData, StoreError, VexError
from vexrepo.exchange.request import Transferred
from vexrepo.formats import sidecar
from vexrepo.formats.sidecar import Sidecar
from vexrepo.objects.timestamp import format_time
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.storage.files import Files

if TYPE_CHECKING:
    from vexrepo.remotes.stores.address import Address


def check_sidecar(store: JsonlStore) -> Sidecar | None:
    """Compare a file with what its sidecar says, if it has one, and return that.

    Raises: InvalidData (checksum-mismatch, sidecar-unreadable).
    """
    path = store.sidecar
    if not path.exists():
        return None
    said = _read_sidecar(path)
    found = sidecar.measure(line for _, line in store.lines())
    if said.record_count is not None and said.record_count != found.count:
        raise _mismatch(store, path, f"{found.count} records", f"{said.record_count}")
    if said.checksum is not None and said.checksum != found.text:
        # The original tool's is over the lines as it would print them.
        with contextlib.suppress(InvalidData):
            if said.checksum == sidecar.measure_printed(line for _, line in store.lines()).text:
                return said
        raise _mismatch(store, path, f"the checksum {found.text[:19]}…", f"{said.checksum[:19]}…")
    return said


def _read_sidecar(path: Path) -> Sidecar:
    try:
        return Sidecar.decode(path.read_bytes())
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", code="store-unreadable") from error
    except InvalidData as error:
        raise InvalidData(
            f"{path} cannot be understood: {error}; remove it, or pass it over with --ignore-sidecar", code=error.code
        ) from None


def _mismatch(store: JsonlStore, path: Path, found: str, said: str) -> InvalidData:
    return InvalidData(
        f"{store.path} has {found}, but {path.name} says {said}: the file was changed since, or not copied completely; "
        "if that is as it should be, --ignore-sidecar",
        code="checksum-mismatch",
    )


def note_import(origin: JsonlStore, target: Address, now_us: int, done: Transferred) -> None:
    """Write into a file's sidecar where it was imported to, and when."""
    path = origin.sidecar
    if not path.exists():
        return
    try:
        said = _read_sidecar(path)
        noted = {**said.extra, "imported_to": str(target), "imported_at": format_time(now_us)}
        Files().write(path, replace(said, extra=noted).encode())
    except VexError as error:
        done.notes.append(f"{path} could not be told of the import: {error}")
