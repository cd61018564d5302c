"""``vex trust``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vexrepo.cli.lazy import Entry, LazyGroup
from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import emit, quiet, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import iso, plain
from vexrepo.errors import InvalidData

if TYPE_CHECKING:
    from vexrepo.objects.trust import KnownKey

_HERE = "vexrepo.cli.commands.trust"
_COMMANDS = {
    "add": Entry(f"{_HERE}:add", "Take a public key as known."),
    "list": Entry(f"{_HERE}:list_", "List the known keys."),
    "remove": Entry(f"{_HERE}:remove", "Forget a key."),
}


@click.group(cls=LazyGroup, entries=_COMMANDS, epilog=example("vex trust add alice.pub --name alice", "vex trust list"))
def trust() -> None:
    """Say whose keys you know.

    A signature says something only if you know whose key made it.  Add a key when its owner told you its digits over
    another way than the one the data came; a key found in a file proves nothing about who signed.  Your own keys
    (vex key list) always count.
    """


@click.command("add", epilog=example("vex trust add alice.pub --name alice", "vex trust add ed25519:BASE64 --name bob"))
@click.argument("key", metavar="KEY")
@click.option("--name", metavar="NAME", help="Whose it is; default: the name of the file, or the key's first digits.")
@as_json
@pass_edge
def add(edge: Edge, key: str, name: str | None, as_json: bool) -> None:
    """Take a public key as known.

    KEY is 64 digits, ed25519: and base64, or a file: what vex key export printed, or a .vmig.sig, whose key is taken.
    """
    from vexrepo.storage.keys import fingerprint
    from vexrepo.storage.trust import parse_public_key

    if os.path.isfile(key):
        public = _key_in(Path(key))
        default = Path(key).name.split(".")[0]
    else:
        public = parse_public_key(key, "KEY")
        default = ""
    name = name if name is not None else default or public.hex()[:8]
    fresh = edge.trust().add(name, public, iso(edge.now_us()))
    if as_json:
        emit({"name": name, "key": public.hex(), "new": fresh})
        return
    say(f"{'now known' if fresh else 'known already'}: {fingerprint(public)} as {plain(name)}  {quiet(public.hex())}")
    if fresh and key.endswith(".sig"):
        say("  its digits came with the data: compare them with what the signer tells you another way")


def _key_in(path: Path) -> bytes:
    """Return the public key in a file.  Raises: InvalidData (key-unreadable, weak-key, signature-file-corrupt)."""
    from vexrepo.formats import signature_file
    from vexrepo.objects.signature import is_proper_key
    from vexrepo.storage.trust import parse_public_key

    raw = b""
    if path.stat().st_size <= signature_file.MAX_BYTES:
        raw = path.read_bytes()
    if raw.lstrip().startswith(b"{"):
        key = signature_file.decode(raw, strict=False).key
        if is_proper_key(key):
            return key
        raw = key.hex().encode()
    elif raw.startswith((b"hex:", b"base64:")):
        raise InvalidData(
            f"{path} holds a private key: leave that with its owner and take what `vex key export` prints",
            code="key-unreadable",
        )
    return parse_public_key(raw[:1000].decode("ascii", "replace"), str(path))


@click.command("list", epilog=example("vex trust list --json"))
@as_json
@pass_edge
def list_(edge: Edge, as_json: bool) -> None:
    """List the known keys."""
    from vexrepo.storage.keys import fingerprint

    found = edge.trust().read()
    if as_json:
        emit([_to_json(each) for each in found])
        return
    if not found:
        say("no keys known but your own; take one with vex trust add KEY --name NAME")
    for each in found:
        say(f"{plain(each.name):<16}  {fingerprint(each.key)}  {quiet(each.key.hex())}")


@click.command("remove", epilog=example("vex trust remove alice"))
@click.argument("key", metavar="NAME|KEY")
@as_json
@pass_edge
def remove(edge: Edge, key: str, as_json: bool) -> None:
    """Forget a key.

    Signatures by it are then by an unknown key; nothing else changes.
    """
    from vexrepo.storage.keys import fingerprint

    gone = edge.trust().remove(key)
    if as_json:
        emit(_to_json(gone))
    else:
        say(f"forgotten: {fingerprint(gone.key)} ({plain(gone.name)})  {quiet(gone.key.hex())}")


def _to_json(each: KnownKey) -> dict[str, str]:
    return {"name": each.name, "key": each.key.hex(), "added_at": each.added_at}
