"""Which repository and database ``vex sync`` is about."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vexrepo.cli.remotes import Remote, key, read_remote
from vexrepo.errors import StateError, UsageError

if TYPE_CHECKING:
    from vexrepo.cli.surroundings import Edge
    from vexrepo.remotes.stores.address import Address
    from vexrepo.repository import Repository

REMOTE = "sync"


@dataclass(frozen=True, slots=True)
class Synced:
    """What is synced: a repository, its remote, and the database, as reached from the current folder."""

    repository: Repository
    remote: Remote
    database: Address


def named_database(edge: Edge, given: str | None) -> Address | None:
    """Return the database that a flag names, or the environment as the original tool reads it; None if neither does.

    Raises: UsageError (bad-address, unknown-store).
    """
    text = given or edge.environ.get("VEKTOR_DB") or edge.environ.get("VEKTOR_DB_PATH")
    if not text:
        return None
    from vexrepo.remotes.stores.address import Address, parse_address
    from vexrepo.remotes.stores.registry import kinds

    kind, colon, _ = text.partition(":")
    if (colon and kind in kinds()) or text.endswith(".jsonl"):
        address = parse_address(text)
        return Address(address.kind, os.path.expanduser(address.location), address.options)
    return Address("vektor", os.path.expanduser(text))


def folder_of(address: Address) -> Path:
    """Return the folder a database is in, where the repository beside it is.  Raises: UsageError (bad-address)."""
    if not address.is_path:
        raise UsageError(
            f"{address} is no file: vex sync is about databases on this machine; `vex remote` and `vex push` do it for "
            "the rest",
            code="bad-address",
        )
    return Path(os.path.dirname(os.path.abspath(address.location)))


def bound_repository(edge: Edge, address: Address) -> Path | None:
    """Return the ``.vex`` folder of the repository that looks after a database: around the current one, or beside it.

    Raises: StateError (repository-exists) where the one beside it has another workspace.
    """
    around, beside = edge.find(), folder_of(address) / ".vex"
    for folder in (around, beside):
        if folder is None or not (folder / "format").exists():
            continue
        bound = edge.config(folder)["workspace.store"]
        if bound and _place(edge, bound, folder) == os.path.abspath(address.location):
            return folder
        if folder == beside:
            raise StateError(
                f"the repository {folder} beside {address.location} looks after {bound or 'no store'}; bind it with "
                f"`vex -C {folder.parent} config set workspace.store {address}`, or move the database into a folder of "
                "its own",
                code="repository-exists",
            )
    return None


def _place(edge: Edge, text: str, folder: Path) -> str:
    return os.path.abspath(edge.address(text).under(str(folder.parent)).location)


def find_synced(edge: Edge, given: str | None, *, signs: bool = False) -> Synced:
    """Return what is to be synced: around the current folder, beside the database named, or what was set up last.

    A database that is named is the one to read or write, whichever repository it is.
    Raises: UsageError (unknown-remote) where nothing is set up.
    """
    address = named_database(edge, given)
    folders = [edge.find(), folder_of(address) / ".vex" if address is not None else None]
    last = edge.config(None)["sync.database"]
    if last:
        folders.append(folder_of(edge.address(last)) / ".vex")
    for folder in folders:
        if folder is None or not (folder / "format").exists():
            continue
        config = edge.config(folder)
        if REMOTE in config.names("remote") and config[key(REMOTE, "url")]:
            repository = edge.open(folder, signs=signs, trusts=True)
            return Synced(repository, read_remote(config, REMOTE), address or repository.workspace())
    raise UsageError(
        "nothing is set up to be synced: vex sync init --provider codeberg --owner NAME --repo NAME --db FILE",
        code="unknown-remote",
    )
