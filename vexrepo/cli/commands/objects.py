"""``vex cat-object`` and ``vex rev-parse``."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.options import REVISION, as_json, example
from vexrepo.cli.output import emit, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import plain_json
from vexrepo.errors import UsageError
from vexrepo.objects.kinds import ObjectType

if TYPE_CHECKING:
    from vexrepo.repository import Repository

_HEX = re.compile(r"^[0-9a-f]{4,64}$")
_NAMED = frozenset(ObjectType) - {ObjectType.SIGNATURE}


@click.command("rev-parse", epilog=example("vex rev-parse HEAD~2 v1", 'vex rev-parse --short "main@{yesterday}"'))
@click.argument("revisions", metavar="REV...", nargs=-1, required=True, type=REVISION)
@click.option("--short", is_flag=True, help="Abbreviated to 7 digits.")
@as_json
@pass_edge
def rev_parse(edge: Edge, revisions: tuple[str, ...], short: bool, as_json: bool) -> None:
    """Print the full ids of revisions.

    REV is a branch, a tag, HEAD, an abbreviated id, each with ~N (N commits back), ^N (the Nth parent), @{N} (N
    values ago) or @{TIME}, e.g. HEAD@{yesterday}, main@{2 hours ago}, main@{2026-11-20}.
    """
    repository = edge.repository()
    found = [repository.resolve(text) for text in revisions]
    if as_json:
        emit([{"revision": text, "commit": commit.hex()} for text, commit in zip(revisions, found, strict=True)])
        return
    for commit in found:
        say(commit.short if short else commit.hex())


@click.command("cat-object", epilog=example("vex cat-object HEAD", "vex cat-object 8d21c4 --type"))
@click.argument("object_id", metavar="ID", type=REVISION)
@click.option("--type", "only_type", is_flag=True, help="Only the object's type.")
@click.option("--raw", is_flag=True, help="The payload's bytes, as they are hashed.")
@as_json
@pass_edge
def cat_object(edge: Edge, object_id: str, only_type: bool, raw: bool, as_json: bool) -> None:
    """Print a stored object.

    ID is an id of any object, abbreviated to four or more digits, or a revision, which stands for its commit.
    """
    repository = edge.repository()
    identifier = _find(repository, object_id)
    kind, payload = repository.payload(identifier)
    if only_type:
        if as_json:
            emit({"id": identifier.hex(), "type": kind.name.lower()})
        else:
            say(kind.name.lower())
    elif raw:
        if sys.stdout.isatty():
            raise click.UsageError(
                "raw bytes are not written to a terminal; redirect them: vex cat-object ID --raw > FILE"
            )
        sys.stdout.flush()
        stream = sys.stdout.buffer
        stream.write(payload)
        stream.flush()
    elif as_json:
        emit({"id": identifier.hex(), "type": kind.name.lower(), "value": decoded(kind, payload)})
    elif kind is ObjectType.BODIES:
        for body in decoded(kind, payload):
            say(plain_json(json.dumps(body, ensure_ascii=False)))
    else:
        say(plain_json(json.dumps(decoded(kind, payload), ensure_ascii=False, indent=2)))


def _find(repository: Repository, text: str) -> bytes:
    lowered = text.lower()
    if _HEX.match(lowered):
        found = repository.objects.matching(lowered, _NAMED)
        if len(found) == 1:
            return found[0][0]
        if found:
            choices = ", ".join(f"{identifier.hex()[:12]} ({kind.name.lower()})" for identifier, kind in found[:5])
            raise UsageError(
                f"{text} is the start of several objects: {choices}; give more digits", code="ambiguous-revision"
            )
    return repository.resolve(text)


def decoded(kind: ObjectType, payload: bytes) -> Any:
    """Return an object as a JSON value."""
    from vexrepo.objects import tree
    from vexrepo.objects.canonical import parse
    from vexrepo.objects.vector import Vector, to_json

    match kind:
        case ObjectType.NODE:
            node = tree.Node.decode(payload)
            children = [
                {"last": _key(each.last_key), "id": each.id.hex(), "count": each.count} for each in node.children
            ]
            return {"level": node.level, "children": children}
        case ObjectType.LEAF:
            leaf = tree.Leaf.decode(payload)
            keys = [_key(key) for key in leaf.keys]
            return {
                "records": [{**key, "record": leaf.record_id(row).hex()} for row, key in enumerate(keys)],
                "bodies": leaf.bodies.hex(),
                "columns": [
                    {
                        "space": parse(column.space.encode()),
                        "vectors": column.vectors.hex(),
                        "members": column.members.hex(),
                    }
                    for column in leaf.columns
                ],
            }
        case ObjectType.BODIES:
            return [parse(body) for body in tree.decode_bodies(payload)]
        case ObjectType.VECTORS:
            matrix = tree.decode_vectors(payload)
            first = to_json(Vector(matrix.space, matrix.row(0))) if matrix.count else []
            return {
                "space": parse(matrix.space.encode()),
                "count": matrix.count,
                "bytes": len(payload),
                "first": first[:8] if isinstance(first, list) else first,
            }
        case _:
            return parse(payload)


def _key(key: bytes) -> dict[str, str]:
    """Return a record's key by its parts; an edge's key has four."""
    from vexrepo.objects.record import split_key

    if key.count(b"\0\x01") == 1:
        namespace, identifier = split_key(key)
        return {"namespace": namespace, "id": identifier}
    parts = [part.replace(b"\0\xff", b"\0").decode("utf-8", "replace") for part in key.split(b"\0\x01")]
    return dict(zip(("source", "type", "target", "id"), parts, strict=False))
