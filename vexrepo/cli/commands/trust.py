"""``vex trust``: whose keys count."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vexrepo.cli.describe_trust import key_name, known_json, known_lines, limits, name_width
from vexrepo.cli.lazy import Entry, LazyGroup
from vexrepo.cli.options import KNOWN_KEY, as_json, example, names_in, point_in_time
from vexrepo.cli.output import emit, heading, quiet, say
from vexrepo.cli.public_keys import key_in
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import iso, plain
from vexrepo.errors import UsageError

if TYPE_CHECKING:
    from vexrepo.objects.trust import KnownKey

_HERE = "vexrepo.cli.commands"
_COMMANDS = {
    "add": Entry(f"{_HERE}.trust:add", "Take a public key as known."),
    "list": Entry(f"{_HERE}.trust:list_", "List the known keys."),
    "show": Entry(f"{_HERE}.trust:show", "Show all that is known of a key."),
    "edit": Entry(f"{_HERE}.trust:edit", "Change a key's name, period, scope or note."),
    "remove": Entry(f"{_HERE}.trust:remove", "Forget a key."),
    "revoke": Entry(f"{_HERE}.trust:revoke", "Let a key's signatures count no more."),
    "follow": Entry(f"{_HERE}.trust:follow", "Take the next key of somebody who changed keys."),
    "policy": Entry(f"{_HERE}.trust_policy:policy", "Say what signatures of a source must be worth."),
}
F = TypeVar("F", bound=Callable[..., Any])


@click.group(
    cls=LazyGroup,
    entries=_COMMANDS,
    epilog=example("vex trust add alice.pub --name alice", "vex trust list", "vex trust policy ~/Downloads trusted"),
)
def trust() -> None:
    """Say whose keys you know.

    A signature says something only if you know whose key made it.  Add a key when its owner told you its digits over
    another way than the one the data came; a key found in a file proves nothing about who signed.  Your own keys
    (vex key list) count by themselves.
    """


def _limiting(function: F) -> F:
    """Add the options that limit a key."""
    for option in (
        click.option("--note", metavar="TEXT", help="Something to remember, for you."),
        click.option(
            "--components", metavar="KINDS", multiple=True, help="It may sign for these kinds of memory only."
        ),
        click.option(
            "--namespace", "namespaces", metavar="NAME", multiple=True, help="It may sign for this namespace only."
        ),
        click.option("--valid-until", metavar="TIME", help="It counts until then: a date (its first moment), or 90d."),
        click.option("--valid-from", metavar="TIME", help="It counts from then on."),
    ):
        function = option(function)
    return function


@click.command(
    "add",
    epilog=example(
        "vex trust add alice.pub --name alice",
        "vex trust add ed25519:BASE64 --name importer --namespace web --valid-until 90d",
    ),
)
@click.argument("key", metavar="KEY")
@click.option("--name", metavar="NAME", help="Whose it is; default: the name of the file, or the key's first digits.")
@_limiting
@as_json
@pass_edge
def add(edge: Edge, /, key: str, name: str | None, as_json: bool, **limiting: Any) -> None:
    """Take a public key as known.

    KEY is 64 digits, ed25519: and base64, or a file: what vex key export printed, or a .vmig.sig, whose key is taken.
    With --namespace or --components (both may be repeated) the key counts only for signatures over such memories, with
    --valid-from and --valid-until only in that time.
    """
    from vexrepo.objects.trust import KnownKey
    from vexrepo.storage.keys import fingerprint
    from vexrepo.storage.trust import parse_public_key

    if os.path.isfile(key):
        public = key_in(Path(key))
        default = Path(key).name.split(".")[0]
    else:
        public = parse_public_key(key, "KEY")
        default = ""
    name = name if name is not None else default or public.hex()[:8]
    new = _limited(edge, KnownKey(name, public, iso(edge.now_us())), limiting)
    fresh = edge.trust().add(new)
    if as_json:
        emit({**known_json(new), "new": fresh})
        return
    say(
        f"{'now known' if fresh else 'known already'}: {fingerprint(public)} as {key_name(name)}  {quiet(public.hex())}"
    )
    if limits(new, edge.now_us()):
        say(f"  counts {limits(new, edge.now_us())}")
    if fresh and key.endswith(".sig"):
        say("  its digits came with the data: compare them with what the signer tells you another way")


def _limited(edge: Edge, known: KnownKey, limiting: dict[str, Any]) -> KnownKey:
    """Return an entry with the limits that were given."""
    if limiting["valid_from"] is not None:
        known = replace(known, valid_from_us=_moment(edge, limiting["valid_from"], "--valid-from"))
    if limiting["valid_until"] is not None:
        known = replace(known, valid_until_us=_moment(edge, limiting["valid_until"], "--valid-until"))
    if limiting["namespaces"]:
        known = replace(known, namespaces=names_in(limiting["namespaces"]))
    if limiting["components"]:
        known = replace(known, components=names_in(limiting["components"]))
    if limiting["note"] is not None:
        known = replace(known, note=limiting["note"])
    return known


def _moment(edge: Edge, text: str, option: str) -> int | None:
    if text.strip().lower() in ("none", "never"):
        return None
    return point_in_time(text, edge.now_us(), option, ahead=True) // 1000 * 1000


@click.command("list", epilog=example("vex trust list --json"))
@as_json
@pass_edge
def list_(edge: Edge, as_json: bool) -> None:
    """List the known keys.

    What limits a key stands behind it.
    """
    from vexrepo.storage.keys import fingerprint

    found = edge.trust().read()
    if as_json:
        emit([known_json(each) for each in found])
        return
    if not found:
        say("no keys known but your own; take one with vex trust add KEY --name NAME")
    width = name_width(found)
    for each in found:
        line = f"{key_name(each.name):<{width}}  {fingerprint(each.key)}  {quiet(each.key.hex())}"
        limited = limits(each, edge.now_us())
        say(f"{line}  {limited}" if limited else line)


@click.command("show", epilog=example("vex trust show alice"))
@click.argument("key", metavar="NAME|KEY", type=KNOWN_KEY)
@as_json
@pass_edge
def show(edge: Edge, key: str, as_json: bool) -> None:
    """Show all that is known of a key."""
    found = edge.trust().find(key)
    if as_json:
        emit(known_json(found))
        return
    say(heading(key_name(found.name)))
    for line in known_lines(found, edge.now_us()):
        say(line)


@click.command(
    "edit",
    epilog=example(
        "vex trust edit alice --valid-until 2027-01-01", "vex trust edit importer --namespace web --note bot"
    ),
)
@click.argument("key", metavar="NAME|KEY", type=KNOWN_KEY)
@click.option("--name", metavar="NAME", help="A new name.")
@_limiting
@click.option("--any-namespace", is_flag=True, help="It may sign for all namespaces.")
@click.option("--any-component", is_flag=True, help="It may sign for all kinds of memory.")
@as_json
@pass_edge
def edit(
    edge: Edge, /, key: str, name: str | None, any_namespace: bool, any_component: bool, as_json: bool, **limiting: Any
) -> None:
    """Change a key's name, period, scope or note.

    What is not named stays.  --namespace and --components replace what was there; --valid-from none and --valid-until
    none take an end away.
    """
    if any_namespace and limiting["namespaces"]:
        raise click.UsageError("--any-namespace and --namespace exclude each other")
    if any_component and limiting["components"]:
        raise click.UsageError("--any-component and --components exclude each other")
    if name is None and not (any_namespace or any_component) and all(each in (None, ()) for each in limiting.values()):
        raise click.UsageError("nothing to change: name at least one of the options")

    def change(known: KnownKey) -> KnownKey:
        known = _limited(edge, replace(known, name=name if name is not None else known.name), limiting)
        known = replace(known, namespaces=frozenset()) if any_namespace else known
        return replace(known, components=frozenset()) if any_component else known

    _report(edge, "now", edge.trust().change(key, change).after, as_json)


@click.command("remove", epilog=example("vex trust remove alice"))
@click.argument("key", metavar="NAME|KEY", type=KNOWN_KEY)
@click.option("--force", is_flag=True, help="Also where signatures would count for more without the entry.")
@as_json
@pass_edge
def remove(edge: Edge, key: str, force: bool, as_json: bool) -> None:
    """Forget a key.

    Signatures by it are then by an unknown key; nothing else changes.  A revoked key is kept, so that it stays revoked.
    """
    from vexrepo.storage.keys import fingerprint

    gone = edge.trust().remove(key, force=force)
    if as_json:
        emit(known_json(gone))
    else:
        say(f"forgotten: {fingerprint(gone.key)} ({key_name(gone.name)})  {quiet(gone.key.hex())}")


@click.command(
    "revoke", epilog=example('vex trust revoke alice --reason "laptop stolen"', "vex trust revoke alice --since 7d")
)
@click.argument("key", metavar="NAME|KEY", type=KNOWN_KEY)
@click.option("--reason", metavar="TEXT", help="Why, to be shown with its signatures.")
@click.option("--since", metavar="TIME", help="From when it may have been in other hands: a date, or 7d (ago).")
@as_json
@pass_edge
def revoke(edge: Edge, key: str, reason: str | None, since: str | None, as_json: bool) -> None:
    """Let a key's signatures count no more.

    Whoever has a stolen key writes any time into what they sign, so that a revoked key counts for nothing, whatever
    time a signature claims; but for commits that a repository on this machine held before, by its own record.  --since
    says from when on that record is no help.  One of your own keys, or a key that is not known, can be revoked, too.
    """
    from vexrepo.objects.trust import KnownKey
    from vexrepo.storage.trust import looks_like_key, parse_public_key

    at = edge.now_us() if since is None else point_in_time(since, edge.now_us(), "--since")
    at = min(at, edge.now_us()) // 1000 * 1000
    own = {name: public for public, name in edge.keys().public_keys().items()}
    store = edge.trust()
    if key in own and key not in {each.name for each in store.read()}:
        public, name = own[key], key
    elif looks_like_key(key):
        public = parse_public_key(key, "KEY")
        name = next((name for name, each in own.items() if each == public), public.hex()[:8])
    else:
        public, name = store.find(key).key, key

    def change(known: KnownKey) -> KnownKey:
        first = at if known.revoked_us is None else min(at, known.revoked_us)
        return replace(known, revoked_us=first, reason=reason if reason is not None else known.reason)

    done = store.change(public.hex(), change, KnownKey(name, public, iso(edge.now_us())))
    _report(edge, "revoked:", done.after, as_json)
    if not as_json and since is None:
        say("  what repositories here held before now still counts; --since TIME if others may have had it earlier")
    if not as_json and done.after.is_own:
        say("  it is one of your own: make another with vex key new, and sign again what must count (vex sign REV)")


@click.command("follow", epilog=example("vex trust follow alice.rotation"))
@click.argument("file", metavar="FILE", type=click.Path())
@as_json
@pass_edge
def follow(edge: Edge, file: str, as_json: bool) -> None:
    """Take the next key of somebody who changed keys.

    FILE is the statement that vex key rotate wrote, signed by the old key and the new one.  The old key must be known
    and good today; the new one gets its name and limits, and the old one counts until the time of the statement.
    Whoever got hold of the old key could have made such a statement: compare the new digits another way.
    """
    from vexrepo.errors import Refused
    from vexrepo.objects import rotation
    from vexrepo.objects.signature import Verdict
    from vexrepo.objects.trust import KnownKey, SigningTime, judge
    from vexrepo.storage.keys import fingerprint

    path = Path(file)
    if not path.is_file():
        raise UsageError(f"there is no file {path}; it is what vex key rotate wrote", code="store-missing")
    with open(path, "rb") as opened:
        said = rotation.decode(opened.read(rotation.MAX_BYTES + 1), file)
    now_us = edge.now_us()
    store = edge.trust()
    known = {each.key: each for each in store.read()}
    if said.new in known and said.old in known and known[said.old].valid_until_us is not None:
        _report(edge, "followed already:", known[said.new], as_json)
        return
    # Nothing proves the time of a statement, so the old key has to be good today.
    judged = judge(said.old, SigningTime(now_us, said.time_us), (), (), edge.trusted())
    if judged.verdict is not Verdict.GOOD:
        raise Refused(f"{file}: {judged.why}; its statement about a next key was not followed", code="rotation-refused")
    if said.old not in known:
        raise Refused(
            f"{file} is about your own key {fingerprint(said.old)}: nothing to follow", code="rotation-refused"
        )
    until_us = min(said.time_us, now_us) // 1000 * 1000
    done = store.follow(said.old, KnownKey("", said.new, iso(now_us)), until_us)
    if as_json:
        emit(known_json(done.after))
        return
    say(f"{key_name(done.after.name)} now has the key {fingerprint(said.new)}  {quiet(said.new.hex())}")
    say(f"  the old one, {fingerprint(said.old)}, counts until {iso(until_us)}")
    say("  whoever got hold of the old key could have made that statement: compare the new digits another way")


def _report(edge: Edge, verb: str, known: KnownKey, as_json: bool) -> None:
    from vexrepo.storage.keys import fingerprint

    if as_json:
        emit(known_json(known))
        return
    say(f"{verb} {key_name(known.name)}  {fingerprint(known.key)}  {limits(known, edge.now_us()) or 'without limits'}")
    if known.note:
        say(f"  {plain(known.note)}")
