"""``vex verify REV`` and ``vex verify A..B``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vexrepo.cli.describe import decorations
from vexrepo.cli.describe_signatures import is_enough, judged_lines, missing_author, signatures_json
from vexrepo.cli.failures import DONE, FAILED
from vexrepo.cli.output import added, emit, emit_stream, heading, quiet, removed, say
from vexrepo.cli.surroundings import Edge
from vexrepo.cli.text import counted, memories, plain

if TYPE_CHECKING:
    from vexrepo.objects.trust import Policy
    from vexrepo.repository.verifying import CommitVerdict


def verify_commits(edge: Edge, revision: str, policy: Policy | None, as_json: bool) -> int:
    """Judge commits and their signatures."""
    from vexrepo.history.revision import split_range

    repository = edge.repository(trusts=True)
    commits = repository.commits_in(revision)
    found = repository.verify(commits)
    names = decorations(repository.view())
    if split_range(revision) is not None:
        return _range(edge, revision, len(commits), found, policy, as_json, names)
    [one] = found
    good = _is_good(one, policy)
    if as_json:
        emit({"ok": good, "policy": policy.value if policy is not None else None, **_to_json(one)})
    else:
        for line in _lines(one, names):
            say(line)
    return DONE if good else FAILED


def _is_good(found: CommitVerdict, policy: Policy | None) -> bool:
    return found.damage is None and is_enough(found.verdict, policy)


def _range(
    edge: Edge,
    revision: str,
    total: int,
    found: Iterator[CommitVerdict],
    policy: Policy | None,
    as_json: bool,
    names: dict[bytes, list[str]],
) -> int:
    good = bad = 0

    def judged() -> Iterator[CommitVerdict]:
        nonlocal good, bad
        for each in found:
            is_good = _is_good(each, policy)
            good, bad = good + is_good, bad + (not is_good)
            edge.progress("verifying commits", good + bad, total)
            yield each

    if as_json:
        head = {"range": revision, "policy": policy.value if policy is not None else None}
        values = ({"ok": _is_good(each, policy), **_to_json(each)} for each in judged())
        emit_stream(head, "commits", values, ({"good": good, "ok": not bad} for _ in range(1)))
        return FAILED if bad else DONE
    for each in judged():
        if not _is_good(each, policy):
            for line in _lines(each, names):
                say(line)
    if bad:
        say(removed(f"{counted(bad, 'commit')} of {plain(revision)} not good") + f", {good} good")
    elif good:
        say(
            added(f"{counted(good, 'commit')} of {plain(revision)} good") + ", and every memory as its commit's id says"
        )
    else:
        say(f"no commits in {plain(revision)}")
    return FAILED if bad else DONE


def _to_json(found: CommitVerdict) -> dict[str, Any]:
    value: dict[str, Any] = {"commit": found.id.hex(), "verdict": found.verdict.value if found.verdict else None}
    value["signatures"] = signatures_json(found.signatures)
    value["missing_signature"] = missing_author(found.author, found.signatures) or None
    value["records"] = found.records
    damage = found.damage
    value["damage"] = {"code": damage.code, "message": str(damage)} if damage is not None else None
    return value


def _lines(found: CommitVerdict, names: dict[bytes, list[str]]) -> Iterator[str]:
    subject = plain(found.commit.subject) if found.commit is not None else ""
    refs = added(f" ({', '.join(names[found.id])})") if found.id in names else ""
    yield f"commit {heading(found.id.short)}{refs} {subject}"
    if found.commit is not None:
        yield from (f"  {line}" for line in judged_lines(found.author, found.signatures))
    if found.damage is None:
        yield "  " + added(f"content intact: {memories(found.records)} read and checked against the commit's id")
    else:
        yield "  " + removed("content damaged: ") + plain(str(found.damage)) + quiet(f"  [{found.damage.code}]")
