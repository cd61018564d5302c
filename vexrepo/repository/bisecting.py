"""bisect: the first commit at which something is so, found by asking about as few commits as possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from vexrepo.errors import UsageError
from vexrepo.history.terms import Query, fold, possible_rows
from vexrepo.history.walk import LeafReader, iter_leaves
from vexrepo.objects.digest import CommitId
from vexrepo.objects.record import body_value
from vexrepo.repository.core import Core

Answer: TypeAlias = Literal["good", "bad", "skip"]


@dataclass(frozen=True, slots=True)
class Bisected:
    """What a bisection found: ``first`` is the first bad commit; ``suspects`` are all that may be it.

    Where commits had to be skipped, there may be several suspects and no ``first``.
    """

    first: CommitId | None
    suspects: list[CommitId]
    asked: list[tuple[CommitId, Answer]] = field(default_factory=list)


def bisect(repository: Core, good: CommitId | None, bad: CommitId, ask: Callable[[CommitId], Answer]) -> Bisected:
    """Return the first commit that is bad, among those ``bad`` descends from and ``good`` does not (None: all).

    ``ask`` is told a commit and says what it is; commits that descend from a bad one are taken to be bad, those a
    good one descends from to be good.  Asks about log2 of their number.
    """
    graph = _candidates(repository, good, bad)
    asked: list[tuple[CommitId, Answer]] = []
    skipped: set[CommitId] = set()
    while True:
        best = _middle(graph, bad, skipped)
        if best is None:  # only the bad one is left, and ones that had to be skipped
            return Bisected(bad if len(graph) == 1 else None, sorted(graph), asked)
        answer = ask(best)
        asked.append((best, answer))
        if answer == "skip":
            skipped.add(best)
        elif answer == "bad":
            bad = best
            graph = {each: graph[each] for each in _ancestors(graph, best)}
        else:
            gone = _ancestors(graph, best)
            graph = {each: parents - gone for each, parents in graph.items() if each not in gone}


def _candidates(repository: Core, good: CommitId | None, bad: CommitId) -> dict[CommitId, set[CommitId]]:
    """Return the commits in question with their parents among them."""
    fine = {identifier for identifier, _ in repository.history(good)} if good is not None else set()
    if bad in fine:
        assert good is not None
        raise UsageError(
            f"{bad.short}, which is to be bad, is an ancestor of {good.short}, which is to be good; swap them?",
            code="bad-option",
        )
    found = {identifier: commit for identifier, commit in repository.history(bad) if identifier not in fine}
    return {identifier: {p for p in commit.parents if p in found} for identifier, commit in found.items()}


def _ancestors(graph: dict[CommitId, set[CommitId]], start: CommitId) -> set[CommitId]:
    seen, stack = {start}, [start]
    while stack:
        for parent in graph[stack.pop()]:
            if parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return seen


def _middle(graph: dict[CommitId, set[CommitId]], bad: CommitId, skipped: set[CommitId]) -> CommitId | None:
    """Return the commit that divides the graph most evenly; None where only ``bad`` or skipped ones are left."""
    numbers: dict[CommitId, int] = {}
    below: dict[CommitId, int] = {}  # a bit for each commit at or below
    best, best_share = None, -1
    for each in _parents_first(graph, bad):
        numbers[each] = len(numbers)
        below[each] = 1 << numbers[each]
        for parent in graph[each]:
            below[each] |= below[parent]
        count = below[each].bit_count()
        share = min(count, len(graph) - count)
        if each != bad and each not in skipped and share > best_share:
            best, best_share = each, share
    return best


def _parents_first(graph: dict[CommitId, set[CommitId]], start: CommitId) -> list[CommitId]:
    """Return a commit and all below it, each after its parents."""
    found: dict[CommitId, None] = {}
    stack = [start]
    while stack:
        waiting = [parent for parent in sorted(graph[stack[-1]]) if parent not in found]
        if waiting:
            stack.append(waiting[0])
        else:
            found[stack.pop()] = None
    return list(found)


def believes(repository: Core, commit: CommitId, query: Query) -> bool:
    """Whether the text of any memory at a commit has all terms of a query and none of those it excludes."""
    root = repository.records_root(commit)
    assert root is not None
    for child in iter_leaves(repository.objects, root):
        bodies = list(LeafReader(repository.objects, child.id).bodies)
        for row in possible_rows(query, bodies):
            text = body_value(bodies[row]).get("text")
            if isinstance(text, str):
                folded = fold(text)
                if all(any(term.spans(folded)) for term in query.terms):
                    if not any(any(term.spans(folded)) for term in query.excluded):
                        return True
    return False
