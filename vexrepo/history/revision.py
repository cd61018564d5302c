"""Revisions: what a user types to name a commit.

``HEAD`` (or ``@``), a branch, a tag, ``REMOTE/BRANCH`` (as last seen there), ``REMOTE`` alone for one that is a store,
``heads/NAME``, ``tags/NAME``, ``remotes/REMOTE/BRANCH``, an abbreviated id of 4 or more digits; then any number of
``~N`` (N first parents back), ``^N`` (the Nth parent), ``@{N}`` (N values of the ref ago), ``@{yesterday}``,
``@{2 hours ago}``, ``@{2026-11-20}``.
"""

from __future__ import annotations

import difflib
import re
from datetime import UTC, datetime, timedelta

from vexrepo.errors import UsageError
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import CommitId
from vexrepo.objects.kinds import ObjectType
from vexrepo.storage.oplog import BRANCHES, REMOTES, TAGS, OperationLog, View
from vexrepo.storage.store import ObjectStore

_SUFFIX = re.compile(r"(~[0-9]{0,9}|\^[0-9]{0,9}|@\{[^}]*\})")
_HEX = re.compile(r"[0-9a-f]{4,64}\Z")
_COUNT = re.compile(r"[0-9]{1,9}\Z")
_AGO = re.compile(r"^([0-9]{1,9})[ .]?(second|minute|hour|day|week|month|year)s?[ .]ago$")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800, "month": 2629800, "year": 31557600}
_BAD_NAME = re.compile(r"[\x00-\x20~^:?*\[\\\x7f]|\.\.|@\{|^[-/.]|[/.]$|//|\.lock$")


def read_commit(store: ObjectStore, identifier: CommitId) -> Commit:
    """Return a commit.  Raises: Tampered."""
    return Commit.decode(store.get(identifier, ObjectType.COMMIT))


def check_ref_name(name: str) -> str:
    """Return a name if it can be a branch's or tag's.  Raises: UsageError (ref-name)."""
    if not name or name in ("HEAD", "@") or _BAD_NAME.search(name) or _HEX.match(name):
        raise UsageError(
            f"{name!r} cannot be the name of a branch or tag: no spaces, ~ ^ : ? * [ \\, leading - or ., and not only "
            "hexadecimal digits",
            code="ref-name",
        )
    return name


def check_remote_name(name: str) -> str:
    """Return a name if it can be a remote's: that of a branch, without ``/``.  Raises: UsageError (ref-name)."""
    if "/" in name:
        raise UsageError(f"{name!r} cannot be the name of a remote: no /", code="ref-name")
    return check_ref_name(name)


def split_range(text: str) -> tuple[str, str] | None:
    """Return the sides of ``A..B`` (either may be empty, for HEAD), None for a text that is no range.

    Raises: UsageError (unknown-revision) for ``A...B``.
    """
    old, mark, new = text.partition("..")
    if not mark:
        return None
    if new.startswith(".") or ".." in new:
        raise UsageError(
            f"cannot understand the range {text!r}; A..B are the commits of B that A has not", code="unknown-revision"
        )
    return old, new


def resolve(text: str, view: View, store: ObjectStore, log: OperationLog, now_us: int) -> CommitId:
    """Return the commit a revision names.

    Raises: UsageError (unknown-revision, ambiguous-revision, unborn-branch).
    """
    match = _SUFFIX.search(text)
    base, rest = (text, "") if match is None else (text[: match.start()], text[match.start() :])
    steps = _SUFFIX.findall(rest)
    if "".join(steps) != rest:
        raise UsageError(f"cannot understand the revision {text!r}", code="unknown-revision")
    name = _ref_name(base or "HEAD", view)
    if steps and steps[0].startswith("@{"):
        commit = _earlier(text, name, steps.pop(0)[2:-1], log, now_us)
    else:
        commit = _base(base or "HEAD", name, view, store)
    for step in steps:
        commit = _step(text, commit, step, store)
    return commit


def _ref_name(base: str, view: View) -> str | None:
    """Return the full name of the ref a text means, "HEAD" for the head, None if it is no ref."""
    if base in ("HEAD", "@"):
        return "HEAD"
    for full in (base, BRANCHES + base, TAGS + base, REMOTES + base, f"{REMOTES}{base}/HEAD"):
        if full in view.refs:
            return full
    return "HEAD" if view.head == BRANCHES + base else None


def _base(base: str, name: str | None, view: View, store: ObjectStore) -> CommitId:
    if name == "HEAD":
        commit = view.commit
        if commit is None:
            raise UsageError(
                f"branch {view.branch} has no commit yet; make the first with `vex commit -m MESSAGE`",
                code="unborn-branch",
            )
        return commit
    if name is not None:
        return view.refs[name]
    if _HEX.match(base.lower()):
        found = store.matching(base.lower(), frozenset((ObjectType.COMMIT,)))
        if len(found) == 1:
            return CommitId(found[0][0])
        if found:
            choices = ", ".join(identifier.hex()[:12] for identifier, _ in found[:5])
            raise UsageError(
                f"{base} is the start of several commits: {choices}; give more digits", code="ambiguous-revision"
            )
    names = [ref.split("/", 1)[1] for ref in view.refs] + ["HEAD"]
    near = difflib.get_close_matches(base, names, n=1)
    raise UsageError(
        f"no branch, tag or commit is called {base!r}" + (f"; did you mean {near[0]}?" if near else "; see `vex log`"),
        code="unknown-revision",
    )


def _step(text: str, commit: CommitId, step: str, store: ObjectStore) -> CommitId:
    if step.startswith("@{"):
        raise UsageError(f"{step} must follow a branch or HEAD in {text!r}", code="unknown-revision")
    number = int(step[1:] or "1")
    if step[0] == "^":
        if number == 0:
            return commit
        parents = read_commit(store, commit).parents
        if number > len(parents):
            raise UsageError(
                f"{text}: commit {commit.short} has {len(parents)} parent{'s' * (len(parents) != 1)}, not {number}",
                code="unknown-revision",
            )
        return parents[number - 1]
    for gone in range(number):
        parents = read_commit(store, commit).parents
        if not parents:
            raise UsageError(f"{text}: history ends {gone} commits back, at {commit.short}", code="unknown-revision")
        commit = parents[0]
    return commit


def _earlier(text: str, name: str | None, when: str, log: OperationLog, now_us: int) -> CommitId:
    if name is None:
        raise UsageError(f"{text}: @{{…}} needs a branch, tag or HEAD before it", code="unknown-revision")
    values = _values(name, log)
    if _COUNT.match(when):
        distinct = [
            commit for number, (_, commit) in enumerate(values) if number == 0 or values[number - 1][1] != commit
        ]
        if int(when) < len(distinct):
            return distinct[int(when)]
        raise UsageError(f"{text}: {name} has had only {len(distinct)} values", code="unknown-revision")
    limit = parse_time(when, now_us)
    for time_us, commit in values:
        if time_us <= limit:
            return commit
    raise UsageError(
        f"{text}: {name} had no commit then; its first is of {show_day(values[-1][0]) if values else 'never'}",
        code="unknown-revision",
    )


def _values(name: str, log: OperationLog) -> list[tuple[int, CommitId]]:
    found = []
    for _, operation in log.walk():
        commit = operation.view.commit if name == "HEAD" else operation.view.refs.get(name)
        if commit is not None:
            found.append((operation.time_us, commit))
    return found


def show_day(time_us: int) -> str:
    """Return a time as a UTC day and minute."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")


def parse_time(text: str, now_us: int) -> int:
    """Return the microseconds since 1970 that a time a user typed means.  Raises: UsageError (unknown-revision)."""
    lowered = text.strip().lower()
    if lowered == "now":
        return now_us
    if lowered in ("yesterday", "today"):
        days = 1 if lowered == "yesterday" else 0
        return now_us - days * 86400 * 1_000_000
    ago = _AGO.match(lowered)
    if ago:
        return now_us - int(ago[1]) * _SECONDS[ago[2]] * 1_000_000
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"cannot understand the time {text!r}; write e.g. yesterday, 2 hours ago, 2026-11-20 or 2026-11-20T08:00",
            code="unknown-revision",
        ) from None
    if len(text.strip()) == 10:  # a day means its end
        moment += timedelta(days=1) - timedelta(microseconds=1)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000)
