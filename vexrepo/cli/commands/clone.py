"""``vex clone``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.commands.checkout import say_brought
from vexrepo.cli.hosting import as_place, reach_to, secrets_of
from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import emit, quiet, say
from vexrepo.cli.remotes import Remote, host_words, key, parse_url
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import counted, memories, plain, seconds_words, size_words
from vexrepo.errors import UsageError, VexError

if TYPE_CHECKING:
    from vexrepo.remotes.stores.address import Address
    from vexrepo.repository import CheckedOut, Repository
    from vexrepo.repository.cloning import Cloned
    from vexrepo.repository.core import Core


@click.command(
    epilog=example(
        "vex clone https://codeberg.org/alice/memory.git",
        "vex clone https://codeberg.org/alice/memory.git laptop --store vektor:laptop/agent.db",
        "vex clone git@github.com:alice/memory.git --recovery-key",
    )
)
@click.argument("url")
@click.argument("folder", required=False, metavar="[DIR]", type=click.Path(path_type=Path))
@click.option("--store", metavar="STORE", help="Bind it to this store, and bring the memory into it.")
@click.option("-b", "--branch", metavar="BRANCH", help="The branch to be on.  [default: main, or the only one]")
@click.option("-o", "--origin", metavar="NAME", default="origin", show_default=True, help="What to call the remote.")
@click.option("--recovery-key", is_flag=True, help="Open the remote with a recovery key; it is asked for.")
@as_json
@pass_edge
def clone(
    edge: Edge,
    url: str,
    folder: Path | None,
    store: str | None,
    branch: str | None,
    origin: str,
    recovery_key: bool,
    as_json: bool,
) -> None:
    """Make a repository of what a remote holds.

    The address and the passphrase (or a recipient's key, or a recovery key) are all it takes.  Every byte is checked
    before there is a repository.  Interrupted, the same command goes on where it was.  DIR is named after the address
    unless given.
    """
    from vexrepo.config import check_name
    from vexrepo.repository import Repository
    from vexrepo.repository.cloning import clone as make

    check_name("remote", origin)
    address = parse_url(url, home=Path.home())
    target = edge.address(store) if store is not None else None
    folder = folder or Path(_name_of(address))
    config = edge.config(None)
    remote = Remote(origin, address)
    secrets = secrets_of(edge, remote, Path.cwd())
    recovery = secrets.recovery_identity() if recovery_key else None
    reach = reach_to(edge, remote, None, secrets, recovery=recovery)

    def configure(made: Core) -> None:
        from vexrepo.config import write_values

        values: dict[str, Any] = {key(origin, "url"): address}
        if target is not None:
            values["workspace.store"] = edge.relative_to(folder, target)
        write_values(made.files, made.folder / "config.toml", values)
        made.config = edge.config(made.folder)

    edge.unsure = f"what was received is kept in {folder}; the same command goes on from there"
    around = edge.surroundings(config, trusts=True)
    repository, done = make(Repository, as_place(remote), folder, around, reach, branch=branch, configure=configure)
    secrets.accepted()
    key_of, fresh = _identity(edge, config["user.identity"])
    brought = None
    if target is not None and done.commit is not None:
        brought = _bring(repository, done, target)
    if as_json:
        emit(_to_json(repository, done, origin, address))
        return
    _say(edge, repository, done, folder, host_words(address))
    if fresh:
        from vexrepo.storage.keys import fingerprint

        say(f"  identity {fingerprint(key_of)} (new): it signs what you commit here")
    if brought is not None and target is not None:
        say_brought(brought, target)
    elif done.commit is not None:
        say(f"  put it into a store: {_there(folder)}vex checkout {plain(done.branch)} --to STORE")
    for said in done.said:
        say(f"note: {plain(said)}", err=True)
    if secrets.last:
        say(quiet(f"  to be asked no more here: {_there(folder)}vex remote recipient add {origin} --self"))


def _name_of(url: str) -> str:
    """Return the folder that an address suggests.  Raises: UsageError (bad-option)."""
    found = re.split(r"[/\\:]", url.rstrip("/\\"))[-1].removesuffix(".git")
    if not found or found in (".", ".."):
        raise UsageError("name the folder to clone into: vex clone URL DIR", code="bad-option")
    return found


def _there(folder: Path) -> str:
    return "" if os.path.abspath(folder) == os.getcwd() else f"cd {plain(str(folder))} && "


def _identity(edge: Edge, name: str) -> tuple[bytes, bool]:
    """Return the public key of the user's identity, and whether it was made now."""
    keys = edge.keys()
    fresh = name not in keys.names()
    return (keys.create(name).key if fresh else keys.look(name).key), fresh


def _bring(repository: Repository, done: Cloned, target: Address) -> CheckedOut:
    from vexrepo.repository.bringing import bring

    assert done.commit is not None
    try:
        return bring(repository, done.commit, target)
    except VexError as error:
        words = f"the memory is in {repository.folder}, and not in {target}: {error}"
        raise type(error)(words, code=error.code) from error


def _say(edge: Edge, repository: Repository, done: Cloned, folder: Path, where: str) -> None:
    parts = [memories(_records(repository, done))] if done.commit is not None else ["no branch yet"]
    parts.append(counted(done.commits, "commit"))
    if len(done.branches) > 1:
        parts.append(counted(len(done.branches), "branch", "branches"))
    parts += [size_words(done.sealed_bytes), seconds_words(edge.elapsed_s())]
    on = f" · on {plain(done.branch)}" if done.commit is not None else ""
    say(f"Cloned {where} into {plain(str(folder))}{on}: {' · '.join(parts)}")


def _records(repository: Repository, done: Cloned) -> int:
    root = repository.records_root(done.commit)
    return root.count if root else 0


def _to_json(repository: Repository, done: Cloned, origin: str, address: str) -> dict[str, Any]:
    return {
        "repository": os.path.abspath(repository.folder),
        "remote": origin,
        "url": address,
        "branch": done.branch,
        "commit": done.commit.hex() if done.commit else None,
        "branches": list(done.branches),
        "tags": list(done.tags),
        "records": _records(repository, done),
        "packs": done.packs,
        "objects": done.objects,
        "commits": done.commits,
        "sealed_bytes": done.sealed_bytes,
        "kept_bytes": done.kept_bytes,
        "notes": list(done.said),
    }
