"""One push: a commit with what is new in it, and the branch moved to it only from where it is expected."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from vexrepo.errors import HostError
from vexrepo.remotes.hosts.base import Access, HostMoved, Limits, OutcomeUnknown, Tip
from vexrepo.remotes.hosts.git_errors import Unreachable, is_cut_off, is_race, refusal
from vexrepo.remotes.hosts.git_objects import (
    ABSENT,
    MOST_BYTES,
    GitObject,
    check_paths,
    make_blob,
    make_commit,
    make_trees,
    next_files,
)
from vexrepo.remotes.hosts.git_pack_out import PackOut
from vexrepo.remotes.hosts.git_wire import (
    MOST_REPORT,
    RECEIVE,
    Packets,
    Report,
    Session,
    Wire,
    read_report,
    receive_request,
)

_LOCK_PAUSES_S: Final = (0.05, 0.2, 0.5, 1.0)  # while another writer holds the branch's lock


@dataclass(frozen=True, slots=True)
class Push:
    """What is to be published at ``where``: ``objects`` are new there, the last one is the commit of ``tip``."""

    where: str
    expected: str | None
    tip: Tip
    objects: list[GitObject]


def make_push(
    where: str,
    limits: Limits,
    expected: Tip | None,
    add: Mapping[str, Path | bytes],
    remove: Collection[str],
    *,
    alone: bool,
) -> Push:
    """Return the push of a change.  Raises: ValueError for impossible paths, HostError (host-limit, host-not-ours)."""
    check_paths(add)
    before = expected.files if expected is not None else {}
    blobs = {path: make_blob(content) for path, content in add.items()}
    _check_limits(where, limits, blobs)
    files = next_files(before, blobs, remove)
    root, trees = make_trees(files, where)
    held: set[str] = {file.id for file in before.values()} | make_trees(before, where)[1].keys()
    commit = make_commit(root, [] if alone or expected is None else [expected.version])
    new = {item.id: item for item in [*blobs.values(), *trees.values()] if item.id not in held}
    return Push(where, expected.version if expected else None, Tip(commit.id, files), [*new.values(), commit])


def _check_limits(where: str, limits: Limits, blobs: Mapping[str, GitObject]) -> None:
    total = 0
    most_file = min(limits.file_bytes or MOST_BYTES, MOST_BYTES)
    for path, blob in blobs.items():
        total += blob.size
        if blob.size > most_file:
            raise HostError(
                f"{path} has {blob.size} bytes and {where} takes files of at most {most_file}; nothing was published",
                code="host-limit",
            )
    if limits.push_bytes is not None and total > limits.push_bytes:
        raise HostError(
            f"{total} bytes are to be published and {where} takes at most {limits.push_bytes} at once; nothing was "
            "published",
            code="host-limit",
        )


def deliver(push: Push, wire: Wire, access: Access) -> Tip:
    """Publish and return the new tip, known to be there.

    Raises: HostMoved, OutcomeUnknown; other errors have changed nothing: HostError (host-refused, host-limit,
    host-unreachable, host-answer, …), StorageFailure.
    """
    session = wire.begin(RECEIVE)
    try:
        if session.advert.tip == push.tip.version:  # an earlier try, whose answer was lost
            return push.tip
        if session.advert.tip != push.expected:
            raise moved(push, session.advert.tip)
        pack = PackOut(push.objects)
        try:
            report = _send(push, pack, session, wire, access)
        except HostError as error:
            if not pack.sent_all:  # without its end no host takes a pack
                raise _unchanged(error) from error
            if error.code not in ("host-unreachable", "host-answer"):
                raise
            if _current(wire) == push.tip.version:
                return push.tip
            raise OutcomeUnknown(
                f"{push.where} did not say whether it published what was sent ({error}); whether it did shows when its "
                "tip is read again",
                code="host-no-answer",
            ) from error
    finally:
        session.close()
    if report.taken:
        return push.tip
    return _refused(push, wire, report)


def _unchanged(error: HostError) -> HostError:
    """Return an error with the word that nothing was published."""
    if isinstance(error, Unreachable):
        return Unreachable(f"{error}; nothing was published", again=error.again, after_s=error.after_s, code=error.code)
    return error


def _send(push: Push, pack: PackOut, session: Session, wire: Wire, access: Access) -> Report:
    abilities = session.advert.abilities
    command = receive_request(push.expected or ABSENT, push.tip.version, abilities)
    body = chain([command], pack.chunks(lambda done: access.progress("sending bytes", done, pack.size)))
    answer = session.exchange(body, len(command) + pack.size)
    return read_report(Packets(answer, push.where, MOST_REPORT, wire.secrets), abilities, push.where, wire.secrets)


def _refused(push: Push, wire: Wire, report: Report) -> Tip:
    """Find out why a host did not move the branch: by where it is now, which its words alone do not tell."""
    if report.unpacked:
        for pause_s in (*_LOCK_PAUSES_S, None):
            session = wire.begin(RECEIVE)
            session.close()
            current = session.advert.tip
            if current == push.tip.version:
                return push.tip
            if current != push.expected:
                raise moved(push, current)
            if pause_s is None or not is_race(report.words):
                break
            time.sleep(pause_s)
    elif is_cut_off(report.words):
        raise Unreachable(
            f"what was sent did not arrive whole at {push.where} ({report.words}); nothing was published: try again"
        )
    raise refusal(push.where, report.words)


def _current(wire: Wire) -> str | None:
    """Return where the branch is now, None where it is not or cannot be asked."""
    try:
        session = wire.begin(RECEIVE)
    except HostError:
        return None
    session.close()
    return session.advert.tip


def moved(push: Push, current: str | None) -> HostMoved:
    """Return the error of a push that came too late."""
    return HostMoved(
        f"{push.where} has moved: expected {push.expected or 'an empty repository'}, got {current or 'one'}; nothing "
        "was published: fetch first, then publish again",
        code="host-moved",
    )
