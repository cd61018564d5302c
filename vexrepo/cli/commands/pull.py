"""``vex pull``: fetch, merge, and bring the workspace along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import click

from vexrepo.cli import storing
from vexrepo.cli.commands.checkout import say_brought
from vexrepo.cli.commands.merge import MERGE_RULES, exit_code_of, joining, policy_of, report, result_json
from vexrepo.cli.commands.push import fetched_json, receive, say_fetched
from vexrepo.cli.failures import DONE
from vexrepo.cli.hosting import as_place, reach_to, secrets_of, way_out
from vexrepo.cli.options import BRANCH, REMOTE, as_json, concurrency, example, fresh, mixing, no_verify, quarantining
from vexrepo.cli.output import emit, removed, say
from vexrepo.cli.remotes import Remote, find_target
from vexrepo.cli.storing import Source
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import memories, plain
from vexrepo.errors import StateError, UsageError

if TYPE_CHECKING:
    from vexrepo.objects.digest import CommitId
    from vexrepo.remotes.stores.address import Address
    from vexrepo.repository import CheckedOut, Repository
    from vexrepo.repository.fetching import Fetched
    from vexrepo.repository.pulling import Pulled
    from vexrepo.repository.storefetch import StorePulled


@click.command(
    epilog=MERGE_RULES
    + example(
        "vex pull",
        "vex pull backup experiment",
        "vex pull --field metadata.importance=max --field metadata.tags=union",
        "vex pull --dry-run",
        "vex pull agent                                  a store: what it changed is committed and merged",
    )
)
@click.argument("remote", required=False, metavar="[REMOTE]", type=REMOTE)
@click.argument("branch", required=False, metavar="[BRANCH]", type=BRANCH)
@joining
@click.option("--no-checkout", is_flag=True, help="Leave the workspace store as it is; only the branch moves.")
@click.option("-n", "--dry-run", is_flag=True, help="Receive, and say what would be merged; change nothing of yours.")
@mixing
@no_verify
@quarantining
@fresh
@concurrency
@as_json
@pass_edge
def pull(
    edge: Edge,
    remote: str | None,
    branch: str | None,
    message: str | None,
    policy: str | None,
    types: tuple[str, ...],
    fields: tuple[str, ...],
    ff_only: bool,
    no_ff: bool,
    allow_unrelated_histories: bool,
    no_checkout: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Fetch, merge, and bring the workspace along.

    The remote's branch of the same name (or BRANCH) is merged into the current one, as vex merge does: field by field,
    and with exit code 4 where both sides changed the same one.  What changed is then written into the workspace store;
    what that holds and no commit has yet stays in it.  Where both are about the same memory, nothing is changed: commit
    first, then pull.

    Of a store (vex remote add NAME STORE, or the address of one) what it holds is committed first, as vex fetch does,
    and that is merged; vex push brings the store to the result.
    """
    if ff_only and no_ff:
        raise click.UsageError("--ff-only and --no-ff exclude each other")
    repository = edge.repository(signs=not dry_run, trusts=True)
    store = storing.find_store(edge, repository, remote)
    if store is not None and branch is not None:
        raise UsageError(f"{store.label} is a store and has no branches; it takes none", code="bad-option")
    source: Source
    if store is not None:
        source = storing.StoreSource(edge, repository, store)
    else:
        source = HostSource(edge, repository, find_target(repository, remote), branch)
    rules = policy_of(repository, policy, types, fields)
    forward: Literal["allowed", "only", "never"] = "only" if ff_only else "never" if no_ff else "allowed"
    workspace = repository.workspace() if repository.config["workspace.store"] and not no_checkout else None
    if dry_run:
        return preview(
            repository,
            source,
            workspace,
            as_json,
            policy=rules,
            allow_unrelated=allow_unrelated_histories,
            fast_forward=forward,
        )
    done, brought = pull_and_bring(
        edge,
        repository,
        source,
        workspace,
        policy=rules,
        message=message or "",
        allow_unrelated=allow_unrelated_histories,
        fast_forward=forward,
    )
    if as_json:
        value = {"fetched": source.to_json(), **result_json(done.result)}
        emit({**value, "workspace": brought_json(repository, brought, workspace)})
        return exit_code_of(done.result)
    source.say()
    code = report(edge, repository, done.result, done.name)
    if (
        brought is not None
        and workspace is not None
        and not (brought.outflow.is_empty and done.result.kind == "up-to-date")
    ):
        say_brought(brought, workspace)
        _say_loss(brought, workspace)
    return code


def _say_loss(brought: CheckedOut, workspace: Address) -> None:
    """Say, where a pull took most of what the workspace held, how to have it back: somebody may have emptied theirs."""
    lost = brought.outflow.removed
    before = brought.snapshot.records.count - brought.outflow.added + lost
    if 2 * lost > before:
        gone = removed(f"{lost:,} of {memories(before)} are gone from {plain(str(workspace))}")
        say(f"  {gone}: if that is not meant, vex undo, then vex checkout HEAD")


class HostSource(Source):
    """A branch of a remote at a host (default: the one named as the current one)."""

    def __init__(self, edge: Edge, repository: Repository, place: Remote, branch: str | None) -> None:
        super().__init__(edge, repository)
        self._place, self._branch = place, branch
        self._fetched: Fetched | None = None

    def pull(self, **options: Any) -> Pulled:
        from vexrepo.repository.pulling import pull as pull_from

        place, repository = self._place, self.repository
        secrets = secrets_of(self.edge, place, repository.root)
        reach = reach_to(self.edge, place, repository, secrets)
        with way_out(place):
            done = pull_from(repository, as_place(place), reach, self._branch, **options)
        secrets.accepted()
        self._fetched = done.fetched
        return done

    def look(self) -> tuple[CommitId, str]:
        place, repository = self._place, self.repository
        branch = self._branch or repository.view().branch
        if branch is None:
            raise UsageError(f"HEAD is on no branch: name the branch of {place.name} to pull", code="bad-option")
        self._fetched = receive(self.edge, repository, place)
        theirs = repository.view().tracking(place.name).get(branch)
        if theirs is None:
            raise UsageError(f"{place.name} has no branch {branch}; see `vex branch -r`", code="unknown-revision")
        return theirs, f"{place.name}/{branch}"

    def say(self) -> None:
        assert self._fetched is not None
        say_fetched(self.edge, self._fetched, self._place, False)

    def to_json(self) -> dict[str, Any]:
        assert self._fetched is not None
        return fetched_json(self._fetched, self._place, False)


def pull_and_bring(
    edge: Edge,
    repository: Repository,
    source: Source,
    workspace: Address | None,
    *,
    again: str = "vex commit -m MESSAGE",
    **options: Any,
) -> tuple[Pulled | StorePulled, CheckedOut | None]:
    """Pull, and write what changed into a store; where that cannot be, the branch stays where it was.

    A store that was left behind by an earlier merge is brought along, too.  ``again`` keeps what the store holds.
    Raises: StateError (unsaved-changes), HostError, WrongKey, Tampered, StoreError.
    """
    from vexrepo.repository.bringing import bring_or_go_back

    before = repository.view()
    done = source.pull(**options)
    if workspace is None or done.result.kind == "conflicts":
        return done, None
    edge.unsure = edge.unsure_later = "what was pulled is in the repository; `vex status` tells what the store holds"
    try:
        return done, bring_or_go_back(repository, before, done.result.commit, workspace)
    except StateError as error:
        if error.code != "unsaved-changes":
            raise
        raise StateError(
            f"{done.name} brings other values for memories that were changed in {workspace} since the last commit; "
            f"nothing was changed there.  Keep what it holds with `{again}`, then pull again: both are merged.  "
            f"({error})",
            code="unsaved-changes",
        ) from None


def preview(repository: Repository, source: Source, workspace: Address | None, as_json: bool, **options: Any) -> int:
    """Fetch, and print what a pull would do; return its exit code."""
    from vexrepo.repository import merging
    from vexrepo.repository.bringing import bring

    theirs, name = source.look()
    view = repository.view()
    value: dict[str, Any] = {"fetched": source.to_json()}
    if not as_json:
        source.say()
    code, forward = DONE, True
    if view.commit is None:
        value |= {"result": "preview", "commit": theirs.hex()}
        if not as_json:
            begun = plain(view.branch or "HEAD")
            say(f"would begin {begun} at {plain(name)}: {memories(_records(repository, theirs))}")
    else:
        result = merging.merge(repository, theirs, name, dry_run=True, **options)
        code, value = exit_code_of(result), value | result_json(result)
        forward = not result.outcome.conflicts and result.commit == theirs
        if not as_json:
            report(source.edge, repository, result, name, "pull")
    # What a merge would make is not there to be compared with.
    brought = bring(repository, theirs, workspace, dry_run=True) if workspace is not None and forward else None
    if as_json:
        emit({**value, "workspace": brought_json(repository, brought, workspace)})
    elif brought is not None and workspace is not None:
        say_brought(brought, workspace, dry_run=True)
    return code


def _records(repository: Repository, commit: CommitId) -> int:
    root = repository.records_root(commit)
    return root.count if root else 0


def brought_json(
    repository: Repository, brought: CheckedOut | None, workspace: Address | None
) -> dict[str, Any] | None:
    """Return what was written into a store as JSON, None for nothing."""
    if brought is None or workspace is None:
        return None
    flow = brought.outflow
    return {
        "store": repository.store_name(workspace),
        "added": flow.added,
        "changed": flow.changed,
        "removed": flow.removed,
        "edges_written": len(flow.edge_upserts),
        "edges_removed": len(flow.edge_deletes),
    }
