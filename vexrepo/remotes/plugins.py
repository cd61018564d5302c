"""Classes found by name: ours from a table, others' from an entry-point group; imported only when they are named."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vexrepo.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints


@dataclass(frozen=True, slots=True)
class Plugins:
    """Classes by name.  ``built_in``: "module:class" by name; ``group``: the entry points; ``missing``: what to say."""

    built_in: Mapping[str, str]
    group: str
    missing: str
    code: str

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted({*self.built_in, *(point.name for point in self._points())})

    def find(self, name: str) -> Any:
        """Return the class of a name.  Raises: UsageError with ``code``."""
        if name in self.built_in:
            module, _, attribute = self.built_in[name].partition(":")
            return getattr(importlib.import_module(module), attribute)
        for point in self._points():
            if point.name == name:
                return point.load()
        near = difflib.get_close_matches(name, self.names(), n=1)
        raise UsageError(
            f"{self.missing} {name!r}; known: {', '.join(self.names()) or 'none'}"
            + (f"; did you mean {near[0]}?" if near else ""),
            code=self.code,
        )

    def _points(self) -> EntryPoints:
        from importlib.metadata import entry_points  # a tenth of the time that `vex log` takes

        return entry_points(group=self.group)
