"""``vex remote recipient``, ``recovery-key`` and ``passphrase``: who can read what a host holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.hosting import secrets_of, self_name, visiting
from vexrepo.cli.keyrings import remove_keyring
from vexrepo.cli.lazy import Entry, LazyGroup
from vexrepo.cli.options import REMOTE, as_json, example
from vexrepo.cli.output import added, emit, quiet, say
from vexrepo.cli.public_keys import named_key
from vexrepo.cli.remotes import find_remote, host_words
from vexrepo.cli.secrets import KEYRING_PASSPHRASE
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import plain
from vexrepo.errors import StateError, UsageError

if TYPE_CHECKING:
    from vexrepo.cli.remotes import Remote
    from vexrepo.cli.secrets import Secrets
    from vexrepo.remotes.hosts.members import SlotInfo
    from vexrepo.remotes.hosts.vault import Vault
    from vexrepo.repository import Repository

_HERE = "vexrepo.cli.commands.remote_keys"
_COMMANDS = {
    "add": Entry(f"{_HERE}:add", "Share a remote with somebody's key."),
    "list": Entry(f"{_HERE}:list_", "List who can open a remote."),
    "remove": Entry(f"{_HERE}:remove", "Take a key, or a passphrase, off a remote."),
}
_REKEY = (
    "who had it can still open what is there and what comes, until a new master key shuts them out: vex remote rekey {}"
)


@click.group(
    cls=LazyGroup,
    entries=_COMMANDS,
    epilog=example("vex remote recipient add backup alice.pub --name alice", "vex remote recipient list backup"),
)
def recipient() -> None:
    """Say who can open a remote, beside the passphrase.

    A recipient opens it with the identity that signs their commits, and needs no passphrase.  Whoever makes a remote is
    its first.
    """


@click.command(
    "list",
    epilog=example("vex remote recipient list backup"),
)
@click.argument("remote", required=False, metavar="[REMOTE]", type=REMOTE)
@as_json
@pass_edge
def list_(edge: Edge, remote: str | None, as_json: bool) -> None:
    """List who can open a remote.

    Asks the host; opening it takes a key or the passphrase.  Names are those that whoever added them chose.
    """
    from vexrepo.storage.keys import fingerprint

    repository = edge.repository(trusts=True)
    place = find_remote(repository.config, remote)
    secrets = secrets_of(edge, place, repository.root)
    with visiting(edge, repository, place, secrets) as vault:
        slots, used, old = vault.slots, vault.opened_by, vault.outdated_passphrases
    mine = set(edge.keys().public_keys())
    if as_json:
        emit([_slot_json(each, mine, used, old) for each in slots])
        return
    for each in slots:
        marks = ["this machine"] if each.key in mine else []
        marks += ["weaker than new ones: vex remote passphrase --upgrade"] if each in old else []
        shown = fingerprint(each.key) if each.key else each.id[:4] + " " + each.id[4:8]
        line = f"{plain(each.name):<24}  {each.kind if each.key is None else 'key':<10}  {shown}"
        say((added("* ") if each == used else "  ") + line + quiet("".join(f"  {mark}" for mark in marks)))


def _slot_json(each: SlotInfo, mine: set[bytes], used: SlotInfo | None, old: list[SlotInfo]) -> dict[str, Any]:
    value: dict[str, Any] = {"id": each.id, "kind": each.kind, "name": each.name, "opened_with": each == used}
    if each.key is not None:
        return {**value, "key": each.key.hex(), "mine": each.key in mine}
    assert each.cost is not None
    cost = {"memory_kib": each.cost.memory_kib, "passes": each.cost.passes, "lanes": each.cost.lanes}
    return {**value, "cost": cost, "outdated": each in old}


@click.command(
    "add",
    epilog=example(
        "vex remote recipient add backup alice.pub --name alice",
        "vex remote recipient add backup alice         a key that vex trust knows",
        "vex remote recipient add backup --self        this machine needs no passphrase any more",
    ),
)
@click.argument("remote", metavar="REMOTE", type=REMOTE)
@click.argument("key", required=False, metavar="[KEY]")
@click.option("--self", "own", is_flag=True, help="Your own key on this machine.")
@click.option("--name", metavar="NAME", help="What to call the key there; members see it, the host does not.")
@click.option("-n", "--dry-run", is_flag=True, help="Say whose key it would be; change nothing.")
@as_json
@pass_edge
def add(edge: Edge, remote: str, key: str | None, own: bool, name: str | None, dry_run: bool, as_json: bool) -> None:
    """Share a remote with somebody's key.

    KEY is 64 digits, a file (what vex key export printed), or the name of a key that vex trust knows.  Whoever has the
    identity can then read and write everything at the remote, now and later.  Compare its digits with what its owner
    tells you another way.
    """
    from vexrepo.remotes.hosts.members import Recipient
    from vexrepo.storage.keys import fingerprint

    if (key is None) != own:
        raise click.UsageError("expected a KEY, or --self for your own")
    repository = edge.repository(signs=not dry_run, trusts=True)
    place = find_remote(repository.config, remote)
    public, called = _own_key(edge, repository) if key is None else _public_key(edge, key)
    member = Recipient(name or called, public)
    secrets = secrets_of(edge, place, repository.root)
    if dry_run:
        say(f"would share {host_words(place.url)} with {plain(member.name)}, {fingerprint(public)}  {public.hex()}")
        return
    with visiting(edge, repository, place, secrets) as vault:
        slot = vault.add_recipient(member)
    if as_json:
        emit({"remote": place.name, "id": slot.id, "name": slot.name, "key": public.hex()})
        return
    say(f"{host_words(place.url)} is shared with {plain(slot.name)}, {fingerprint(public)}  {quiet(public.hex())}")
    if not own and repository.around.identity is not None:
        mine = repository.around.identity.key.hex()
        say(f"  who clones it by that key has to know yours: vex trust add {mine} --name {plain(edge.login())}")


def _own_key(edge: Edge, repository: Repository) -> tuple[bytes, str]:
    return edge.keys().look(repository.config["user.identity"]).key, self_name(edge, repository.config)


def _public_key(edge: Edge, text: str) -> tuple[bytes, str]:
    """Return a public key and what to call it.  Raises: as ``named_key``."""
    key, name = named_key(edge, text)
    stem = Path(text).name.split(".")[0] if os.path.isfile(text) else ""
    return key, name or stem or key.hex()[:8]


@click.command(
    "remove",
    epilog=example("vex remote recipient remove backup alice && vex remote rekey backup"),
)
@click.argument("remote", metavar="REMOTE", type=REMOTE)
@click.argument("who", metavar="NAME|KEY")
@click.option("-n", "--dry-run", is_flag=True, help="Say which it would be; change nothing.")
@as_json
@pass_edge
def remove(edge: Edge, remote: str, who: str, dry_run: bool, as_json: bool) -> None:
    """Take a key, or a passphrase, off a remote.

    NAME is as vex remote recipient list shows it; KEY the first digits of a key or slot.  Who had it has had the master
    key: vex remote rekey shuts them out of what comes.  What they have read they keep.
    """
    repository = edge.repository(signs=not dry_run, trusts=True)
    place = find_remote(repository.config, remote)
    with visiting(edge, repository, place, secrets_of(edge, place, repository.root)) as vault:
        slot = chosen_slot(vault, who, place)
        if not dry_run:
            vault.remove_slot(slot.id)
    if as_json:
        emit({"remote": place.name, "removed": not dry_run, "id": slot.id, "name": slot.name})
        return
    verb = "would take" if dry_run else "took"
    say(f"{verb} {plain(slot.name)} off {host_words(place.url)}")
    if not dry_run:
        say(f"  {_REKEY.format(place.name)}")


def chosen_slot(vault: Vault, who: str, place: Remote) -> SlotInfo:
    """Return the slot a user means.  Raises: UsageError (unknown-slot)."""
    digits = "".join(who.split()).lower()
    found = [each for each in vault.slots if each.name == who or each.id == who]
    if not found and len(digits) >= 4:
        found = [each for each in vault.slots if (each.key.hex() if each.key else each.id).startswith(digits)]
    if len(found) == 1:
        return found[0]
    where = host_words(place.url)
    if found:
        raise UsageError(
            f"{len(found)} key slots of {where} are called {who!r}: give the first digits of one, see `vex remote "
            f"recipient list {place.name}`",
            code="unknown-slot",
        )
    known = ", ".join(each.name for each in vault.slots)
    raise UsageError(f"none of those who can open {where} is called {who!r}; known: {known}", code="unknown-slot")


# -- a key on paper ----------------------------------------------------------------------------------------------------


@click.command(
    "recovery-key",
    epilog=example("vex remote recovery-key backup | lpr", "vex remote recovery-key backup --output key.txt"),
)
@click.argument("remote", metavar="REMOTE", type=REMOTE)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it into a new file.")
@click.option("--name", metavar="NAME", default="recovery key", show_default=True, help="What to call it there.")
@click.option("-n", "--dry-run", is_flag=True, help="Say whether it could be made; make none.")
@as_json
@pass_edge
def recovery_key(edge: Edge, remote: str, output: Path | None, name: str, dry_run: bool, as_json: bool) -> None:
    """Make a key to be kept on paper.

    It opens the remote when passphrase and machines are lost: vex clone URL --recovery-key asks for it.  It is shown
    once and kept nowhere.  vex remote recipient remove takes it off again.
    """
    from secrets import token_bytes

    from vexrepo.objects.signature import KEY_BYTES, public_key
    from vexrepo.remotes.hosts.members import Recipient
    from vexrepo.remotes.hosts.recovery import format_recovery

    if as_json and output is None and not dry_run:
        raise click.UsageError("--json does not show the key; name a file for it: --output FILE")
    if output is not None and os.path.lexists(output):
        raise StateError(f"{output} exists already; a key is never written over", code="file-exists")
    repository = edge.repository(signs=not dry_run, trusts=True)
    place = find_remote(repository.config, remote)
    seed = token_bytes(KEY_BYTES)
    with visiting(edge, repository, place, secrets_of(edge, place, repository.root)) as vault:
        if any(each.name == name for each in vault.slots):
            raise StateError(
                f"{host_words(place.url)} has a {name!r} already; give this one another --name, or remove that one: "
                f"vex remote recipient remove {place.name} {name!r}",
                code="recipient-exists",
            )
        if dry_run:
            _tell(
                as_json,
                place,
                "would be made",
                f"would add the {plain(name)} to {host_words(place.url)}",
                "recovery_key",
            )
            return
        if output is not None:
            _write_secret(output, format_recovery(seed))  # before it counts: a key nobody has is of no use
        slot = vault.add_recipient(Recipient(name, public_key(seed)))
    if as_json:
        emit({"remote": place.name, "id": slot.id, "name": slot.name, "file": str(output)})
        return
    if output is None:
        say(format_recovery(seed))
    where = f"in {plain(str(output))}; print it and remove the file" if output else "shown once"
    say(f"recovery key of {host_words(place.url)}, {where}.  Whoever has it can read everything there.", err=True)


def _write_secret(path: Path, text: str) -> None:
    from vexrepo.storage.files import Files

    Files().write(path, text.encode() + b"\n", mode=0o600)


# -- passphrase --------------------------------------------------------------------------------------------------------


@click.command(
    epilog=example(
        "vex remote passphrase backup",
        "vex remote passphrase backup --upgrade     the same one, at today's cost of guessing",
        "vex remote passphrase backup --keep        put it into the system's keyring",
    )
)
@click.argument("remote", required=False, metavar="[REMOTE]", type=REMOTE)
@click.option("--upgrade", is_flag=True, help="Keep the passphrase; make guessing it cost what it does for new ones.")
@click.option("--keep", is_flag=True, help="Put the passphrase into the system's keyring, after trying it.")
@click.option("--forget", is_flag=True, help="Take it out of the keyring.")
@click.option("--recovery-key", is_flag=True, help="Open the remote with a recovery key; it is asked for.")
@click.option("-n", "--dry-run", is_flag=True, help="Open the remote, and say what would be changed; change nothing.")
@as_json
@pass_edge
def passphrase(
    edge: Edge,
    remote: str | None,
    upgrade: bool,
    keep: bool,
    forget: bool,
    recovery_key: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Change a remote's passphrase.

    The new one is asked for twice, or comes from VEX_NEW_PASSPHRASE_FILE.  The remote is opened with your key, or the
    old passphrase.  Nothing is sealed anew: who knows the old one and kept a copy of the header can open what is there
    now; vex remote rekey shuts them out of what comes.
    """
    if sum((upgrade, keep, forget)) > 1 or (recovery_key and (upgrade or keep or forget)):
        raise click.UsageError("--upgrade, --keep, --forget and --recovery-key exclude each other")
    if dry_run and (keep or forget):
        raise click.UsageError("--dry-run is about the host: it does not go with --keep and --forget")
    repository = edge.repository(signs=not (keep or forget or dry_run), trusts=True)
    place = find_remote(repository.config, remote)
    where = host_words(place.url)
    if forget:
        gone = remove_keyring(KEYRING_PASSPHRASE, place.url)
        _tell(
            as_json,
            place,
            "forgotten" if gone else "not there",
            f"{where}: " + ("out of the keyring" if gone else "not in the keyring"),
        )
        return
    secrets = secrets_of(edge, place, repository.root)
    if keep:
        _keep(edge, repository, place, secrets)
        _tell(as_json, place, "kept", f"the passphrase of {where} is in the keyring")
        return
    recovery = secrets.recovery_identity() if recovery_key else None
    with visiting(edge, repository, place, secrets, identities=not upgrade, recovery=recovery) as vault:
        changed = _change(vault, secrets, upgrade=upgrade, dry_run=dry_run)
    if not changed:
        _tell(as_json, place, "unchanged", f"the passphrase of {where} costs as much to guess as new ones do")
        return
    if dry_run:
        what = "be upgraded" if upgrade else "be changed"
        _tell(as_json, place, f"would {what}", f"the passphrase of {where} would {what}")
        return
    in_keyring = secrets.renew_keyring()
    _tell(
        as_json,
        place,
        "upgraded" if upgrade else "changed",
        f"{where}: passphrase {'upgraded' if upgrade else 'changed'}" + "; the keyring has it" * in_keyring,
    )
    if not upgrade and not as_json:
        say(f"  {_REKEY.format(place.name)}")


def _change(vault: Vault, secrets: Secrets, *, upgrade: bool, dry_run: bool) -> bool:
    """Replace the passphrase slot; False where an upgrade finds nothing to do."""
    slots = [each for each in vault.slots if each.kind == "passphrase"]
    used = vault.opened_by
    if used is not None and used.kind == "passphrase":
        slots = [used]
    if upgrade:
        if not any(each in vault.outdated_passphrases for each in slots):
            return False
        if not dry_run:
            vault.change_passphrase(slots[0].id, secrets.last)
        return True
    if len(slots) > 1:
        raise UsageError(
            "there are several passphrases; open the remote with the one to change, or remove the others with "
            "`vex remote recipient remove`",
            code="unknown-slot",
        )
    if dry_run:
        return True
    fresh = secrets.another_passphrase()
    if slots:
        vault.change_passphrase(slots[0].id, fresh)
    else:
        vault.add_passphrase(fresh)
    return True


def _keep(edge: Edge, repository: Repository, place: Remote, secrets: Secrets) -> None:
    with visiting(edge, repository, place, secrets, identities=False):
        pass
    if not secrets.keep():
        raise StateError(
            "there is no keyring to put it into: install one (pip install 'vexrepo[keyring]'), or keep the passphrase "
            f"in a file: vex config set remote.{place.name}.passphrase_file FILE",
            code="no-keyring",
        )


def _tell(as_json: bool, place: Remote, result: str, line: str, what: str = "passphrase") -> None:
    if as_json:
        emit({"remote": place.name, what: result})
    else:
        say(line)
