"""The check ``schema``: memories keep the rules of vmig, and their vectors fit what their namespace holds already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from vexrepo.config import CHECKS
from vexrepo.errors import CODES
from vexrepo.formats import validation
from vexrepo.formats.schema import BY_NAME
from vexrepo.hooks.check import Change, Check, Finding, Severity
from vexrepo.hooks.surrounding import Shape, Surrounding, shape_of
from vexrepo.objects.vector import Vector

NAMED = 20  # memories of one kind of misfit that are named; the rest is counted

_FIELDS = {
    "id-missing": "id",
    "namespace-type": "namespace",
    "version-missing": "vex_version",
    "vector-type": "vector",
    "vector-shape": "vector",
    "not-finite": "vector",
    "dims-mismatch": "dims",
    "time-form": "created_at",
    "time-number": "created_at",
    "metadata-list": "metadata",
    "metadata-nested": "metadata",
}


@dataclass(slots=True)
class _Misfits:
    """Memories of one namespace whose vectors are of a shape that does not fit, and what would fit."""

    expected: Shape
    ids: list[str] = field(default_factory=list)
    count: int = 0


class SchemaCheck(Check):
    """Each memory alone against the format; its vectors against those of its namespace, or of its model elsewhere."""

    name: ClassVar[str] = "schema"
    meaning: ClassVar[str] = "the rules of vmig; vectors that fit their namespace's model and dims"
    settings = CHECKS["schema"]

    def __init__(self, severity: Severity, *, strict: bool) -> None:
        self._severity = severity
        self._strict = strict
        # By namespace and vector name: the shapes that fit.
        self._known: defaultdict[tuple[str, str], list[Shape]] = defaultdict(list)
        self._of_models: defaultdict[tuple[str, str], list[Shape]] = defaultdict(list)
        self._counts: Mapping[str, Mapping[Shape, int]] = {}
        self._misfits: dict[tuple[str, Shape], _Misfits] = {}

    @classmethod
    def make(cls, settings: Mapping[str, Any]) -> Self:
        """Return the check with settings.  Raises: UsageError (bad-config)."""
        given = cls.complete(settings)
        return cls(cls.severity_of(given, "severity"), strict=given["strict"])

    def enter(self, surrounding: Surrounding) -> None:
        """Hold vectors to those of the memory that the changes enter."""
        self._counts = surrounding.vectors
        for namespace, shapes in surrounding.vectors.items():
            for shape in sorted(shapes, key=lambda each: -shapes[each]):
                self._known[namespace, shape.name].append(shape)
        for shape in sorted({each for shapes in surrounding.vectors.values() for each in shapes}, key=str):
            if shape.model is not None:
                self._of_models[shape.name, shape.model].append(shape)

    def look(self, changes: Sequence[Change]) -> Iterator[Finding]:
        """Yield what breaks the format; what does not fit is said at the end."""
        for change in changes:
            if change.after is None:
                continue
            namespace, identifier = change.name
            for found in validation.check_record(change.after).findings:
                # What the format merely discourages is said by ``vex validate``: here it would drown the rest.
                if validation.severity(found.code, strict=self._strict) == "error":
                    yield Finding(
                        self.name,
                        found.code,
                        self._severity,
                        namespace,
                        identifier,
                        _field(found),
                        # Not the words of ``vex validate``, which quote the value: it may be a secret.
                        CODES[found.code],
                    )
            self._note_vectors(namespace, identifier, change)

    def _note_vectors(self, namespace: str, identifier: str, change: Change) -> None:
        assert change.after is not None
        for item in change.after.vectors:
            shape = shape_of(item.space)
            fitting = self._known[namespace, shape.name]
            if shape in fitting or (change.before is not None and _has(change.before.vectors, shape)):
                continue
            elsewhere = () if shape.model is None else self._of_models[shape.name, shape.model]
            misfit = next((each for each in fitting if _clash(each, shape)), None) or (
                fitting[0] if fitting and not _like(fitting[0], shape) else None
            )
            if not fitting:
                if elsewhere and shape not in elsewhere:
                    misfit = elsewhere[0]
                else:
                    fitting.append(shape)  # the first of a new namespace says what the others should be
            if misfit is not None:
                found = self._misfits.setdefault((namespace, shape), _Misfits(misfit))
                found.count += 1
                if len(found.ids) < NAMED:
                    found.ids.append(identifier)

    def finish(self, total: int | None) -> Iterator[Finding]:
        """Yield the memories whose vectors do not fit."""
        for (namespace, shape), found in self._misfits.items():
            clashes = _clash(found.expected, shape)
            # All of a namespace embedded anew is a decision; some of it is a mistake.
            held = sum(n for each, n in self._counts.get(namespace, {}).items() if each.name == shape.name)
            is_whole = bool(held) and found.count >= held
            severity = self._severity if clashes and not is_whole else min(Severity.WARNING, self._severity)
            where = f"namespace {namespace!r:.60}" if namespace else "the memories without a namespace"
            rest = f"; {found.count} memories in all" if found.count > 1 else ""
            for identifier in found.ids:
                yield Finding(
                    self.name,
                    "dims-other" if clashes else "model-other",
                    severity,
                    namespace,
                    identifier,
                    f"vectors.{shape.name}" if shape.name else "vector",
                    f"a vector of {_words(shape)} in {where}, where {_words(found.expected)} is used{rest}",
                )


def _has(vectors: Sequence[Vector], shape: Shape) -> bool:
    return any(shape_of(each.space) == shape for each in vectors)


def _like(one: Shape, other: Shape) -> bool:
    """Whether two shapes may be of one model: a record need not name it."""
    unnamed = one.model is None or other.model is None
    return (one.kind, one.dims) == (other.kind, other.dims) and (unnamed or one.model == other.model)


def _clash(one: Shape, other: Shape) -> bool:
    """Whether two shapes cannot both be right: one model, other dims."""
    return (one.model == other.model or one.model is None or other.model is None) and (one.kind, one.dims) != (
        other.kind,
        other.dims,
    )


def _words(shape: Shape) -> str:
    """Return a shape for people.  A model's name is the sender's word: it is cut to size."""
    model = "an unnamed model" if shape.model is None else f"{shape.model!r:.60}"
    return f"{model}, {shape.dims} dims" if shape.dims else f"{model}, sparse"


def _field(found: validation.Finding) -> str:
    first = found.message.split(" ", 1)[0]
    return _FIELDS.get(found.code) or (first if first in BY_NAME else "")
