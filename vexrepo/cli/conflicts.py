"""One conflict as lines for people and as JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vexrepo.cli.output import heading, quiet
from vexrepo.cli.text import plain, shorten
from vexrepo.history.conflict import WHOLE
from vexrepo.history.fields import ABSENT, Embedding, to_json, words
from vexrepo.objects.record import Record, body_value, key_name, split_key
from vexrepo.objects.vector import Vector

if TYPE_CHECKING:
    from vexrepo.history.conflict import Conflict

VALUE_WIDTH = 90


def conflict_name(conflict: Conflict) -> str:
    """Return the memory (``namespace/id``) or edge (``source –type→ target``) a conflict is about, as typed."""
    if conflict.is_edge:
        side = conflict.ours if isinstance(conflict.ours, Record) else conflict.theirs
        if isinstance(side, Record):
            value = body_value(side.body)
            return f"{value['source']} –{value['type']}→ {value['target']}"
        return " ".join(part.decode("utf-8", "replace") for part in conflict.key.split(b"\0\x01"))
    return key_name(conflict.key)


def field_name(conflict: Conflict) -> str:
    """Return the field in conflict; ``(whole)`` where one side forgot the memory and the other changed it."""
    return "(whole)" if conflict.path == WHOLE else words(conflict.path)


def conflict_lines(conflict: Conflict) -> list[str]:
    """Return a conflict as lines: the field, then each side's value."""
    lines = [f"{heading(plain(conflict_name(conflict)))}  {plain(field_name(conflict))}"]
    sides = (("base", conflict.base), ("ours", conflict.ours), ("theirs", conflict.theirs))
    return lines + [
        f"  {quiet(f'{name:<6}')}  {value_words(value, whole=conflict.path == WHOLE)}"
        for name, value in sides
        if not (name == "base" and value is ABSENT)
    ]


def value_words(value: Any, *, whole: bool = False) -> str:
    """Return a field's value in one line."""
    if value is ABSENT:
        return quiet("(forgotten)" if whole else "(none)")
    if isinstance(value, Record):
        return plain(shorten(value.text or "(no text)", VALUE_WIDTH))
    if isinstance(value, Embedding):
        model = value.described.get("model")
        named = f" by {model}" if isinstance(model, str) else ""
        return plain(_vector_words(value.row) + named) if value.row is not None else quiet("(no vector)")
    if isinstance(value, Vector):
        return plain(_vector_words(value))
    text = value if isinstance(value, str) and value else json.dumps(to_json(value), ensure_ascii=False)
    return plain(shorten(text, VALUE_WIDTH))


def _vector_words(row: Vector) -> str:
    from vexrepo.objects import vector

    if row.space.kind != "dense":
        return f"a {row.space.kind} vector"
    numbers = vector.to_json(row)
    start = ", ".join(f"{number:.4g}" for number in numbers[:4])
    return f"[{start}{', …' if len(numbers) > 4 else ''}] {row.space.dims} dims"


def conflict_json(conflict: Conflict) -> dict[str, Any]:
    """Return a conflict as JSON; a side that does not have the field is left out."""
    found: dict[str, Any] = {"field": list(conflict.path)}
    if conflict.is_edge:
        found["edge"] = conflict_name(conflict)
    else:
        namespace, identifier = split_key(conflict.key)
        found |= {"namespace": namespace, "id": identifier}
    for name, value in (("base", conflict.base), ("ours", conflict.ours), ("theirs", conflict.theirs)):
        if value is not ABSENT:
            found[name] = to_json(value)
    return found
