"""``vex remote``: the list of remotes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.lazy import Entry, LazyGroup
from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import emit, quiet, say
from vexrepo.cli.remotes import Remote, find_remote, hidden, key, parse_url, read_remotes
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.errors import StateError

if TYPE_CHECKING:
    from vexrepo.config import Config

_HERE = "vexrepo.cli.commands"
_SETUP, _KEYS, _CARE = "The list", "Who can read", "Care"
_COMMANDS = {
    "add": Entry(f"{_HERE}.remote:add", "Name the repository of a Git host.", _SETUP),
    "list": Entry(f"{_HERE}.remote:list_", "List the remotes.", _SETUP),
    "set-url": Entry(f"{_HERE}.remote:set_url", "Change a remote's address.", _SETUP),
}


@click.group(
    cls=LazyGroup,
    entries=_COMMANDS,
    epilog=example("vex remote add backup https://codeberg.org/alice/memory.git && vex push backup", "vex remote list"),
)
def remote() -> None:
    """Keep an encrypted copy at a Git host.

    A remote is a repository at any Git host (Codeberg, GitHub, GitLab, Gitea, an account reached by ssh) or in a
    folder.  The host gets sealed packs under random names: it sees their sizes and when they came, nothing else.
    """


def repository_folder(edge: Edge) -> Path:
    """Return the ``.vex`` folder.  Raises: NoRepository."""
    folder = edge.find()
    if folder is None:
        edge.no_repository()
    return folder


def _write(edge: Edge, folder: Path, values: dict[str, Any]) -> None:
    from vexrepo.config import write_values
    from vexrepo.storage.files import Files

    write_values(Files(), folder / "config.toml", values)


def _check_new(config: Config, name: str) -> None:
    from vexrepo.config import check_name

    check_name("remote", name)
    if name in config.names("remote"):
        raise StateError(
            f"there is a remote {name} already, at {hidden(config[key(name, 'url')])}; choose another name, or "
            f"`vex remote set-url {name} URL`",
            code="remote-exists",
        )


@click.command(
    epilog=example(
        "vex remote add backup https://codeberg.org/alice/memory.git",
        "vex remote add nas ssh://alice@nas.local/srv/memory.git",
        "vex remote add disk /media/disk/memory.git --passphrase-file ~/.config/vex-passphrase",
    )
)
@click.argument("name")
@click.argument("url")
@click.option(
    "--provider",
    type=click.Choice(["github", "codeberg", "gitea", "forgejo", "gitlab"]),
    help="Whose interface the host speaks, where its address does not tell.",
)
@click.option("--user", metavar="NAME", help="User name that goes with the token, where the host asks for one.")
@click.option("--passphrase-file", metavar="FILE", help="Where the passphrase is kept.")
@click.option("--passphrase-command", metavar="COMMAND", help="A program that prints it, e.g. 'pass show memory'.")
@click.option("--token-command", metavar="COMMAND", help="A program that prints the host's access token.")
@as_json
@pass_edge
def add(edge: Edge, /, name: str, url: str, as_json: bool, **given: str | None) -> None:
    """Name the repository of a Git host.

    URL is https://…, ssh://…, git@host:path, or a folder.  Nothing is sent yet, and no secret is kept: the passphrase
    and the token come from the environment, the files or programs named here, the keyring, git's credential helper,
    or are asked for when they are needed.  An empty repository is made ours by the first vex push.
    """
    folder = repository_folder(edge)
    config = edge.config(folder)
    _check_new(config, name)
    address = parse_url(url, home=Path.home())
    values: dict[str, Any] = {"url": address, **{last: value for last, value in given.items() if value}}
    if values.get("passphrase_file"):
        values["passphrase_file"] = os.path.abspath(os.path.expanduser(values["passphrase_file"]))
    same = [each.name for each in read_remotes(config) if each.url == address]
    _write(edge, folder, {key(name, last): value for last, value in values.items()})
    if as_json:
        emit({"name": name, **values})
        return
    say(f"remote {name}: {hidden(address)}")
    if same:
        say(f"  {' and '.join(same)} has the same address")
    say(f"  send it your memory: vex push {name}        take what it has: vex fetch {name}")


@click.command("list", epilog=example("vex remote list", "vex remote list --json"))
@as_json
@pass_edge
def list_(edge: Edge, as_json: bool) -> None:
    """List the remotes."""
    config = edge.config(repository_folder(edge))
    found = read_remotes(config)
    if as_json:
        emit([_to_json(each) for each in found])
        return
    if not found:
        say("no remotes yet; add one with vex remote add NAME URL")
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        say(
            f"{each.name:<{width}}  {hidden(each.url) or '(no address)'}"
            + quiet(f"  {each.provider}" * bool(each.provider))
        )


@click.command("set-url", epilog=example("vex remote set-url backup ssh://git@codeberg.org/alice/memory.git"))
@click.argument("name")
@click.argument("url")
@as_json
@pass_edge
def set_url(edge: Edge, name: str, url: str, as_json: bool) -> None:
    """Change a remote's address.

    The host's repository has moved, or is reached another way; what is known of its branches stays.
    """
    folder = repository_folder(edge)
    config = edge.config(folder)
    if name not in config.names("remote"):
        find_remote(config, name)
    address = parse_url(url, home=Path.home())
    _write(edge, folder, {key(name, "url"): address})
    if as_json:
        emit({"name": name, "url": address})
    else:
        say(f"remote {name}: {hidden(address)}")


def _to_json(each: Remote) -> dict[str, Any]:
    return {"name": each.name, "url": hidden(each.url), "provider": each.provider or None}
