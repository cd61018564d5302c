"""The labelled sample: memories of which a person said what a check should find in them.

A line is a record's members (``text``, ``metadata`` …) and ``is``: ``CHECK:KIND``, absent for an ordinary memory in
which no check should find anything.  ``tuned`` is what the rules were made with, ``held_out`` what they were measured
with afterwards; README.md says how the two were written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.sample.fakes import Fakes, render
from vexrepo.hooks.check import Change
from vexrepo.objects import record

HERE = Path(__file__).parent
PARTS = ("tuned", "held_out")


@dataclass(frozen=True, slots=True)
class Sample:
    """One memory of the sample: which check should find something in it ("" for none), what kind of thing, and the
    fake secrets it holds."""

    place: str  # FILE:LINE
    check: str
    kind: str
    change: Change
    secrets: tuple[str, ...]


def read_part(part: str) -> list[Sample]:
    """Return the memories of a part of the sample."""
    return [sample for path in sorted((HERE / part).glob("*.jsonl")) for sample in _read(path)]


def _read(path: Path) -> Iterator[Sample]:
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        value = json.loads(line)
        check, _, kind = value.pop("is", "").partition(":")
        fakes = Fakes(f"{path.parent.name}/{path.name}:{number}")
        filled: dict[str, Any] = _fill({"id": f"{path.stem}-{number}", "vex_version": "1.0.0", **value}, fakes)
        item = record.from_json(filled)
        yield Sample(
            f"{path.parent.name}/{path.name}:{number}", check, kind, Change(item.key, None, item), tuple(fakes.made)
        )


def _fill(value: Any, fakes: Fakes) -> Any:
    if isinstance(value, str):
        return render(value, fakes)
    if isinstance(value, dict):
        return {render(name, fakes): _fill(item, fakes) for name, item in value.items()}
    return [_fill(item, fakes) for item in value] if isinstance(value, list) else value
