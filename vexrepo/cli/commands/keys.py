"""``vex key``."""

from __future__ import annotations

import click

from vexrepo.cli.lazy import Entry, LazyGroup
from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import added, emit, quiet, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import plain

_HERE = "vexrepo.cli.commands.keys"
_COMMANDS = {
    "new": Entry(f"{_HERE}:new", "Make a signing key."),
    "list": Entry(f"{_HERE}:list_", "List your keys."),
    "export": Entry(f"{_HERE}:export", "Print a public key, to give to others."),
}


@click.group(cls=LazyGroup, entries=_COMMANDS, epilog=example("vex key list", "vex key export"))
def key() -> None:
    """Make, list or export signing keys.

    Private keys are files in your own configuration folder that only you can read; they are never shown, and never
    in a repository.
    """


@click.command("new", epilog=example("vex key new", "vex key new work && vex config set user.identity work"))
@click.argument("name", required=False, metavar="[NAME]")
@as_json
@pass_edge
def new(edge: Edge, name: str | None, as_json: bool) -> None:
    """Make a signing key.

    NAME is "default" unless given; user.identity says which of your keys signs.
    """
    from vexrepo.storage.keys import fingerprint

    current = edge.config(edge.find())["user.identity"]
    name = name if name is not None else current
    identity = edge.keys().create(name)
    if as_json:
        emit({"name": name, "key": identity.key.hex(), "current": name == current})
        return
    say(f"identity {plain(name)} {fingerprint(identity.key)} (new)")
    if name != current:
        say(f"  to sign with it: vex config set user.identity {plain(name)}")


@click.command("list", epilog=example("vex key list --json"))
@as_json
@pass_edge
def list_(edge: Edge, as_json: bool) -> None:
    """List your keys.

    The one that signs is marked with *.
    """
    from vexrepo.storage.keys import fingerprint

    current = edge.config(edge.find())["user.identity"]
    found = sorted((name, public) for public, name in edge.keys().public_keys().items())
    if as_json:
        emit([{"name": name, "key": public.hex(), "current": name == current} for name, public in found])
        return
    if not found:
        say("no keys yet; make one with vex key new")
    for name, public in found:
        line = f"{plain(name):<16}  {fingerprint(public)}  {quiet(public.hex())}"
        say(added("* ") + line if name == current else "  " + line)


@click.command("export", epilog=example("vex key export > alice.pub"))
@click.argument("name", required=False, metavar="[NAME]")
@as_json
@pass_edge
def export(edge: Edge, name: str | None, as_json: bool) -> None:
    """Print a public key, to give to others."""
    name = name if name is not None else edge.config(edge.find())["user.identity"]
    identity = edge.keys().read(name)
    if as_json:
        emit({"name": name, "type": "ed25519", "key": identity.key.hex()})
    else:
        say(identity.key.hex())
