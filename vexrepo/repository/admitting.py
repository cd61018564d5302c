"""The gate before what a remote sends: who signed the commits, against a policy; then checks and hooks.

Integrity was judged before: packs are checked whole before they come here.  Contract: hooks/CONTRACT.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from vexrepo.errors import Refused
from vexrepo.history.ancestry import is_ancestor
from vexrepo.hooks.check import Change
from vexrepo.hooks.event import Event
from vexrepo.objects.digest import CommitId
from vexrepo.objects.sources import Source, SourceKind
from vexrepo.objects.trust import Decision, code_of, combined, decide
from vexrepo.repository.gating import iter_changes, pass_gate, tell, undo_on_refusal

if TYPE_CHECKING:
    from vexrepo.objects.signature import Verdict
    from vexrepo.objects.trust import SignedBy
    from vexrepo.repository.core import Core
    from vexrepo.repository.remotes import RefMove, Remote


def admit(
    repository: Core,
    remote: Remote,
    moves: Sequence[RefMove],
    commits: Collection[CommitId],
    packs: Sequence[str] = (),
) -> list[str]:
    """Let in what a remote sent, or refuse it; return what has to be said of its signatures.

    ``moves`` are its refs that will be taken note of, ``commits`` the new ones, ``packs`` hold them: nothing refers to
    those yet, and they are removed on a refusal.
    Raises: Refused (signature-…, check-veto, hook-…).
    """
    event = _event(repository, "pre-import", remote, moves)

    def changes() -> Iterator[Change]:
        return _changes(repository, moves)

    with undo_on_refusal(repository, event, changes, packs):
        said = _check_signatures(repository, remote, commits)
    pass_gate(repository, event, changes, packs)
    return said


def tell_of_fetch(repository: Core, remote: Remote, moves: Sequence[RefMove]) -> None:
    """Tell the hooks of ``post-import`` of what was fetched."""
    if any(move.kind not in ("same", "deleted") for move in moves):
        tell(repository, _event(repository, "post-import", remote, moves), lambda: _changes(repository, moves))


def pass_push(repository: Core, remote: Remote, moves: Sequence[RefMove]) -> None:
    """Show what a remote would be given to the checks and hooks of ``pre-push``.  Raises: Vetoed."""
    event = _event(repository, "pre-push", remote, moves, is_push=True)
    pass_gate(repository, event, lambda: _changes(repository, moves))


def tell_of_push(repository: Core, remote: Remote, moves: Sequence[RefMove]) -> None:
    """Tell the hooks of ``post-push``."""
    event = _event(repository, "post-push", remote, moves, is_push=True)
    tell(repository, event, lambda: _changes(repository, moves))


def _event(repository: Core, name: str, remote: Remote, moves: Sequence[RefMove], *, is_push: bool = False) -> Event:
    there = {"kind": "remote", "name": remote.name, "address": remote.url}
    moved = [move.name for move in moves if move.kind != "same"]
    here = {"kind": "branch", "name": ", ".join(moved)}
    branch = moved[0].partition("/")[2] if len(moved) == 1 else None
    return Event(name, here if is_push else there, there if is_push else here, branch)


def _changes(repository: Core, moves: Iterable[RefMove]) -> Iterator[Change]:
    """Yield what each moved ref brings, one after another; a new branch brings what the current one has not."""
    return chain.from_iterable(_of_move(repository, move) for move in moves if move.kind not in ("same", "deleted"))


def _of_move(repository: Core, move: RefMove) -> Iterator[Change]:
    assert move.new is not None
    old = move.old if move.old is not None and move.old in repository.objects else None
    head = repository.view().commit
    if old is None and head is not None and head in repository.objects:
        old = head if is_ancestor(repository.commit_at, head, move.new) else None
    new = repository.records_root(move.new)
    assert new is not None
    return iter_changes(repository.objects, repository.records_root(old), new)


def _check_signatures(repository: Core, remote: Remote, commits: Collection[CommitId]) -> list[str]:
    """Judge the signatures of commits.  Raises: Refused for the first that the policy does not let in."""
    policy = repository.policy_for(Source(SourceKind.REMOTE, remote.name))
    said: dict[str, int] = {}
    for commit in commits:
        made = repository.commit_at(commit)
        signatures = repository.signatures(commit)
        verdict = combined(signatures, made.author.get("key", ""))
        decision = decide(policy, verdict, is_remote=True)
        if decision is Decision.REFUSED:
            raise Refused(
                f"commit {commit.short} from {remote.name} was refused, and everything with it: "
                f"{_why(signatures, verdict)} (policy {policy.value})",
                code=code_of(verdict),
            )
        if decision is Decision.SAID:
            why = _short(signatures, verdict)
            said[why] = said.get(why, 0) + 1
    return [f"{count} commit{'s' if count > 1 else ''} {why}" for why, count in said.items()]


def _why(signatures: Sequence[SignedBy], verdict: Verdict | None) -> str:
    if verdict is None:
        return "it is unsigned: anybody may have made it"
    of_it = next((each.why for each in signatures if each.verdict is verdict and each.why), "")
    return of_it or "its author's signature is missing"


def _short(signatures: Sequence[SignedBy], verdict: Verdict | None) -> str:
    from vexrepo.storage.keys import fingerprint

    if verdict is None:
        return "unsigned"
    key = next((each.key for each in signatures if each.verdict is verdict), b"")
    return f"signed by {fingerprint(key)}, {verdict.value}"
