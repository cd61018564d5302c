"""One changed memory as a line for people and as JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

from vexrepo.cli.output import added, changed, quiet, removed, say
from vexrepo.cli.text import plain, shorten, signs, tally
from vexrepo.cli.words import elided, word_pieces
from vexrepo.history.fields import ABSENT
from vexrepo.objects.record import body_value, key_name, split_key
from vexrepo.repository.difference import (
    Difference,
    FieldChange,
    Loose,
    Shown,
    VectorChange,
    compare_bodies,
    field_changes,
    vector_changes,
)

if TYPE_CHECKING:
    from vexrepo.repository.difference import EdgeDifference

TEXT_WIDTH = 100
RUN_WIDTH = 300
VALUE_WIDTH = 60
MARKS = {"learned": "+", "changed": "~", "forgotten": "-"}
STYLES = {"learned": added, "changed": changed, "forgotten": removed}
AHEAD = 50  # lines looked at to align the next ones


Item = TypeVar("Item", Difference, Shown)


class Totals:
    """Counts what passes through, by kind and by namespace."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.namespaces: dict[str, Counter[str]] = {}

    def counting(self, changes: Iterable[Item]) -> Iterator[Item]:
        """Yield the changes, counted."""
        for change in changes:
            self.kinds[change.kind] += 1
            self.namespaces.setdefault(split_key(change.key)[0], Counter())[change.kind] += 1
            yield change

    def __bool__(self) -> bool:
        return bool(self.kinds)

    @property
    def total(self) -> int:
        """How many changes there were."""
        return self.kinds.total()

    def words(self) -> str:
        """Return ``4 learned, 2 changed, 1 forgotten``."""
        return tally(self.kinds["learned"], self.kinds["changed"], self.kinds["forgotten"])

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON."""
        return {kind: self.kinds[kind] for kind in MARKS}

    def by_namespace(self) -> dict[str, dict[str, int]]:
        """Return the counts of each namespace as JSON."""
        return {name: {kind: found[kind] for kind in MARKS} for name, found in sorted(self.namespaces.items())}

    def stat_lines(self) -> list[str]:
        """Return one line a namespace."""
        names = {name: plain(name) or "(no namespace)" for name in self.namespaces}
        width = max(map(len, names.values()), default=0)
        return [
            f" {names[name]:<{width}}  {signs(found['learned'], found['changed'], found['forgotten'])}"
            for name, found in sorted(self.namespaces.items())
        ]


def relevant(changes: Iterable[Difference], mode: str) -> Iterator[Difference]:
    """Leave out what ``is_relevant`` says does not count."""
    return (change for change in changes if is_relevant(change, mode))


def is_relevant(change: Difference, mode: str) -> bool:
    """Whether more of a record differs than vectors, in a way that ``mode`` says does not count."""
    return mode == "exact" or change.kind != "changed" or bool(field_changes(change) or vector_changes(change, mode))


def print_changes(changes: Iterable[Difference | Shown], mode: str, limit: int | None = None) -> int:
    """Print one line a change, at most ``limit``; read them all and return how many were not shown."""
    pending = iter(changes)
    left = limit
    width = 0
    while left is None or left > 0:
        batch = list(islice(pending, AHEAD if left is None else min(AHEAD, left)))
        if not batch:
            return 0
        labels = [label(change) for change in batch]
        width = max(width, min(40, max(map(len, labels))))
        say("\n".join(change_line(change, name, width, mode) for change, name in zip(batch, labels, strict=True)))
        if left is not None:
            left -= len(batch)
    return sum(1 for _ in pending)


def label(change: Difference | Shown) -> str:
    """Return a memory's name as shown: ``namespace/id``."""
    return key_label(change.key)


def key_label(key: bytes) -> str:
    """Return a key as shown: ``namespace/id``."""
    return plain(key_name(key))


def change_line(change: Difference | Shown, name: str, width: int, mode: str) -> str:
    """Return ``~ ns/id   text   moved 0.21 · importance 3 → 5``."""
    kind = change.kind
    start = STYLES[kind](f"{MARKS[kind]} {name:<{width}}") + "   "
    return start + (change.text if isinstance(change, Shown) else change_words(change, mode))


def change_words(change: Difference, mode: str) -> str:
    """Return ``text   moved 0.21 · importance 3 → 5``: what a line says after the memory's name."""
    if change.old is None or change.new is None:
        side = change.new or change.old
        assert side is not None
        return plain(shorten(_text(body_value(side.body)) or quiet("(no text)"), TEXT_WIDTH))
    old, new = body_value(change.old.body), body_value(change.new.body)
    fields = compare_bodies(old, new)
    notes = [vector_words(item) for item in vector_changes(change, mode)]
    notes += [field_words(item) for item in fields if item.path != "text"]
    text = next((text_words(item) for item in fields if item.path == "text"), "")
    if not text:
        text = plain(shorten(_text(new), VALUE_WIDTH))
    return "   ".join(part for part in (text, " · ".join(notes)) if part)


def _text(body: dict[str, Any]) -> str:
    found = body.get("text")
    return found if isinstance(found, str) else ""


def text_words(change: FieldChange) -> str:
    """Return a changed text with ``[-what went-]{+what came+}``."""
    old = change.old if isinstance(change.old, str) else ""
    new = change.new if isinstance(change.new, str) else ""
    pieces = word_pieces(old, new)
    if not any(pieces):
        return f"text {_value(change.old)} → {_value(change.new)}"
    parts = []
    for at, piece in enumerate(pieces):
        if piece.same:
            parts.append(plain(elided(piece.old, first=at == 0, last=at == len(pieces) - 1)))
            continue
        if piece.old:
            parts.append(removed(f"[-{plain(shorten(piece.old, RUN_WIDTH))}-]"))
        if piece.new:
            parts.append(added(f"{{+{plain(shorten(piece.new, RUN_WIDTH))}+}}"))
    return "".join(parts)


def field_words(change: FieldChange) -> str:
    """Return ``importance 3 → 5``, ``+source web`` or ``-source web``."""
    name = plain(shorten(change.path.removeprefix("metadata."), VALUE_WIDTH))
    if change.old is ABSENT:
        return added(f"+{name}") + f" {_value(change.new)}"
    if change.new is ABSENT:
        return removed(f"-{name}") + f" {_value(change.old)}"
    return f"{name} {_value(change.old)} → {_value(change.new)}"


def _value(value: Any) -> str:
    if value is ABSENT:
        return "(none)"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return plain(shorten(text, VALUE_WIDTH))


def vector_words(change: VectorChange) -> str:
    """Return ``moved 0.21``, ``rescaled``, ``new vector`` or ``no vector any more``."""
    name = "" if change.name == "vector" else f"{plain(change.name)} "
    if change.old is None:
        return f"{name}new vector"
    if change.new is None:
        return f"{name}no vector any more"
    old, new = change.old.space, change.new.space
    if (old.kind, old.dims) != (new.kind, new.dims):
        return f"{name}new vector ({old.dims or old.kind} → {new.dims or new.kind} dims)"
    if change.distance is None:
        return f"{name}new vector"
    if old.model != new.model and change.distance > 0:
        return f"{name}new vector (another model)"
    if change.scaled:
        if old.model != new.model:
            return f"{name}vector as before, by another model's name"
        return f"{name}rescaled" if old.dtype == new.dtype else f"{name}same vector, {old.dtype} → {new.dtype}"
    return f"{name}moved {change.distance:.2g}" if change.distance < 0.01 else f"{name}moved {change.distance:.2f}"


def change_json(change: Difference, mode: str) -> dict[str, Any]:
    """Return a change as JSON: fields and vectors that differ, or the whole body of what came or went."""
    namespace, identifier = split_key(change.key)
    value: dict[str, Any] = {"kind": change.kind, "namespace": namespace, "id": identifier}
    if change.old is not None:
        value["old_record"] = change.old.id.hex()
    if change.new is not None:
        value["new_record"] = change.new.id.hex()
    if change.kind != "changed":
        side = change.new or change.old
        assert side is not None
        value["record"] = body_value(side.body)
        return value
    value["fields"] = [_field_json(item) for item in field_changes(change)]
    value["vectors"] = [_vector_json(item) for item in vector_changes(change, mode)]
    return value


def _field_json(change: FieldChange) -> dict[str, Any]:
    sides = {"old": change.old, "new": change.new}
    return {"path": change.path, **{name: side for name, side in sides.items() if side is not ABSENT}}


def _vector_json(change: VectorChange) -> dict[str, Any]:
    def space(side: Any) -> dict[str, Any] | None:
        if side is None:
            return None
        found = side.space
        return {"kind": found.kind, "model": found.model, "dims": found.dims, "dtype": found.dtype}

    return {
        "name": change.name,
        "distance": change.distance,
        "rescaled": change.scaled,
        "old": space(change.old),
        "new": space(change.new),
    }


class EdgeTotals:
    """Counts edges that differ: between two memories, so told apart from them."""

    def __init__(self, changes: Iterable[EdgeDifference]) -> None:
        self.changes = list(changes)
        self.kinds = Counter(edge_kind(change) for change in self.changes)

    def __bool__(self) -> bool:
        return bool(self.changes)

    def words(self) -> str:
        """Return ``edges between memories: +3 ~1 -2``."""
        counts = signs(self.kinds["learned"], self.kinds["changed"], self.kinds["forgotten"])
        return f"edges between memories: {counts}"

    def to_json(self) -> dict[str, int]:
        """Return the counts as JSON."""
        return {kind: self.kinds[kind] for kind in MARKS}


def edge_kind(change: EdgeDifference) -> str:
    """Return ``learned``, ``changed`` or ``forgotten``."""
    return "learned" if change.old is None else "forgotten" if change.new is None else "changed"


def edge_line(change: EdgeDifference) -> str:
    """Return ``~ mem_1 –causal→ mem_2   weight 0.5 → 0.9``."""
    side = change.new or change.old
    assert side is not None
    value = body_value(side.body)
    source, kind, target = (plain(shorten(str(value.get(name)), VALUE_WIDTH)) for name in ("source", "type", "target"))
    how = edge_kind(change)
    line = STYLES[how](f"{MARKS[how]} {source} –{kind}→ {target}")
    if change.old is None or change.new is None:
        return line
    fields = field_changes(Difference(change.key, Loose(change.old), Loose(change.new)))
    return line + "   " + " · ".join(field_words(item) for item in fields)


def edge_json(change: EdgeDifference) -> dict[str, Any]:
    """Return an edge that differs as JSON, as it was and as it is."""
    sides = {"old": change.old, "new": change.new}
    return {
        "kind": edge_kind(change),
        **{name: body_value(side.body) for name, side in sides.items() if side is not None},
    }


def first_and_rest(changes: Iterator[Item]) -> Iterator[Item]:
    """Return the changes, the first of them read: errors of reading come up here, before anything is printed."""
    first = next(changes, None)
    return changes if first is None else chain((first,), changes)
