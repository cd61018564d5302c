"""Commits, snapshots and refs in words and in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vexrepo.cli.output import added, heading, quiet
from vexrepo.cli.text import counted, iso, memories, plain, shorten, signs, when
from vexrepo.storage.oplog import BRANCHES, View

if TYPE_CHECKING:
    from vexrepo.objects.commit import Commit
    from vexrepo.objects.digest import CommitId
    from vexrepo.objects.snapshot import Snapshot


def place_words(view: View) -> str:
    """Return where HEAD is: a branch's name, or ``detached at 3f9c2d1``."""
    if view.branch is not None:
        return plain(view.branch)
    assert view.commit is not None
    return f"detached at {view.commit.short}"


def space_words(snapshot: Snapshot) -> str:
    """Return the embedding spaces of a snapshot: ``bge-small-en-v1.5, 384 dims``."""
    labels = []
    for space in snapshot.spaces:
        shape = f"{space['dims']} dims" if space.get("dims") else "sparse"
        parts = (space.get("name"), shorten(str(space.get("model") or ""), 60), shape)
        labels.append(", ".join(plain(str(part)) for part in parts if part))
    distinct = list(dict.fromkeys(labels))
    more = len(distinct) - 2
    return " + ".join(distinct[:2]) + (f" and {counted(more, 'more embedding space')}" if more > 0 else "")


def content_words(commit: Commit, snapshot: Snapshot) -> list[str]:
    """Return what a commit holds: memories, namespaces, edges, embedding spaces."""
    parts = [memories(snapshot.records.count)]
    namespaces = _number(commit, "namespaces")
    if namespaces:
        parts.append(counted(namespaces, "namespace"))
    if snapshot.edges.count:
        parts.append(counted(snapshot.edges.count, "edge"))
    spaces = space_words(snapshot)
    return [*parts, spaces] if spaces else parts


def _number(commit: Commit, name: str) -> int:
    found = commit.statistics.get(name)
    return found if isinstance(found, int) else 0


def change_signs(commit: Commit) -> str:
    """Return what a commit changed, as it says itself: ``+4 ~2 -1``."""
    return signs(_number(commit, "learned"), _number(commit, "changed"), _number(commit, "forgotten"))


def signer(commit: Commit) -> str:
    """Return the first digits of the key a commit names, "" if it names none (nothing is verified)."""
    key = commit.author.get("key")
    return plain(key[:4]) if isinstance(key, str) else ""


def decorations(view: View) -> dict[bytes, list[str]]:
    """Return the names each commit has: ``HEAD → main``, ``tag: v1``."""
    found: dict[bytes, list[str]] = {}
    if view.branch is None and view.commit is not None:
        found[view.commit] = ["HEAD"]
    for ref in sorted(view.refs, key=lambda name: (name != view.head, name)):
        kind, _, name = ref.partition("/")
        shown = f"HEAD → {name}" if ref == view.head else f"tag: {name}" if kind == "tags" else name
        found.setdefault(view.refs[ref], []).append(plain(shown))
    return found


def one_line(identifier: CommitId, commit: Commit, names: list[str]) -> str:
    """Return a commit in one line."""
    parts = [heading(identifier.short)]
    if names:
        parts.append(added(f"({', '.join(names)})"))
    parts.append(plain(shorten(commit.subject, 100)))
    changes = change_signs(commit)
    return " ".join(parts) + (quiet(f"  {changes}") if changes else "")


def commit_block(identifier: CommitId, commit: Commit, names: list[str], now_us: int) -> list[str]:
    """Return a commit's header and message, as lines."""
    signed = signer(commit)
    by = plain(shorten(str(commit.author.get("name", "unknown")), 100))
    lines = [
        heading(f"commit {identifier.hex()[:16]}") + (" " + added(f"({', '.join(names)})") if names else ""),
        f"Author: {by}" + (quiet(f"  signed by {signed}") if signed else quiet("  unsigned")),
        f"Date:   {when(commit.time_us, now_us)}",
        "",
    ]
    if len(commit.parents) > 1:
        lines.insert(1, "Merge:  " + " ".join(parent.short for parent in commit.parents))
    lines += [f"    {line}".rstrip() for line in plain(commit.message, lines=True).rstrip("\n").split("\n")]
    return lines


def commit_json(identifier: CommitId, commit: Commit, view: View | None = None) -> dict[str, Any]:
    """Return a commit as JSON; with a view, also the full names of the refs that are at it."""
    value: dict[str, Any] = {
        "id": identifier.hex(),
        "snapshot": commit.snapshot.hex(),
        "parents": [parent.hex() for parent in commit.parents],
        "author": commit.author,
        "time": iso(commit.time_us),
        "time_us": commit.time_us,
        "message": commit.message,
        "source": commit.source,
        "statistics": commit.statistics,
    }
    if view is not None:
        value["refs"] = sorted(name for name, commit_id in view.refs.items() if commit_id == identifier)
        value["head"] = view.commit == identifier
    return value


def branch_of(view: View, revision: str) -> str | None:
    """Return the branch a revision names exactly, None if it is anything else."""
    name = revision.removeprefix(BRANCHES)
    return name if BRANCHES + name in view.refs or view.head == BRANCHES + name else None
