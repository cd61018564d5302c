"""``vex quarantine``: what was refused and kept apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.failures import DONE, FAILED
from vexrepo.cli.lazy import Entry, LazyGroup
from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import emit, heading, quiet, removed, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import iso, memories, plain, shorten
from vexrepo.errors import InvalidData, StateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vexrepo.hooks.quarantine import Entry as Kept
    from vexrepo.objects.record import Record
    from vexrepo.remotes.stores.address import Address

_HERE = "vexrepo.cli.commands.quarantine"
_COMMANDS = {
    "list": Entry(f"{_HERE}:list_", "List what is in quarantine."),
    "show": Entry(f"{_HERE}:show", "Show the memories of an entry, and why they were refused."),
    "accept": Entry(f"{_HERE}:accept", "Let memories in after all."),
    "drop": Entry(f"{_HERE}:drop", "Remove an entry for good."),
}


@click.group(
    cls=LazyGroup,
    entries=_COMMANDS,
    epilog=example("vex quarantine list", "vex quarantine show 1", "vex quarantine accept 1 --id mem_8f3a1c"),
)
def quarantine() -> None:
    """Look at what was refused, accept it or drop it.

    What the gate refuses can be kept apart (--quarantine on vex import and others).  It is in no ref and no store; a
    person decides about it, memory by memory.
    """


def _json(entry: Kept) -> dict[str, Any]:
    report = entry.report
    return {
        "number": entry.number,
        "time": iso(report.time_us),
        "event": report.event,
        "source": dict(report.source),
        "target": dict(report.target),
        "code": report.code,
        "reason": report.reason,
        "signature": dict(report.signature) if report.signature is not None else None,
        "findings": report.findings,
        "records": entry.records,
        "path": str(entry.path),
    }


def _line(entry: Kept) -> str:
    report = entry.report
    source = report.source.get("address") or report.source.get("name") or "?"
    return (
        f"{heading(str(entry.number))}  {iso(report.time_us)}  {memories(entry.records)} from {plain(source)}"
        f"  {quiet('[' + plain(report.code) + ']')}"
    )


@click.command("list", epilog=example("vex quarantine list"))
@as_json
@pass_edge
def list_(edge: Edge, as_json: bool) -> int:
    """List what is in quarantine."""
    from vexrepo.cli.admission import quarantine_of

    kept = quarantine_of(edge)
    entries, unreadable = [], []
    for number in kept.numbers():
        try:
            entries.append(kept.entry(number))
        except InvalidData as error:  # the others can be looked at all the same
            unreadable.append((number, error))
    if as_json:
        lost = [{"number": number, "code": why.code, "message": str(why)} for number, why in unreadable]
        emit({"entries": [_json(entry) for entry in entries], "unreadable": lost})
        return FAILED if unreadable else DONE
    for entry in entries:
        say(_line(entry))
        say(f"   {plain(shorten(entry.report.reason, 200))}")
    for number, why in unreadable:
        say(f"{heading(str(number))}  {removed('unreadable')}: {plain(str(why))}  {quiet('[' + why.code + ']')}")
    if not entries and not unreadable:
        say("nothing is in quarantine")
    return FAILED if unreadable else DONE


@click.command(epilog=example("vex quarantine show 1"))
@click.argument("number", metavar="NUMBER", type=click.IntRange(min=1))
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many memories.")
@as_json
@pass_edge
def show(edge: Edge, number: int, limit: int, as_json: bool) -> None:
    """Show the memories of an entry, and why they were refused.

    Texts are shown with everything hidden made visible.
    """
    from itertools import islice

    from vexrepo.cli.admission import quarantine_of
    from vexrepo.objects.record import key_name

    kept = quarantine_of(edge)
    entry = kept.entry(number)
    records = list(islice(kept.records(entry), limit))
    if as_json:
        emit({**_json(entry), "memories": [record.to_json() for record in records]})
        return
    say(_line(entry))
    say(f"refused: {plain(entry.report.reason)}")
    for record in records:
        found = [each for each in entry.report.findings if (each.get("namespace"), each.get("id")) == _parts(record)]
        say(f"{heading(plain(key_name(record.key)))}  {plain(shorten(record.text, 500))}")
        for each in found:
            say(f"  {removed(plain(str(each.get('rule'))))}: {plain(str(each.get('message')))}")
    if entry.records > len(records):
        say(quiet(f"… and {memories(entry.records - len(records))} more (--limit)"))
    say(quiet(f"accept: vex quarantine accept {number} --id ID | --all        drop: vex quarantine drop {number}"))


def _parts(record: Record) -> tuple[str, str]:
    from vexrepo.objects.record import split_key

    return split_key(record.key)


@click.command(
    epilog=example(
        "vex quarantine accept 1 --id mem_8f3a1c --id work/m7", "vex quarantine accept 1 --all --to vektor:a.db"
    )
)
@click.argument("number", metavar="NUMBER", type=click.IntRange(min=1))
@click.option("--id", "ids", metavar="ID", multiple=True, help="This memory: ID or NAMESPACE/ID; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--to", "target", metavar="STORE", help="Into this store; default: where they were to go.")
@click.option("-f", "--force", is_flag=True, help="Replace memories of the same ids that the store holds.")
@as_json
@pass_edge
def accept(
    edge: Edge, number: int, ids: tuple[str, ...], everything: bool, target: str | None, force: bool, as_json: bool
) -> int:
    """Let memories in after all.

    They are written into the store they were meant for, or the workspace, and leave quarantine.  That you accept them
    is your decision; no check is asked again.  Where the store holds another memory of the same id by now, nothing is
    written without --force.
    """
    if bool(ids) == everything:
        raise click.UsageError("which memories?  --id ID, or --all")
    from vexrepo.cli.admission import quarantine_of
    from vexrepo.exchange.request import Request
    from vexrepo.exchange.transfer import transfer
    from vexrepo.remotes.stores.address import Address
    from vexrepo.repository.restoring import Keys

    kept = quarantine_of(edge)
    entry = kept.entry(number)
    keys = frozenset(_chosen(kept.records(entry), ids, number))
    address = _target(edge, entry, target)
    if not force:
        _check_replaces_none(address, (each for each in kept.records(entry) if each.key in keys), number)
    done = transfer(
        Address("jsonl", str(entry.file)),
        address,
        Request(selection=Keys(keys=keys), check_sidecar=False, link=True),
        now_us=edge.now_us(),
        advance=edge.progress,
    )
    left = kept.without(entry, keys)
    if as_json:
        emit({"accepted": done.written, "target": str(address), "left": left.records if left else 0})
        return DONE
    rest = f"; {memories(left.records)} left in quarantine" if left else ""
    say(f"accepted {memories(done.written)} → {plain(str(address))}{rest}")
    return DONE


def _chosen(records: Any, ids: tuple[str, ...], number: int) -> list[bytes]:
    """Return the keys of the memories named, all of them for no names.  Raises: UsageError (unknown-record)."""
    from vexrepo.objects.record import key_name

    names = {record.key: (key_name(record.key), _parts(record)[1]) for record in records}
    if not ids:
        return list(names)
    missing = [each for each in ids if not any(each in both for both in names.values())]
    if missing:
        raise UsageError(f"quarantine {number} has no memory {missing[0]!r}", code="unknown-record")
    return [key for key, both in names.items() if set(both) & set(ids)]


def _check_replaces_none(address: Address, records: Iterable[Record], number: int) -> None:
    """Raise StateError (quarantine-replaces) where a store holds other memories under the same keys."""
    from pathlib import Path

    from vexrepo.exchange.reading import iter_others
    from vexrepo.objects.record import key_name
    from vexrepo.remotes.stores.registry import connector, open_store

    if connector(address.kind).rewrites and not Path(address.location).exists():
        return
    with open_store(address, create=True) as store:
        others = [key_name(record.key) for record in iter_others(store, records)]
    if others:
        more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
        raise StateError(
            f"{address} holds another memory as {others[0]}{more}, which would be replaced; nothing was written: look "
            f"at both (vex quarantine show {number}), then add --force, or accept others (--id)",
            code="quarantine-replaces",
        )


def _target(edge: Edge, entry: Kept, target: str | None) -> Address:
    from vexrepo.remotes.stores.registry import writes_anew

    if target is not None:
        address = edge.address(target)
    elif "address" in entry.report.target:
        address = edge.address(entry.report.target["address"])
    else:
        address = edge.repository().workspace()
    if writes_anew(address):
        raise UsageError(
            f"{address} is a file, which would be written anew with these memories only; name a store or a new file "
            "with --to",
            code="file-exists",
        )
    return address


@click.command(epilog=example("vex quarantine drop 1"))
@click.argument("number", metavar="NUMBER", type=click.IntRange(min=1))
@as_json
@pass_edge
def drop(edge: Edge, number: int, as_json: bool) -> None:
    """Remove an entry for good."""
    from vexrepo.cli.admission import quarantine_of

    quarantine_of(edge).drop(number)
    emit({"dropped": number}) if as_json else say(f"dropped {number}")
