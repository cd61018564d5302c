"""``vex verify STORE``: is what a store holds what a signed commit says?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vexrepo.cli.describe_signatures import MOST_SHOWN, is_enough, judged_lines, missing_author, signatures_json
from vexrepo.cli.failures import DONE, FAILED
from vexrepo.cli.options import selection
from vexrepo.cli.output import added, emit, heading, quiet, removed, say
from vexrepo.cli.surroundings import Edge
from vexrepo.cli.text import UNCHANGED, counted, memories, plain, tally
from vexrepo.objects.record import split_key

if TYPE_CHECKING:
    from vexrepo.objects.trust import Policy
    from vexrepo.remotes.stores.address import Address
    from vexrepo.repository.verifying import StoreVerdict


def verify_store(edge: Edge, address: Address, policy: Policy | None, given: dict[str, Any], as_json: bool) -> int:
    """Compare a store with the commit it was last seen at, and judge that commit's signatures."""
    repository = edge.repository(trusts=True)
    commit = repository.resolve(given["revision"]) if given["revision"] is not None else None
    chosen = selection(given["namespaces"], given["components"])
    found = repository.verify_store(address, commit, chosen)
    good = found.is_same and is_enough(found.commit.verdict, policy)
    if as_json:
        emit(_to_json(found, str(address), policy, good))
    else:
        for line in _lines(found, str(address), is_whole=chosen is None):
            say(line)
    return DONE if good else FAILED


def _to_json(found: StoreVerdict, address: str, policy: Policy | None, good: bool) -> dict[str, Any]:
    verdict = found.commit.verdict
    return {
        "ok": good,
        "policy": policy.value if policy is not None else None,
        "store": address,
        "commit": found.commit.id.hex(),
        "verdict": verdict.value if verdict is not None else None,
        "signatures": signatures_json(found.commit.signatures),
        "missing_signature": missing_author(found.commit.author, found.commit.signatures) or None,
        "same": found.is_same,
        "learned": found.learned,
        "changed": found.changed,
        "forgotten": found.forgotten,
        "edges": found.edges,
        "differences": [{"kind": kind, **_named(key)} for kind, key in found.differences],
    }


def _named(key: bytes) -> dict[str, str]:
    namespace, identifier = split_key(key)
    return {"namespace": namespace, "id": identifier}


def _lines(found: StoreVerdict, address: str, *, is_whole: bool) -> Iterator[str]:
    commit = found.commit
    assert commit.commit is not None
    at = f"commit {heading(commit.id.short)} {plain(commit.commit.subject)}"
    if found.is_same:
        what = memories(found.records) if is_whole else "what was selected"
        yield f"{plain(address)}: " + added(f"{what}, exactly as") + f" {at} " + added("says")
    else:
        parts = [tally(found.learned, found.changed, found.forgotten)]
        if found.edges:
            parts = [*(p for p in parts if p != UNCHANGED), counted(found.edges, "edge differs", "edges differ")]
        yield f"{plain(address)}: " + removed("NOT as") + f" {at} " + removed("says: " + ", ".join(parts))
        for kind, key in found.differences[:MOST_SHOWN]:
            named = _named(key)
            yield f"    {removed(kind)} {plain('/'.join(part for part in named.values() if part))}"
        more = found.learned + found.changed + found.forgotten - MOST_SHOWN
        if more > 0:
            yield quiet(f"    … and {counted(more, 'more memory', 'more memories')}: vex diff {commit.id.short}")
    yield from (f"  {line}" for line in judged_lines(commit.author, commit.signatures))
