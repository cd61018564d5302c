"""``vex merge``, ``vex revert`` and ``vex cherry-pick``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from vexrepo.cli.conflicts import conflict_json, conflict_lines
from vexrepo.cli.describe import place_words
from vexrepo.cli.failures import CONFLICTS, DONE
from vexrepo.cli.options import REVISION, as_json, example, mixing, no_verify
from vexrepo.cli.output import emit, heading, quiet, removed, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import counted, memories, plain, seconds_words, tally
from vexrepo.errors import StateError, UsageError

if TYPE_CHECKING:
    from vexrepo.history.policy import Policy
    from vexrepo.repository import Repository
    from vexrepo.repository.merging import MergeResult
    from vexrepo.storage.oplog import View

F = TypeVar("F", bound=Callable[..., Any])
SHOWN = 20


def deciding(function: F) -> F:
    """Add the options that say what happens where both sides changed the same field."""
    for option in reversed(
        (
            click.option("--policy", metavar="RULE", help="Where both sides changed a field: a rule (see below)."),
            click.option("--type", "types", metavar="TYPE=RULE", multiple=True, help="A rule for one memory type."),
            click.option("--field", "fields", metavar="FIELD=RULE", multiple=True, help="A rule for one field."),
        )
    ):
        function = option(function)
    return function


def joining(function: F) -> F:
    """Add the options of what merges a branch: the message, the rules, and when a merge commit is made."""
    for option in reversed(
        (
            click.option("-m", "--message", metavar="TEXT", help="The merge commit's message."),
            deciding,
            click.option(
                "--ff-only", is_flag=True, help="Only move the branch forward; refuse if it has moved on itself."
            ),
            click.option("--no-ff", is_flag=True, help="Make a merge commit even where moving forward would do."),
            click.option("--allow-unrelated-histories", is_flag=True, help="Merge what has no commit in common."),
        )
    ):
        function = option(function)
    return function


def policy_of(repository: Repository, policy: str | None, types: tuple[str, ...], fields: tuple[str, ...]) -> Policy:
    """Return the rules of the configuration with those of the command line before them."""
    from vexrepo.history.policy import Policy

    config = repository.config
    return Policy(
        policy or config["merge.policy"],
        _pairs("merge.types", config["merge.types"].split(",")) | _pairs("--type", types),
        _pairs("merge.fields", config["merge.fields"].split(",")) | _pairs("--field", fields),
    )


def _pairs(origin: str, texts: tuple[str, ...] | list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        if text.strip():
            name, mark, rule = text.partition("=")
            if not mark:
                raise UsageError(f"{origin}: expected NAME=RULE, got {text!r}", code="bad-option")
            found[name.strip()] = rule.strip()
    return found


MERGE_RULES = (
    "\b\nRules: fail (the default), ours, theirs, newest, highest-importance, union, max, sum, by-type.\n"
    "merge.policy, merge.types and merge.fields keep them in the configuration.\n\n"
)


@click.command(
    epilog=MERGE_RULES
    + example(
        "vex merge experiment",
        "vex merge experiment --dry-run",
        "vex merge experiment --field metadata.importance=max --field metadata.tags=union",
        "vex merge --continue",
    )
)
@click.argument("revision", metavar="[REV]", required=False, type=REVISION)
@joining
@click.option("--keep-conflicts", is_flag=True, help="Commit conflicts as such, to be settled by a later commit.")
@click.option("--continue", "go_on", is_flag=True, help="Finish the merge under way; all conflicts are settled.")
@click.option("--abort", is_flag=True, help="Drop the merge under way; nothing has been changed.")
@click.option("--no-checkout", is_flag=True, help="Leave the workspace store as it is; only the branch moves.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would happen; change nothing.")
@mixing
@no_verify
@as_json
@pass_edge
def merge(
    edge: Edge,
    revision: str | None,
    message: str | None,
    policy: str | None,
    types: tuple[str, ...],
    fields: tuple[str, ...],
    ff_only: bool,
    no_ff: bool,
    allow_unrelated_histories: bool,
    keep_conflicts: bool,
    go_on: bool,
    abort: bool,
    no_checkout: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Bring what another branch changed into this one.

    What it learned, changed and forgot since both were the same.  Memories are merged field by field: text, each
    member of metadata, the vector, edges.  Where both sides changed the same field in different ways and no rule
    decides, the merge stops with exit code 4 and nothing changed; settle each with vex resolve, then
    vex merge --continue.  The workspace store is brought along at the end.
    """
    if sum((revision is not None, go_on, abort)) != 1:
        raise click.UsageError("expected one of: vex merge REV, vex merge --continue, vex merge --abort")
    if ff_only and no_ff:
        raise click.UsageError("--ff-only and --no-ff exclude each other")
    from vexrepo.repository import merging

    repository = edge.repository(signs=not (dry_run or abort))
    if abort:
        state = merging.abort(repository)
        if as_json:
            emit({"aborted": state.name if state else None})
        else:
            say(f"dropped the {state.action} of {plain(state.name)}" if state else "dropped the merge under way")
        return DONE
    # While a merge waits, what was learned meanwhile cannot be committed: it stays in the store.
    bring = _workspace(repository, no_checkout or dry_run, may_differ=go_on)
    before = repository.view()
    if go_on:
        return finish(edge, repository, merging.proceed(repository), "the merge", bring, as_json)
    assert revision is not None
    forward: Literal["allowed", "only", "never"] = "only" if ff_only else "never" if no_ff else "allowed"
    result = merging.merge(
        repository,
        repository.resolve(revision),
        revision,
        policy_of(repository, policy, types, fields),
        message=message or "",
        allow_unrelated=allow_unrelated_histories,
        fast_forward=forward,
        keep_conflicts=keep_conflicts,
        dry_run=dry_run,
    )
    return finish(edge, repository, result, revision, bring, as_json, before=before)


def _of_one_commit(function: F) -> F:
    """Add the argument and options that revert and cherry-pick share."""
    for option in reversed(
        (
            click.argument("revision", metavar="REV", type=REVISION),
            click.option("-m", "--message", metavar="TEXT", help="The new commit's message."),
            deciding,
            click.option(
                "--no-checkout", is_flag=True, help="Leave the workspace store as it is; only the branch moves."
            ),
            click.option("-n", "--dry-run", is_flag=True, help="Say what would happen; change nothing."),
            mixing,
            no_verify,
            as_json,
            pass_edge,
        )
    ):
        function = option(function)
    return function


@click.command(
    epilog=MERGE_RULES + example("vex revert HEAD", "vex revert 3f9c2d1 --dry-run", "vex revert HEAD~3 --policy theirs")
)
@_of_one_commit
def revert(edge: Edge, /, **given: Any) -> int:
    """Take back what a commit changed, as a new commit.

    What later commits changed stays.  Where a later commit changed the same field, that is a conflict, as in a merge.
    """
    from vexrepo.repository import merging

    return _act(edge, merging.revert, "revert", given)


@click.command(
    "cherry-pick", epilog=MERGE_RULES + example("vex cherry-pick experiment~2", "vex cherry-pick experiment --dry-run")
)
@_of_one_commit
def cherry_pick(edge: Edge, /, **given: Any) -> int:
    """Make the change of one commit once more, on this branch.

    What else that commit's branch has stays there.  Where both changed the same field, that is a conflict, as in a
    merge.
    """
    from vexrepo.repository import merging

    return _act(edge, merging.cherry_pick, "cherry-pick", given)


def _act(edge: Edge, act: Callable[..., MergeResult], verb: str, given: dict[str, Any]) -> int:
    revision, dry_run = given["revision"], given["dry_run"]
    repository = edge.repository(signs=not dry_run)
    bring = _workspace(repository, given["no_checkout"] or dry_run)
    rules = policy_of(repository, given["policy"], given["types"], given["fields"])
    before, commit = repository.view(), repository.resolve(revision)
    result = act(repository, commit, revision, rules, message=given["message"] or "", dry_run=dry_run)
    return finish(edge, repository, result, revision, bring, given["as_json"], verb=verb, before=before)


def _workspace(repository: Repository, leave: bool, *, may_differ: bool = False) -> bool:
    """Whether the workspace store is to be brought along.  Raises: StateError (unsaved-changes) where it cannot be."""
    if leave or not repository.config["workspace.store"]:
        return False
    if may_differ:
        return True
    found = repository.status()
    if not found.is_clean:
        what = tally(found.learned, found.changed, found.forgotten)
        raise StateError(
            f"the workspace {repository.workspace()} holds what no commit has ({what}); keep it first with "
            "`vex commit -m MESSAGE`, drop it with `vex checkout HEAD --force`, or leave the store alone with "
            "--no-checkout",
            code="unsaved-changes",
        )
    return True


def finish(
    edge: Edge,
    repository: Repository,
    result: MergeResult,
    name: str,
    bring: bool,
    as_json: bool,
    *,
    verb: str = "merge",
    before: View | None = None,
) -> int:
    """Bring the workspace along and report; where that is refused, the branch goes back to where it was ``before``.

    Without, it stays: what was settled of a merge that waited would be lost.
    """
    if bring and result.kind in ("merged", "fast-forward"):
        from vexrepo.repository.bringing import bring as bring_along
        from vexrepo.repository.bringing import bring_or_go_back

        workspace, head = repository.workspace(), repository.view().head
        if before is not None:
            bring_or_go_back(repository, before, result.commit, workspace, head=head)
        else:
            bring_along(repository, result.commit, workspace, head=head)
    if as_json:
        emit(result_json(result))
        return exit_code_of(result)
    return report(edge, repository, result, name, verb)


def exit_code_of(result: MergeResult) -> int:
    """Return the exit code of a merge."""
    return CONFLICTS if result.outcome.conflicts and result.kind in ("conflicts", "preview") else DONE


def report(edge: Edge, repository: Repository, result: MergeResult, name: str, verb: str = "merge") -> int:
    """Print what a merge did; return its exit code."""
    open_ones = result.outcome.conflicts
    if result.kind == "up-to-date":
        say(f"already up to date: {place_words(repository.view())} has everything of {plain(name)}")
    elif result.kind == "fast-forward":
        say(f"{place_words(repository.view())} moved forward to {heading(result.commit.short)}")
    elif result.kind == "merged":
        commit = repository.commit_at(result.commit)
        say(f"[{place_words(repository.view())} {heading(result.commit.short)}] {plain(commit.subject)}")
        records = memories(commit.statistics.get("records", 0))
        say(f" {_counts(result)} · {records} · {seconds_words(edge.elapsed_s())}")
        if open_ones:
            say(removed(f" {counted(len(open_ones), 'conflict')} committed as such") + ": vex conflicts lists them")
    elif result.kind == "preview":
        say(f"would {verb} {plain(name)}: {_counts(result)}")
    if result.kind in ("conflicts", "preview"):
        _say_conflicts(result, verb)
    _say_notes(result)
    return exit_code_of(result)


def _counts(result: MergeResult) -> str:
    outcome = result.outcome
    parts = [tally(outcome.learned, outcome.changed, outcome.forgotten)]
    if outcome.both:
        parts.append(f"{memories(outcome.both)} changed on both sides")
    if outcome.edges:
        parts.append(counted(outcome.edges, "edge"))
    return " · ".join(parts)


def _say_conflicts(result: MergeResult, verb: str) -> None:
    conflicts = result.outcome.conflicts
    for conflict in conflicts[:SHOWN]:
        for line in conflict_lines(conflict):
            say(line)
    if len(conflicts) > SHOWN:
        say(quiet(f"… and {len(conflicts) - SHOWN:,} more"))
    if not conflicts:
        return
    count = removed(counted(len(conflicts), "conflict"))
    if result.kind == "preview":
        say(f"{count}: a {verb} would stop here, with nothing changed")
    else:
        say(f"{count}; nothing was changed.  Settle each: vex resolve ID --ours | --theirs | --field FIELD=VALUE")
        say("  then vex merge --continue, or drop it all: vex merge --abort")


def _say_notes(result: MergeResult) -> None:
    stale = result.outcome.stale
    if stale:
        from vexrepo.cli.changes import key_label

        names = ", ".join(key_label(key) for key in stale[:3]) + (" …" if len(stale) > 3 else "")
        they = "its vector is" if len(stale) == 1 else "their vectors are"
        what = f"{memories(len(stale))} with one side's text and the other's embedding ({names})"
        say(f"note: {what}: {they} of another text")
    for kind in result.collections:
        say(f"note: both sides changed the settings of the {plain(kind)} collection; ours were kept")


def result_json(result: MergeResult) -> dict[str, Any]:
    """Return what a merge did as JSON."""
    outcome = result.outcome
    return {
        "result": result.kind,
        "commit": result.commit.hex(),
        "learned": outcome.learned,
        "changed": outcome.changed,
        "forgotten": outcome.forgotten,
        "both": outcome.both,
        "edges": outcome.edges,
        "conflicts": [conflict_json(each) for each in outcome.conflicts],
        "decided": [_decided_json(key, path) for key, path in outcome.decided],
        "stale_vectors": [_key_json(key) for key in outcome.stale],
        "collections_undecided": list(result.collections),
    }


def _key_json(key: bytes) -> dict[str, str]:
    from vexrepo.objects.record import split_key

    namespace, identifier = split_key(key)
    return {"namespace": namespace, "id": identifier}


def _decided_json(key: bytes, path: tuple[str, ...]) -> dict[str, str]:
    return {**_key_json(key), "field": ".".join(path)}
