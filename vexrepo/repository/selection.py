"""Which records a command is about: by namespace, by kind of memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vexrepo.objects.record import body_value, split_key


@dataclass(frozen=True, slots=True)
class Selection:
    """Records of some namespaces and some components (memory types); empty means all.

    A record's component is ``metadata.memory_type``, or a top-level ``memory_type``.
    """

    namespaces: frozenset[str] = frozenset()
    components: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.namespaces or self.components)

    def accepts(self, key: bytes, body: Callable[[], bytes]) -> bool:
        """Whether a record belongs to the selection; ``body`` is only called when needed."""
        if self.namespaces and split_key(key)[0] not in self.namespaces:
            return False
        return not self.components or component(body()) in self.components

    def describe(self) -> dict[str, list[str]]:
        """Return the JSON form, for a commit's source."""
        found = {"namespaces": sorted(self.namespaces), "components": sorted(self.components)}
        return {name: values for name, values in found.items() if values}


def component(body: bytes) -> str:
    """Return the kind of memory a record is, "" if it does not say."""
    value = body_value(body)
    metadata = value.get("metadata")
    found = metadata.get("memory_type") if isinstance(metadata, dict) else None
    found = value.get("memory_type") if found is None else found
    return found if isinstance(found, str) else ""
