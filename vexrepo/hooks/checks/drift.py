"""The check ``drift``: what is wrong with a batch as a whole.

Two alarms: a batch that rewrites or forgets more of the memory at once than a person would, and vectors that do not
belong to the model they claim, or were made to be found for everything.  Each says how it knows, and nothing where
there are too few vectors to tell.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from vexrepo.config import CHECKS
from vexrepo.hooks.check import Change, Check, Finding, Severity
from vexrepo.hooks.checks.drift_vectors import Oddity, VectorGroup
from vexrepo.hooks.surrounding import NOTHING_KNOWN, Shape, Surrounding, shape_of
from vexrepo.objects.record import Record, split_key
from vexrepo.objects.vector import Vector

LEAST_MEMORIES = 20  # a share of fewer says nothing
MOST_GROUPS = 1000  # embedding spaces and namespaces that are followed; a batch of more is odd by itself
NAMED = 5  # namespaces that are named


class DriftCheck(Check):
    """Shares of what is rewritten and forgotten; vectors by namespace and embedding space."""

    name: ClassVar[str] = "drift"
    meaning: ClassVar[str] = "a batch that changes too much at once, or whose vectors are not of their model"
    settings = CHECKS["drift"]

    def __init__(self, severity: Severity, share: float) -> None:
        self._severity = severity
        self._share = share
        self._surrounding = NOTHING_KNOWN
        self._rewritten: Counter[str] = Counter()
        self._forgotten: Counter[str] = Counter()
        self._learned = 0
        self._groups: dict[tuple[str, Shape], VectorGroup] = {}
        self._unfollowed = 0

    @classmethod
    def make(cls, settings: Mapping[str, Any]) -> Self:
        """Return the check with settings.  Raises: UsageError (bad-config)."""
        given = cls.complete(settings)
        return cls(cls.severity_of(given, "severity"), cls.share_of(given, "share"))

    def enter(self, surrounding: Surrounding) -> None:
        """Compare with the memory that the changes enter."""
        self._surrounding = surrounding

    def look(self, changes: Sequence[Change]) -> Iterator[Finding]:
        """Take changes in; yield vectors that are odd by themselves."""
        batch: defaultdict[tuple[str, Shape], list[tuple[Record, Vector]]] = defaultdict(list)
        for change in changes:
            namespace = change.name[0]
            if change.after is None:
                self._forgotten[namespace] += 1
                continue
            if change.before is None:
                self._learned += 1
            elif _is_rewritten(change.before, change.after):
                self._rewritten[namespace] += 1
            for item in change.after.vectors:
                if item.space.kind == "dense" and not (change.before and item in change.before.vectors):
                    batch[namespace, shape_of(item.space)].append((change.after, item))
        for (namespace, shape), items in batch.items():
            group = self._groups.get((namespace, shape))
            if group is None:
                if len(self._groups) == MOST_GROUPS:
                    self._unfollowed += len(items)
                    continue
                group = VectorGroup(shape, self._surrounding.sample(namespace, shape, VectorGroup.SAMPLE))
                self._groups[namespace, shape] = group
            for oddity in group.take(items):
                yield self._finding(namespace, shape, oddity)

    def finish(self, total: int | None) -> Iterator[Finding]:
        """Yield what the batch as a whole shows."""
        yield from self._shares(total)
        for (namespace, shape), group in self._groups.items():
            for oddity in group.finish():
                yield self._finding(namespace, shape, oddity)
        yield from self._other_dims()
        if self._unfollowed:
            yield Finding(
                self.name,
                "too-many-spaces",
                self._severity,
                "",
                "",
                "",
                f"more than {MOST_GROUPS:,} namespaces and spaces; {self._unfollowed:,} vectors were left out",
            )

    def _shares(self, total: int | None) -> Iterator[Finding]:
        rewritten, forgotten = sum(self._rewritten.values()), sum(self._forgotten.values())
        before = self._surrounding.total
        if before is None and total is not None:
            before = total - self._learned + forgotten
        found = self._share_finding("", "the memory", before, rewritten, forgotten)
        if found is not None:
            yield found
            return
        named = 0
        for namespace in sorted({*self._rewritten, *self._forgotten}):
            counts = self._rewritten[namespace], self._forgotten[namespace]
            what = f"namespace {namespace!r:.60}" if namespace else "the memories without a namespace"
            found = self._share_finding(namespace, what, self._surrounding.memories.get(namespace), *counts)
            if found is not None and named < NAMED:
                named += 1
                yield found

    def _share_finding(
        self, namespace: str, what: str, before: int | None, rewritten: int, forgotten: int
    ) -> Finding | None:
        if before is None or before < LEAST_MEMORIES or (rewritten + forgotten) / before <= self._share:
            return None
        share = (rewritten + forgotten) / before
        return Finding(
            self.name,
            "share",
            self._severity,
            namespace,
            "",
            "",
            f"{share:.0%} of {what} at once: {rewritten:,} of {before:,} rewritten, {forgotten:,} forgotten; "
            f"the limit is {self._share:.0%} (checks.drift_share)",
            round(min(share, 1.0), 3),
        )

    def _other_dims(self) -> Iterator[Finding]:
        """Yield namespaces to which most new vectors come with dims that nothing there has."""
        counts: defaultdict[tuple[str, str], Counter[int]] = defaultdict(Counter)
        for (namespace, shape), group in self._groups.items():
            counts[namespace, shape.name][shape.dims] += group.count
        for (namespace, name), by_dims in counts.items():
            held = {
                shape.dims
                for shape in self._surrounding.vectors.get(namespace, {})
                if shape.name == name and shape.kind == "dense"
            }
            odd = sum(count for dims, count in by_dims.items() if dims not in held)
            if held and odd * 2 > by_dims.total():
                yield Finding(
                    self.name,
                    "dims",
                    self._severity,
                    namespace,
                    "",
                    f"vectors.{name}" if name else "vector",
                    f"{odd:,} of {by_dims.total():,} vectors have {_listed(set(by_dims) - held)} dims, those of the "
                    f"namespace {_listed(held)}",
                    round(odd / by_dims.total(), 3),
                )

    def _finding(self, namespace: str, shape: Shape, oddity: Oddity) -> Finding:
        return Finding(
            self.name,
            oddity.rule,
            self._severity,
            namespace,
            "" if oddity.key is None else split_key(oddity.key)[1],
            f"vectors.{shape.name}" if shape.name else "vector",
            oddity.message,
            round(oddity.score, 3),
        )


def _listed(numbers: set[int]) -> str:
    shown = " or ".join(map(str, sorted(numbers)[:NAMED]))
    return shown if len(numbers) <= NAMED else f"{shown} …"


def _is_rewritten(before: Record, after: Record) -> bool:
    """Whether what is remembered changed: counters and times of an agent change all day."""
    if before.id == after.id:
        return False
    return before.vectors != after.vectors or before.text != after.text
