"""``vex show``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.changes import EdgeTotals, Totals, change_json, key_label, print_changes
from vexrepo.cli.describe import commit_block, commit_json, content_words, decorations
from vexrepo.cli.options import REVISION, as_json, example
from vexrepo.cli.output import changed, emit, heading, quiet, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import plain, shorten
from vexrepo.errors import UsageError

if TYPE_CHECKING:
    from vexrepo.history.walk import RecordAt
    from vexrepo.objects.digest import CommitId
    from vexrepo.objects.vector import Vector
    from vexrepo.repository import Repository

FIRST_CHANGES = 20


@click.command(
    epilog=example(
        "vex show HEAD~1",
        "vex show HEAD:mem_8f3a1c                one memory as it was then",
        "vex show v1:user-prefs/mem_8f3a1c --json",
    )
)
@click.argument("what", metavar="REV[:ID]", default="HEAD", type=REVISION)
@as_json
@pass_edge
def show(edge: Edge, what: str, as_json: bool) -> None:
    """Show a commit, or one memory as it was.

    REV shows a commit and what it changed; REV:ID or REV:NAMESPACE/ID shows a memory as that commit has it, :ID as
    HEAD has it.
    """
    repository = edge.repository()
    revision, identifier = split_revision(what)
    commit = repository.resolve(revision or "HEAD")
    if identifier is None:
        (_commit_json if as_json else _commit)(edge, repository, commit)
        return
    found = repository.find(commit, identifier)
    if not found:
        raise UsageError(
            f"there is no memory {identifier!r} at {commit.short}; was there ever: vex log -- {identifier}",
            code="unknown-record",
        )
    if as_json:
        emit({"commit": commit.hex(), "records": [_record_json(record) for record in found]})
        return
    for number, record in enumerate(found):
        if number:
            say()
        _record(record, commit)


def split_revision(text: str) -> tuple[str, str | None]:
    """Return (revision, id or None) of ``REV:ID``; a colon inside ``@{…}`` belongs to the revision."""
    depth = 0
    for at, mark in enumerate(text):
        if mark == "{":
            depth += 1
        elif mark == "}":
            depth -= 1
        elif mark == ":" and depth <= 0:
            return text[:at], text[at + 1 :]
    return text, None


def _commit(edge: Edge, repository: Repository, identifier: CommitId) -> None:
    commit = repository.commit_at(identifier)
    snapshot = repository.snapshot_of(identifier)
    assert snapshot is not None
    names = decorations(repository.view()).get(identifier, [])
    for line in commit_block(identifier, commit, names, edge.now_us()):
        say(line)
    say()
    say("    " + " · ".join(content_words(commit, snapshot)))
    source = commit.source.get("store")
    if isinstance(source, str):
        say("    " + quiet(f"from {plain(str(commit.source.get('kind', 'store')))} {plain(shorten(source, 100))}"))
    if commit.source.get("unverified") is True:
        say("    " + changed("checks and hooks were passed by (--no-verify)"))
    if not commit.parents:
        return
    say()
    totals = Totals()
    hidden = print_changes(totals.counting(repository.diff(commit.parents[0], identifier)), "exact", FIRST_CHANGES)
    if hidden:
        say(quiet(f"… and {hidden:,} more: vex diff {commit.parents[0].short} {identifier.short}"))
    for line in totals.stat_lines():
        say(line)
    edges = EdgeTotals(repository.diff_edges(commit.parents[0], identifier))
    say(totals.words() if totals or not edges else "no memory changed")
    if edges:
        say(edges.words())


def _commit_json(edge: Edge, repository: Repository, identifier: CommitId) -> None:
    commit = repository.commit_at(identifier)
    snapshot = repository.snapshot_of(identifier)
    assert snapshot is not None
    value = commit_json(identifier, commit, repository.view())
    value["records"], value["edges"] = snapshot.records.count, snapshot.edges.count
    value["spaces"] = snapshot.spaces
    if commit.parents:
        totals = Totals()
        first: list[dict[str, Any]] = []
        for change in totals.counting(repository.diff(commit.parents[0], identifier)):
            if len(first) < FIRST_CHANGES:
                first.append(change_json(change, "exact"))
        value["changes"] = {**totals.to_json(), "namespaces": totals.by_namespace(), "first": first}
    emit(value)


def _record_json(found: RecordAt) -> dict[str, Any]:
    record = found.record
    return {"record_id": record.id.hex(), "record": record.to_json()}


def _record(found: RecordAt, commit: CommitId) -> None:
    from vexrepo.objects.record import body_value

    record = found.record
    value = body_value(record.body)
    say(f"{heading(key_label(record.key))} at {commit.short}")
    lines: list[tuple[str, str]] = []
    for name in sorted(value, key=lambda each: (each != "text", each == "metadata", each)):
        member = value[name]
        if name in ("id", "namespace"):
            continue
        if name == "metadata" and isinstance(member, dict):
            lines += [(f"metadata.{inner}", _text(item)) for inner, item in sorted(member.items())]
        else:
            lines.append((name, _text(member)))
    lines += [(vector.space.name or "vector", _vector(vector)) for vector in record.vectors]
    lines.append(("record", record.id.hex()))
    width = min(24, max(len(plain(name)) for name, _ in lines))
    for name, text in lines:
        first, *rest = text.split("\n")
        say(f"  {plain(name):<{width}}  {first}")
        for line in rest:
            say(f"  {'':<{width}}  {line}")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return plain(value, lines=True)
    return plain(json.dumps(value, ensure_ascii=False))


def _vector(vector: Vector) -> str:
    import numpy as np

    from vexrepo.objects.vector import floats

    space = vector.space
    model = plain(space.model) if space.model else "no model named"
    values = floats(space, vector.row)
    if space.kind == "sparse":
        return f"sparse, {len(values):,} values, {model}, {space.dtype}"
    if space.kind == "multi":
        return f"{len(values):,} × {space.dims} dims, {model}, {space.dtype}"
    length = float(np.linalg.norm(values.astype(np.float64)))
    first = ", ".join(f"{float(item):.4g}" for item in values[:4])
    return (
        f"{space.dims} dims, {model}, {space.dtype}, length {length:.4g}  [{first}{', …' if len(values) > 4 else ''}]"
    )
