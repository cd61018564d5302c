"""Merging, reverting and cherry-picking: all bring what one commit changed since another into the current branch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from vexrepo.errors import InvalidData, StateError, UsageError
from vexrepo.history import build
from vexrepo.history.ancestry import is_ancestor, merge_bases
from vexrepo.history.build import Edit
from vexrepo.history.census import Census
from vexrepo.history.conflict import Conflict, Resolve
from vexrepo.history.merge import Outcome, iter_merge_edits
from vexrepo.history.policy import Policy
from vexrepo.objects.digest import CommitId
from vexrepo.objects.snapshot import Snapshot, TreeRoot
from vexrepo.remotes.intake import Tally
from vexrepo.repository import mergestate
from vexrepo.repository.core import Core
from vexrepo.repository.editing import write_commit
from vexrepo.repository.gating import branch_event, iter_changes, pass_gate
from vexrepo.repository.mergestate import MergeState
from vexrepo.storage.oplog import View
from vexrepo.storage.store import Writer

Kind: TypeAlias = Literal["up-to-date", "fast-forward", "merged", "conflicts", "preview"]


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What a merge did.  ``commit`` is where the branch is now; with conflicts, where it still is."""

    kind: Kind
    commit: CommitId
    outcome: Outcome = field(default_factory=Outcome)
    collections: tuple[str, ...] = ()  # kinds of store whose settings both sides changed: ours were kept


def merge(
    repository: Core,
    theirs: CommitId,
    name: str,
    policy: Policy,
    *,
    message: str = "",
    allow_unrelated: bool = False,
    fast_forward: Literal["allowed", "only", "never"] = "allowed",
    keep_conflicts: bool = False,
    dry_run: bool = False,
) -> MergeResult:
    """Merge a commit into the current branch.

    With ``keep_conflicts``, what is in conflict is committed as such (``history.merge.mark_conflicts``).

    Raises: StateError (merge-under-way, unrelated-histories, not-fast-forward, unborn-branch), Locked.  Conflicts
    are no error: the merge then waits, kept in a file, for ``resolve`` and ``proceed``.
    """
    with repository.lock():
        view, ours = _start(repository)
        if is_ancestor(repository.commit_at, theirs, ours):
            return MergeResult("up-to-date", ours)
        if is_ancestor(repository.commit_at, ours, theirs) and fast_forward != "never":
            if not dry_run:
                _pass(repository, "merge", name, repository.records_root(ours), repository.records_root(theirs))
                repository.record(view.with_commit(theirs), "merge", f"fast-forward to {name}")
            return MergeResult("preview" if dry_run else "fast-forward", theirs)
        if fast_forward == "only":
            raise StateError(
                f"{view.branch or 'HEAD'} and {name} have both moved on, so this is no fast-forward; merge without "
                "--ff-only",
                code="not-fast-forward",
            )
        text = message or f"Merge {name}" + (f" into {view.branch}" if view.branch else "")
        state = MergeState("merge", name, view.head, ours, theirs, text, policy, allow_unrelated)
        return _attempt(repository, state, dry_run=dry_run, keep_conflicts=keep_conflicts)


def begin(repository: Core, theirs: CommitId, name: str) -> MergeResult | None:
    """Put a branch that has no commit yet at a commit; None where the current branch has some.  Raises: Locked."""
    with repository.lock():
        view = repository.view()
        if view.commit is not None:
            return None
        _pass(repository, "merge", name, None, repository.records_root(theirs))
        repository.record(view.with_commit(theirs), "merge", f"{view.branch} begins at {name}")
    return MergeResult("fast-forward", theirs)


def revert(
    repository: Core, commit: CommitId, name: str, policy: Policy, *, message: str = "", dry_run: bool = False
) -> MergeResult:
    """Take back what a commit changed, as a new commit.  Raises: as ``merge``."""
    with repository.lock():
        view, ours = _start(repository)
        text = message or f'Revert "{repository.commit_at(commit).subject}"\n\nThis takes back commit {commit.hex()}.'
        state = MergeState("revert", name, view.head, ours, commit, text, policy)
        return _attempt(repository, state, dry_run=dry_run)


def cherry_pick(
    repository: Core, commit: CommitId, name: str, policy: Policy, *, message: str = "", dry_run: bool = False
) -> MergeResult:
    """Make the change of a commit once more, on the current branch.  Raises: as ``merge``."""
    with repository.lock():
        view, ours = _start(repository)
        text = message or f"{repository.commit_at(commit).message}\n\n(picked from commit {commit.hex()})"
        state = MergeState("cherry-pick", name, view.head, ours, commit, text, policy)
        return _attempt(repository, state, dry_run=dry_run)


def conflicts(repository: Core) -> tuple[MergeState, list[Conflict]]:
    """Return the merge under way and its conflicts that are still open.  Raises: StateError (no-merge)."""
    with repository.lock():  # a criss-cross has a base of its own, which is written
        state = _under_way(repository)
        return state, _preview(repository, state).conflicts


def proceed(repository: Core) -> MergeResult:
    """Finish the merge under way.  Raises: StateError (no-merge, conflicts-open, head-moved)."""
    with repository.lock():
        state = _under_way(repository)
        view = repository.view()
        if (view.head, view.commit) != (state.head, state.ours):
            raise StateError(
                f"{view.branch or 'HEAD'} moved since the merge began, from {state.ours.short} to "
                f"{view.commit.short if view.commit else 'nothing'}; drop it with `vex merge --abort` and begin again",
                code="head-moved",
            )
        result = _attempt(repository, state)
        if result.kind == "conflicts":
            count = len(result.outcome.conflicts)
            raise StateError(
                f"{count} conflict{'s are' if count > 1 else ' is'} still open: `vex conflicts` lists them, "
                "`vex resolve` settles one",
                code="conflicts-open",
            )
        return result


def abort(repository: Core) -> MergeState | None:
    """Drop the merge under way and return it; None where its record was damaged.  Raises: StateError (no-merge)."""
    with repository.lock():
        if not (repository.folder / mergestate.FILE).exists():
            raise _no_merge()
        try:
            state = mergestate.read_state(repository.folder)
        except InvalidData:
            state = None
        mergestate.remove_state(repository.files, repository.folder)
        return state


def resolve(repository: Core, state: MergeState) -> list[Conflict]:
    """Keep a merge state with more resolutions, and return what is still open.

    Raises: InvalidData where the values chosen make no record; then nothing is kept.
    """
    with repository.lock():
        _under_way(repository)
        left = _preview(repository, state).conflicts
        mergestate.write_state(repository.files, repository.folder, state)
        return left


def _start(repository: Core) -> tuple[View, CommitId]:
    mergestate.check_none(repository.folder)
    view = repository.view()
    if view.commit is None:
        raise StateError(
            f"branch {view.branch} has no commit yet; begin with `vex commit -m MESSAGE`, or `vex switch` to another",
            code="unborn-branch",
        )
    return view, view.commit


def _no_merge() -> StateError:
    return StateError("no merge is under way", code="no-merge")


def _under_way(repository: Core) -> MergeState:
    state = mergestate.read_state(repository.folder)
    if state is None:
        raise _no_merge()
    return state


# -- the three trees ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Inputs:
    """The snapshots of a three-way merge, and the times of our and their commit."""

    base: Snapshot
    ours: Snapshot
    theirs: Snapshot
    times_us: tuple[int, int]


def _inputs(repository: Core, state: MergeState) -> _Inputs:
    ours, theirs = repository.snapshot_of(state.ours), repository.snapshot_of(state.theirs)
    assert ours is not None and theirs is not None
    their_commit = repository.commit_at(state.theirs)
    times_us = (repository.commit_at(state.ours).time_us, their_commit.time_us)
    if state.action == "merge":
        return _Inputs(_base(repository, state, ours), ours, theirs, times_us)
    if len(their_commit.parents) > 1:
        raise UsageError(
            f"{state.name} is a merge of {len(their_commit.parents)} commits, so what it changed depends on the side; "
            f"{state.action} the commits it brought in one by one",
            code="bad-option",
        )
    parent = repository.snapshot_of(their_commit.parents[0]) if their_commit.parents else _empty(repository, theirs)
    assert parent is not None
    if state.action == "revert":
        return _Inputs(theirs, ours, parent, times_us)
    return _Inputs(parent, ours, theirs, times_us)


def _base(repository: Core, state: MergeState, ours: Snapshot) -> Snapshot:
    bases = merge_bases(repository.commit_at, state.ours, state.theirs)
    if not bases:
        if not state.allow_unrelated:
            raise StateError(
                f"{state.name} and the current branch have no commit in common; to merge them as if both had begun "
                "empty: --allow-unrelated-histories",
                code="unrelated-histories",
            )
        return _empty(repository, ours)
    return _virtual_base(repository, bases)


def _virtual_base(repository: Core, bases: list[CommitId]) -> Snapshot:
    """Return the snapshot of one base; of several (a criss-cross), that of the bases merged with one another.

    Where the bases disagree, what they in turn began with is the base: then both sides count as having changed it.
    """
    merged = repository.snapshot_of(bases[0])
    assert merged is not None
    for position, other in enumerate(bases[1:], 1):
        theirs = repository.snapshot_of(other)
        assert theirs is not None
        below = merge_bases(repository.commit_at, bases[position - 1], other)
        base = _virtual_base(repository, below) if below else _empty(repository, merged)
        trees = _ThreeWay(repository, _Inputs(base, merged, theirs, (0, 0)), Policy(), lambda conflict: conflict.base)
        with repository.objects.writer() as writer:
            records, edges = trees.write(writer)
            writer.finish()
        merged = replace(merged, records=records, edges=edges)
    return merged


def _empty(repository: Core, like: Snapshot) -> Snapshot:
    """Return the snapshot of no memories, with leaves as large as another's."""
    with repository.objects.writer() as writer:
        root = build.edit_tree(None, writer, None, (), like.leaf_records)
        writer.finish()
    return Snapshot(root, root, like.leaf_records)


class _ThreeWay:
    """The merge of both trees of three snapshots; ``outcome`` is complete once the edits of both were taken."""

    def __init__(
        self, repository: Core, inputs: _Inputs, policy: Policy, resolve: Resolve, *, keep_conflicts: bool = False
    ) -> None:
        self._objects = repository.objects
        self._inputs, self._policy, self._resolve, self._keep = inputs, policy, resolve, keep_conflicts
        self._graph = Outcome()
        self.outcome = Outcome()

    def _edits(self, of: Callable[[Snapshot], TreeRoot], outcome: Outcome, *, are_edges: bool) -> Iterator[Edit]:
        inputs = self._inputs
        return iter_merge_edits(
            self._objects,
            of(inputs.base),
            of(inputs.ours),
            of(inputs.theirs),
            self._policy,
            outcome,
            inputs.times_us,
            self._resolve,
            are_edges=are_edges,
            keep_conflicts=self._keep,
        )

    def record_edits(self) -> Iterator[Edit]:
        """Yield the edits of our records."""
        return self._edits(lambda snapshot: snapshot.records, self.outcome, are_edges=False)

    def edge_edits(self) -> Iterator[Edit]:
        """Yield the edits of our edges."""
        yield from self._edits(lambda snapshot: snapshot.edges, self._graph, are_edges=True)
        self.outcome.conflicts += self._graph.conflicts
        self.outcome.edges += self._graph.learned + self._graph.changed + self._graph.forgotten

    def write(self, writer: Writer, census: Census | None = None) -> tuple[TreeRoot, TreeRoot]:
        """Write the merged trees and return the roots of records and edges."""
        ours = self._inputs.ours
        records = build.edit_tree(
            self._objects, writer, ours.records, self.record_edits(), ours.leaf_records, None, census
        )
        return records, build.edit_tree(self._objects, writer, ours.edges, self.edge_edits(), ours.leaf_records)


def _preview(repository: Core, state: MergeState) -> Outcome:
    """Return what a merge would do, without committing.  The caller holds the lock."""
    trees = _ThreeWay(repository, _inputs(repository, state), state.policy, state.resolve)
    for edits in (trees.record_edits(), trees.edge_edits()):
        deque(edits, maxlen=0)
    return trees.outcome


def _attempt(
    repository: Core, state: MergeState, *, dry_run: bool = False, keep_conflicts: bool = False
) -> MergeResult:
    """Merge, and commit where nothing is in conflict; otherwise keep the state.  The caller holds the lock."""
    if dry_run:
        return MergeResult("preview", state.ours, _preview(repository, state))
    inputs, census = _inputs(repository, state), Census(repository.objects)
    trees = _ThreeWay(repository, inputs, state.policy, state.resolve, keep_conflicts=keep_conflicts)
    with repository.objects.writer() as writer:
        records, edges = trees.write(writer, census)
        outcome = trees.outcome
        if outcome.conflicts and not keep_conflicts:
            mergestate.write_state(repository.files, repository.folder, state)
            return MergeResult("conflicts", state.ours, outcome)
        collections, undecided = _merge_collections(inputs)
        snapshot = Snapshot(records, edges, inputs.ours.leaf_records, census.spaces_json(), collections)
        if state.action != "merge" and snapshot.encode()[0] == repository.commit_at(state.ours).snapshot:
            mergestate.remove_state(repository.files, repository.folder)
            raise StateError(
                f"nothing to {state.action}: the current branch already is as it would be", code="nothing-to-commit"
            )
        more = {"conflicts": len(outcome.conflicts)} if outcome.conflicts else {}
        made = write_commit(
            repository,
            writer,
            (state.ours, state.theirs) if state.action == "merge" else (state.ours,),
            snapshot,
            state.message,
            {"kind": state.action, "store": state.name},
            Tally(outcome.learned, outcome.changed, outcome.forgotten),
            len(census.namespaces),
            **more,
        )
        packs = writer.finish()
    _pass(repository, state.action, state.name, inputs.ours.records, records, packs)
    repository.record(repository.view().with_commit(made), state.action, state.message.split("\n", 1)[0], packs)
    # A crash before this leaves a state whose HEAD has moved, which `--continue` refuses and `--abort` drops.
    mergestate.remove_state(repository.files, repository.folder)
    return MergeResult("merged", made, outcome, undecided)


def _pass(
    repository: Core, action: str, name: str, old: TreeRoot | None, new: TreeRoot | None, packs: Sequence[str] = ()
) -> None:
    """Let the gate see what a merge brings into the current branch.  Raises: Vetoed."""
    assert new is not None
    event = branch_event(repository, "pre-merge", {"kind": action, "name": name}, new.count)
    pass_gate(repository, event, lambda: iter_changes(repository.objects, old, new), packs)


def _merge_collections(inputs: _Inputs) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the settings of collections, and the kinds of store for which both sides changed them (ours are kept)."""
    base, ours, theirs = (each.collections for each in (inputs.base, inputs.ours, inputs.theirs))
    found, undecided = dict(ours), []
    for kind in sorted({*base, *theirs}):
        if ours.get(kind) == base.get(kind):
            if kind in theirs:
                found[kind] = theirs[kind]
            else:
                found.pop(kind, None)
        elif theirs.get(kind) not in (base.get(kind), ours.get(kind)):
            undecided.append(kind)
    return found, tuple(undecided)
