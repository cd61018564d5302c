"""A transfer from one store into another in words and in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vexrepo.cli.failures import DONE, PARTLY
from vexrepo.cli.output import emit, quiet, removed, say
from vexrepo.cli.surroundings import Edge
from vexrepo.cli.text import counted, memories, plain, seconds_words, size_words

if TYPE_CHECKING:
    from vexrepo.exchange.request import Request, Transferred
    from vexrepo.remotes.readback import Verified

_SHOWN = 10  # memories that were left out


def tell_transfer(
    edge: Edge, verb: str, done: Transferred, request: Request, as_json: bool, signature: str | None = None
) -> int:
    """Say what was done, and return the exit code.  ``signature``: the file it is in, where one was made."""
    code = PARTLY if done.skipped else DONE
    if as_json:
        emit({**transfer_json(done, request), "signature": signature})
        return code
    for problem_code, message in done.problems[:_SHOWN]:
        say(removed("left out: ") + plain(message) + quiet(f"  [{problem_code}]"), err=True)
    if done.skipped > _SHOWN:
        say(quiet(f"… and {done.skipped - _SHOWN:,} more"), err=True)
    count = done.selected if request.dry_run else done.written
    what = f"would have {verb}" if request.dry_run else verb
    say(f"{what} {memories(count)} from {plain(done.source)} → {plain(done.target)}")
    parts = []
    if done.read != count:
        parts.append(f"{done.read:,} read")
    if done.skipped:
        parts.append(f"{done.skipped:,} left out")
    if done.edges:
        parts.append(counted(done.edges, "edge"))
    parts += [_space(done)] if done.dims else []
    if done.size_bytes is not None:
        parts.append(size_words(done.size_bytes))
    if done.verified is not None and (done.verified.count is not None or done.verified.sample):
        parts.append(_verified_words(done.verified))
    parts.append(seconds_words(edge.elapsed_s()))
    say(" " + " · ".join(parts))
    if signature is not None:
        say(f" signature in {plain(signature)}")
    for note in done.notes:
        say(f"note: {plain(note)}")
    return code


def _verified_words(found: Verified) -> str:
    """Return ``verified: 312 there, 256 read back``."""
    parts = [f"{found.count:,} there"] if found.count is not None else []
    parts += [f"{found.sample:,} read back"] if found.sample else []
    return f"verified: {', '.join(parts)}"


def _verified_json(found: Verified) -> dict[str, Any]:
    return {"count": found.count, "sample": found.sample, "altered": found.altered}


def _space(done: Transferred) -> str:
    model = max(done.models, key=lambda name: done.models[name])
    dims = max(done.dims, key=lambda number: done.dims[number])
    more = " and others" if len(done.dims) > 1 or len(done.models) > 1 else ""
    return (f"{plain(model)}, " if model else "") + f"{dims} dims{more}"


def transfer_json(done: Transferred, request: Request) -> dict[str, Any]:
    """Return what was done as JSON."""
    return {
        "source": done.source,
        "target": done.target,
        "dry_run": request.dry_run,
        "read": done.read,
        "selected": done.selected,
        "written": done.written,
        "edges": done.edges,
        "skipped": done.skipped,
        "problems": [{"code": code, "message": message} for code, message in done.problems],
        "models": done.models,
        "dims": {str(dims): count for dims, count in done.dims.items()},
        "size_bytes": done.size_bytes,
        "verified": _verified_json(done.verified) if done.verified else None,
        "notes": done.notes,
    }
