"""``vex key``: your signing keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.describe_trust import limits, name_width
from vexrepo.cli.lazy import Entry, LazyGroup
from vexrepo.cli.options import OWN_KEY, as_json, example
from vexrepo.cli.output import added, emit, heading, quiet, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import iso, plain
from vexrepo.errors import InvalidData, StateError, UsageError
from vexrepo.objects.lookalike import skeleton

if TYPE_CHECKING:
    from vexrepo.storage.keys import KeyFile

_HERE = "vexrepo.cli.commands.keys"
_COMMANDS = {
    "new": Entry(f"{_HERE}:new", "Make a signing key."),
    "list": Entry(f"{_HERE}:list_", "List your keys."),
    "show": Entry(f"{_HERE}:show", "Show one of your keys."),
    "export": Entry(f"{_HERE}:export", "Print a public key, to give to others."),
    "import": Entry(f"{_HERE}:import_", "Take a private key from a file."),
    "passphrase": Entry(f"{_HERE}:passphrase", "Set, change or remove the passphrase of a key."),
    "rotate": Entry("vexrepo.cli.commands.rotate:rotate", "Replace a key by a new one that it vouches for."),
}
_keyring = click.option("--keyring", is_flag=True, help="Also keep the passphrase in the system's keyring.")


@click.group(cls=LazyGroup, entries=_COMMANDS, epilog=example("vex key list", "vex key export", "vex key rotate"))
def key() -> None:
    """Make, list, export or replace signing keys.

    Private keys are files in your own configuration folder that only you can read; they are never shown, and never
    in a repository.
    """


@click.command(
    "new", epilog=example("vex key new", "vex key new work --passphrase && vex config set user.identity work")
)
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--passphrase", "sealed", is_flag=True, help="Seal the private key with a passphrase.")
@_keyring
@as_json
@pass_edge
def new(edge: Edge, name: str | None, sealed: bool, keyring: bool, as_json: bool) -> None:
    """Make a signing key.

    NAME is "default" unless given; user.identity says which of your keys signs.  With --passphrase the file is of no
    use to who copies it; the passphrase is then asked for whenever the key signs, or comes from VEX_KEY_PASSPHRASE.
    """
    from vexrepo.storage.keys import fingerprint

    if keyring and not sealed:
        raise click.UsageError("--keyring goes with --passphrase")
    current = edge.config(edge.find())["user.identity"]
    name = name if name is not None else current
    keys = edge.keys()
    check_free(edge, name)
    identity = keys.create(name, edge.passphrases().new(f"the key {name}") if sealed else None)
    if keyring:
        _keep(edge, name)
    if as_json:
        emit({"name": name, "key": identity.key.hex(), "current": name == current, "sealed": sealed})
        return
    say(f"identity {plain(name)} {fingerprint(identity.key)} (new)")
    if name != current:
        say(f"  to sign with it: vex config set user.identity {plain(name)}")


def check_free(edge: Edge, name: str) -> None:
    """Raise StateError (key-exists) where a key of yours, or somebody else's known key, has that name."""
    keys = edge.keys()
    keys.check_name(name)
    if name in keys.names():
        raise StateError(f"an identity named {name!r} exists already; a key is never overwritten", code="key-exists")
    for each in edge.trust().read():
        if not each.is_own and skeleton(each.name) == skeleton(name):
            raise StateError(
                f"{name!r} is, or looks like, the name of a key you know (vex trust show {each.key.hex()}); choose "
                "another, so that signatures by the two can be told apart",
                code="key-exists",
            )


def _keep(edge: Edge, name: str) -> None:
    from vexrepo.cli.passphrases import keep

    opened = edge.keys().open(name)
    if opened.passphrase is not None and not keep(opened.identity.key, opened.passphrase):
        edge.warn("there is no keyring to keep the passphrase in; it will be asked for")


@click.command("list", epilog=example("vex key list --json"))
@as_json
@pass_edge
def list_(edge: Edge, as_json: bool) -> None:
    """List your keys.

    The one that signs is marked with *.
    """
    from vexrepo.storage.keys import fingerprint

    current = edge.config(edge.find())["user.identity"]
    keys = edge.keys()
    found = [keys.look(name) for name in keys.names()]
    if as_json:
        emit([_to_json(each, current) for each in found])
        return
    if not found:
        say("no keys yet; make one with vex key new")
    known = {each.key: each for each in edge.trust().read()}
    width = name_width(found)
    for each in found:
        line = f"{plain(each.name):<{width}}  {fingerprint(each.key)}  {quiet(each.key.hex())}"
        limited = limits(known[each.key], edge.now_us()) if each.key in known else ""
        for note in ("sealed" if each.is_sealed else "", limited):
            line += f"  {note}" if note else ""
        say(added("* ") + line if each.name == current else "  " + line)


def _to_json(each: KeyFile, current: str) -> dict[str, Any]:
    return {"name": each.name, "key": each.key.hex(), "current": each.name == current, "sealed": each.is_sealed}


@click.command("show", epilog=example("vex key show", "vex key show work --json"))
@click.argument("name", required=False, metavar="[NAME]", type=OWN_KEY)
@as_json
@pass_edge
def show(edge: Edge, name: str | None, as_json: bool) -> None:
    """Show one of your keys.

    Tells its public digits, its file and what limits it, never the private key.  NAME is the key that signs unless
    given.
    """
    from vexrepo.formats.signature_file import key_text
    from vexrepo.storage.keys import fingerprint

    current = edge.config(edge.find())["user.identity"]
    keys = edge.keys()
    found = keys.look(name if name is not None else current)
    known = {each.key: each for each in edge.trust().read()}.get(found.key)
    statement = keys.statement_path(found.name)
    rotation = str(statement) if statement.exists() else None
    if as_json:
        value = _to_json(found, current)
        value["ed25519"] = key_text(found.key)
        value["file"] = str(found.path)
        value["valid_until"] = iso(known.valid_until_us) if known and known.valid_until_us is not None else None
        value["revoked"] = known is not None and known.revoked_us is not None
        value["rotation"] = rotation
        emit(value)
        return
    say(heading(plain(found.name)) + f"  {fingerprint(found.key)}" + ("  (signs)" if found.name == current else ""))
    facts = [("key", found.key.hex()), ("", key_text(found.key)), ("file", plain(str(found.path)))]
    facts.append(("passphrase", "yes" if found.is_sealed else "none"))
    if known is not None:
        facts.append(("limits", limits(known, edge.now_us()) or "none"))
    if rotation is not None:
        facts.append(("rotation", f"{plain(rotation)}  (others: vex trust follow)"))
    for title, fact in facts:
        say(f"  {quiet(f'{title:<10}')} {fact}")


@click.command("export", epilog=example("vex key export > alice.pub", "vex key export work --private work.key"))
@click.argument("name", required=False, metavar="[NAME]", type=OWN_KEY)
@click.option("--private", metavar="FILE", type=click.Path(), help="Write the private key into this new file, too.")
@click.option("--plain", "is_plain", is_flag=True, help="Leave the passphrase out of FILE.")
@as_json
@pass_edge
def export(edge: Edge, name: str | None, private: str | None, is_plain: bool, as_json: bool) -> None:
    """Print a public key, to give to others.

    With --private the private key is written into FILE, readable by you only, as it is kept: a sealed one stays sealed
    with its passphrase, which is not asked for.  With --plain it is, and FILE is without.  It is never printed.
    """
    name = name if name is not None else edge.config(edge.find())["user.identity"]
    if is_plain and private is None:
        raise click.UsageError("--plain goes with --private")
    found = edge.keys().look(name)
    public = found.key
    if private is not None:
        from vexrepo.storage.files import Files
        from vexrepo.storage.keys import write_key_file

        if is_plain:
            write_key_file(Files(), Path(private), edge.keys().read(name))
        else:
            edge.keys().copy(name, Path(private))
    if as_json:
        emit({"name": name, "type": "ed25519", "key": public.hex(), "private": private})
    else:
        say(public.hex())
        if private is not None:
            needs = " and its passphrase" if found.is_sealed and not is_plain else ""
            say(f"the private key is in {plain(private)}: whoever has it{needs} signs as you", err=True)


@click.command("import", epilog=example("vex key import old-laptop.key", "vex key import memory.vmig.key archive"))
@click.argument("file", metavar="FILE", type=click.Path())
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--passphrase", "sealed", is_flag=True, help="Seal the private key with a passphrase.")
@_keyring
@as_json
@pass_edge
def import_(edge: Edge, file: str, name: str | None, sealed: bool, keyring: bool, as_json: bool) -> None:
    """Take a private key from a file.

    FILE is what vex key export --private wrote, or a key file of the original tool: hex: and 64 digits, base64:, or
    bare digits in a file named *.key.  It stays as it is.  NAME is that of the file unless given.  A sealed key keeps
    its passphrase.
    """
    from vexrepo.storage.keys import fingerprint, open_key_file

    path = Path(file)
    name = name if name is not None else path.name.removesuffix(".key").removesuffix(".vmig")
    opened = open_key_file(path, edge.passphrases().tries, edge.warn)
    _check_not_public(edge, path, opened.identity.seed)
    if sealed and opened.passphrase is not None:
        raise click.UsageError("the key has a passphrase, which it keeps; vex key passphrase changes it")
    if keyring and not (sealed or opened.passphrase):
        raise click.UsageError("--keyring goes with --passphrase")
    identity = replace(opened.identity, name=name)
    keys = edge.keys()
    other = keys.public_keys().get(identity.key)
    if other is not None:
        raise StateError(f"that key is yours already, as {other!r}; nothing was changed", code="key-exists")
    check_free(edge, name)
    secret = edge.passphrases().new(f"the key {name}") if sealed else opened.passphrase
    keys.keep(identity, secret)
    if keyring:
        _keep(edge, name)
    current = edge.config(edge.find())["user.identity"]
    if as_json:
        emit(_to_json(keys.look(name), current))
        return
    say(f"identity {plain(name)} {fingerprint(identity.key)}  {quiet(identity.key.hex())}")
    if name != current:
        say(f"  to sign with it: vex config set user.identity {plain(name)}")


def _check_not_public(edge: Edge, path: Path, seed: bytes) -> None:
    """Raise InvalidData (key-unreadable) where a private key is a public one, with which anybody could sign."""
    known = edge.trusted().keys.get(seed)
    if known is not None:
        raise InvalidData(
            f"{path} holds a public key, that of {known.name!r}: anybody could sign with a private key of those digits",
            code="key-unreadable",
        )


@click.command("passphrase", epilog=example("vex key passphrase", "vex key passphrase work --remove"))
@click.argument("name", required=False, metavar="[NAME]", type=OWN_KEY)
@click.option("--remove", is_flag=True, help="Keep the key without a passphrase.")
@_keyring
@as_json
@pass_edge
def passphrase(edge: Edge, name: str | None, remove: bool, keyring: bool, as_json: bool) -> None:
    """Set, change or remove the passphrase of a key.

    The old one is asked for (or taken from VEX_KEY_PASSPHRASE), and the new one (VEX_KEY_NEW_PASSPHRASE).  Copies of
    the file made before still open with the old one.
    """
    from vexrepo.cli.passphrases import forget, keep

    if remove and keyring:
        raise click.UsageError("--keyring and --remove exclude each other")
    name = name if name is not None else edge.config(edge.find())["user.identity"]
    keys = edge.keys()
    opened = keys.open(name)
    if remove and opened.passphrase is None:
        raise UsageError(f"the key {name} has no passphrase", code="bad-option")
    secret = None
    if not remove:
        secret = edge.passphrases().new(f"the key {name}", is_change=opened.passphrase is not None)
    keys.protect(opened.identity, secret)
    if opened.passphrase is not None:
        forget(opened.identity.key)
    if keyring and secret is not None and not keep(opened.identity.key, secret):
        edge.warn("there is no keyring to keep the passphrase in; it will be asked for")
    if as_json:
        emit({"name": name, "key": opened.identity.key.hex(), "sealed": secret is not None})
    else:
        say(f"the key {plain(name)} {'is sealed with its new passphrase' if secret else 'has no passphrase any more'}")
