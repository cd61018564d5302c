"""Which records a command is about: by namespace, kind of memory, importance, age."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vexrepo.objects.record import body_value, split_key
from vexrepo.objects.timestamp import format_time, time_us


@dataclass(frozen=True, slots=True)
class Selection:
    """Records for which every given condition holds; the empty selection is all records.

    ``components`` are memory types (``metadata.memory_type``, or a top-level ``memory_type``); ``min_importance``
    counts ``metadata.importance``, and leaves out records without one; ``since_us`` counts ``created_at``, in
    microseconds since 1970, and leaves out records without a time.
    """

    namespaces: frozenset[str] = frozenset()
    components: frozenset[str] = frozenset()
    min_importance: float | None = None
    since_us: int | None = None

    def __bool__(self) -> bool:
        return bool(self.namespaces) or self.reads_bodies

    @property
    def reads_bodies(self) -> bool:
        """Whether a record's key alone cannot tell."""
        return bool(self.components) or self.min_importance is not None or self.since_us is not None

    def accepts(self, key: bytes, body: Callable[[], bytes]) -> bool:
        """Whether a record belongs to the selection; ``body`` is only called when needed."""
        if self.namespaces and split_key(key)[0] not in self.namespaces:
            return False
        if not self.reads_bodies:
            return True
        value = body_value(body())
        if self.components and component_of(value) not in self.components:
            return False
        if self.min_importance is not None:
            importance = _importance_of(value)
            if importance is None or importance < self.min_importance:
                return False
        if self.since_us is not None:
            made = time_us(value.get("created_at"))
            if made is None or made < self.since_us:
                return False
        return True

    def describe(self) -> dict[str, Any]:
        """Return the JSON form, for a commit's source."""
        found: dict[str, Any] = {"namespaces": sorted(self.namespaces), "components": sorted(self.components)}
        if self.min_importance is not None:
            found["min_importance"] = self.min_importance
        if self.since_us is not None:
            found["since"] = format_time(self.since_us)
        return {name: value for name, value in found.items() if value not in ([], None)}


def component_of(value: dict[str, Any]) -> str:
    """Return the kind of memory a record's members say it is, "" if they do not."""
    metadata = value.get("metadata")
    found = metadata.get("memory_type") if isinstance(metadata, dict) else None
    found = value.get("memory_type") if found is None else found
    return found if isinstance(found, str) else ""


def _importance_of(value: dict[str, Any]) -> float | None:
    metadata = value.get("metadata")
    found = metadata.get("importance") if isinstance(metadata, dict) else None
    return found if isinstance(found, (int, float)) and not isinstance(found, bool) else None
