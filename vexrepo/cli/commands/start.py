"""``vex init`` and ``vex help``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import emit, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import plain

if TYPE_CHECKING:
    from vexrepo.remotes.stores.address import Address
    from vexrepo.repository import Repository
    from vexrepo.storage.keys import Identity, KeyFile


@click.command(epilog=example("vex init --store vektor:agent.db", "vex init memories --store agent.vmig.jsonl"))
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path())
@click.option("--store", metavar="STORE", help="The store with the agent's live memory, e.g. vektor:agent.db.")
@as_json
@pass_edge
def init(edge: Edge, folder: str, store: str | None, as_json: bool) -> None:
    """Make a repository for an agent's memory.

    The repository is the folder .vex in DIR (default: here).  With --store it is bound to the store that holds
    the live memory, its workspace, so that other commands need not name it.  If you have no signing key yet,
    one is made and kept in your own configuration folder, never beside the data.
    """
    address = edge.address(store) if store is not None else None
    repository, identity, fresh = make_repository(edge, Path(folder), address)
    missing = address is not None and address.is_path and not os.path.exists(address.location)
    if as_json:
        emit(
            {
                "repository": os.path.abspath(repository.folder),
                "workspace": repository.store_name(address) if address else None,
                "identity": {"name": identity.name, "key": identity.key.hex(), "new": fresh},
            }
        )
        return
    say(made_words(repository, address, identity, fresh))
    if missing and address is not None:
        say(f"  there is no {plain(address.location)} yet: it is read at the first commit, or made by a checkout")
    elif address is None:
        say("  name the store each time (--from STORE), or bind it: vex config set workspace.store STORE")


def make_repository(edge: Edge, parent: Path, address: Address | None) -> tuple[Repository, Identity | KeyFile, bool]:
    """Make a repository, and an identity if there is none yet; return both and whether the identity is new.

    Raises: StateError (repository-exists), WrongKey, StorageFailure.
    """
    from vexrepo.repository import Repository

    config = edge.config(None)
    name = config["user.identity"]
    keys = edge.keys()
    identity: Identity | KeyFile | None = None
    if (parent / ".vex" / "format").exists():
        fresh = False  # refused below: no key is made for that
    else:
        fresh = name not in keys.names()
        identity = keys.create(name) if fresh else keys.look(name)
    around = edge.surroundings(config)
    repository = Repository.init(parent, around, store=str(address) if address else None)
    assert identity is not None
    return repository, identity, fresh


def made_words(repository: Repository, address: Address | None, identity: Identity | KeyFile, fresh: bool) -> str:
    """Return ``Memory repository in .vex · workspace vektor:agent.db · identity 4f2a 91c0 (new)``."""
    from vexrepo.storage.keys import fingerprint

    workspace = f"workspace {plain(str(address))}" if address else "no workspace store"
    key = fingerprint(identity.key) + (" (new)" if fresh else "")
    return f"Memory repository in {plain(str(repository.folder))} · {workspace} · identity {key}"


@click.command("help", epilog=example("vex help commit"))
@click.argument("command", nargs=-1)
@click.pass_context
def help_(ctx: click.Context, command: tuple[str, ...]) -> None:
    """Show the help of a command."""
    at = ctx.find_root()
    for name in command:
        group = at.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"{at.command_path} has no commands of its own", at)
        _, found, _ = group.resolve_command(at, [name])
        assert found is not None
        at = click.Context(found, info_name=name, parent=at)
    click.echo(at.get_help())
