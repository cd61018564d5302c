"""What a table holds of memories, and which of its columns says what of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from vexrepo.remotes.stores.capabilities import HALF, NOTHING, Capabilities
from vexrepo.remotes.stores.pgvector_columns import holds_json
from vexrepo.remotes.stores.pgvector_table import Table, is_column_name
from vexrepo.remotes.stores.pgvector_wire import can_be_held
from vexrepo.remotes.stores.points import RESERVED, Fields

MAX_ID_BYTES: Final = 2000  # an index row of PostgreSQL holds about 2,700
OURS: Final = Capabilities(
    holds_json,
    "any JSON but texts with NUL",
    holds_name=lambda name: "\0" not in name,
    holds_id_member=True,
    id_bytes=MAX_ID_BYTES,
    holds_id=lambda identifier: "\0" not in identifier,
    kinds=frozenset({"dense", "sparse"}),
    is_named=True,
    holds_vector=lambda vector: vector.space.kind == "dense" or is_column_name(vector.space.name),
)  # of a table that we make


def capabilities_of(table: Table) -> Capabilities:
    """Return what a table that is there holds."""
    columns = {each.name: each for each in table.vectors}
    halves = any(each.type == "halfvec" for each in table.vectors)

    holders = {name: column.holder() for name, column in table.members.items()}
    holds_id = table.id.holder()
    has_payload, payload = table.payload is not None, table.payload.name if table.payload is not None else ""

    def holds_member(name: str, value: Any) -> bool:
        holds = holders.get(name)
        if holds is None:
            return has_payload and name != payload
        if value is not None and holds(value):
            return True
        column = table.members[name]
        return has_payload and (not column.is_required or column.nearest(value) is not None)

    return replace(
        OURS,
        holds_member=holds_member,
        holds_id=lambda identifier: "\0" not in identifier and holds_id(identifier),
        id_form=table.id.id_form,
        kinds=frozenset(each.space.kind for each in table.vectors),
        names=frozenset(columns),
        holds_vector=lambda item: can_be_held(columns[item.space.name], item),
        mixes_dims=all(not each.dims for each in table.vectors),
        alters=HALF if halves else NOTHING,
    )


def mapping_of(table: Table, fields: Fields) -> dict[str, str]:
    """Return which column, with its type, each member of a record is."""
    found = {"id": f"{table.id.name} {table.id.type}"}
    payload = f"a member of {table.payload.name}" if table.payload is not None else "carried"
    for member, name in fields.members:
        column = table.members.get(name)
        found[member] = f"{name} {column.type}" if column is not None else f"{payload}: {name}"
    for each in table.vectors:
        what = f"vectors.{each.name}" if each.name else "vector"
        found[what] = f"{each.column} {each.type}" + (f"({each.dims})" if each.dims else "")
    named = dict(fields.members).values()
    for name, column in table.members.items():
        if name not in named:
            found[f"metadata.{name}"] = f"{name} {column.type}"
    found["metadata"] = f"all members of {table.payload.name}" if table.payload is not None else "carried"
    where = table.reserved or (f"{table.payload.name}: {RESERVED}" if table.payload is not None else None)
    found["everything else"] = where or f"{RESERVED} text, added when it is needed"
    return found
