"""Which policy counts for a source that a user named, or that a command reads from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vexrepo.errors import UsageError
from vexrepo.objects.sources import FILE, REMOTE, Ruling, Source, SourceKind

if TYPE_CHECKING:
    from vexrepo.config import Config
    from vexrepo.remotes.stores.address import Address


def parse_source(text: str, config: Config) -> Source:
    """Return the source a user named: a remote, a file or folder, or a store.

    ``remote:``, ``file:`` and the kind of a store say which; without, it is a file that is there, a path, or a remote.
    Raises: UsageError (bad-option, bad-address, unknown-store).
    """
    from vexrepo.cli.surroundings import Edge

    if text.startswith(REMOTE):
        return Source(SourceKind.REMOTE, text.removeprefix(REMOTE))
    if text.startswith(FILE):
        return file_source(text.removeprefix(FILE))
    if text.startswith((".", "~", os.sep)) or os.path.exists(text):
        return file_source(text)
    if ":" in text:
        return store_source(Edge.named(text))
    if text in config.names("remote"):
        return Source(SourceKind.REMOTE, text)
    if os.sep in text:
        return file_source(text)
    raise UsageError(
        f"{text!r} is no remote, no file that is there, and no address of a store; say which it is to be: "
        f"remote:{text}, file:{text} or e.g. qdrant://host:6333/{text}",
        code="bad-option",
    )


def file_source(path: str) -> Source:
    """Return a file or folder as a source."""
    return Source(SourceKind.FILE, Path(os.path.realpath(os.path.expanduser(path))).as_posix())


def store_source(address: Address) -> Source:
    """Return a store as a source: a file where it is one."""
    return file_source(address.location) if address.is_path else Source(SourceKind.STORE, str(address))


def ruling(source: Source, config: Config, folder: Path | None) -> Ruling:
    """Return the policy that counts for a source, and where it was set; ``folder`` is the ``.vex`` folder.

    Raises: InvalidData (bad-config).
    """
    from vexrepo.config import policy_for

    return policy_for(config, source, Path(os.path.realpath(folder.parent)) if folder is not None else None)
