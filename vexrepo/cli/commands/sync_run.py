"""``vex sync push``, ``pull``, ``status`` and ``diff``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.commands.checkout import say_brought
from vexrepo.cli.commands.diff import Side, show
from vexrepo.cli.commands.gc import after_commit
from vexrepo.cli.commands.merge import MERGE_RULES, deciding, exit_code_of, policy_of, report, result_json
from vexrepo.cli.commands.pull import HostSource, brought_json, preview, pull_and_bring
from vexrepo.cli.commands.push import pushed_json, receive, say_pushed
from vexrepo.cli.describe import commit_json
from vexrepo.cli.failures import CONFLICTS, DONE, FAILED, PARTLY
from vexrepo.cli.hosting import as_place, reach_to, secrets_of, way_out
from vexrepo.cli.options import as_json, example, no_verify
from vexrepo.cli.output import emit, heading, quiet, say
from vexrepo.cli.remotes import hidden, host_words
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.syncing import Synced, find_synced
from vexrepo.cli.text import counted, memories, plain, signs, tally
from vexrepo.cli.tracking import Standing, standings
from vexrepo.errors import HostError, StateError, StoreError, VexError

if TYPE_CHECKING:
    from vexrepo.objects.selection import Selection
    from vexrepo.repository import Committed, Repository, Status
    from vexrepo.storage.oplog import View

_database = click.option("--db", metavar="FILE", help="The database.  [default: VEKTOR_DB, else the one set up]")


# -- push --------------------------------------------------------------------------------------------------------------


@click.command(
    epilog=example(
        "vex sync push",
        'vex sync push -m "After the spring incidents"',
        "vex sync push --min-importance 3         only what matters; nothing at the host is forgotten",
        "vex sync push --dry-run",
    )
)
@_database
@click.option("-m", "--message", metavar="TEXT", help="What this state is.  [default: vex sync push]")
@click.option("--min-importance", metavar="N", type=float, help="Only memories of this importance or more.")
@click.option("--namespace", "namespaces", metavar="NAME", multiple=True, help="Only this namespace; may be repeated.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Only the newest N of them.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be kept and sent; do neither.")
@no_verify
@as_json
@pass_edge
def push(
    edge: Edge,
    db: str | None,
    message: str | None,
    min_importance: float | None,
    namespaces: tuple[str, ...],
    limit: int | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Keep what the database holds, and send it.

    A commit of the database, and a push: the host gets what it lacks, sealed.  If it has what another machine sent
    since, pull first.

    With --min-importance, --namespace or --limit only those memories are kept and sent.  Such a push adds to what the
    host holds and takes nothing away: memories that were not chosen stay there as they are, whether the database still
    has them or not, and graph edges stay.  What was not chosen is shown by sync status and sync diff, and stays in the
    database when others' changes are pulled.
    """
    synced = find_synced(edge, db, signs=not dry_run)
    repository = synced.repository
    selection = _selection(synced, min_importance, namespaces)
    text = message or "vex sync push"
    committed = _commit(synced, text, selection, limit, dry_run=dry_run)
    if committed is not None and not dry_run:
        after_commit(repository)
    if dry_run:
        _say_would(synced, committed, selection, limit, as_json)
        return DONE
    if committed is not None and not as_json:
        say(_committed_words(committed))  # it stands, whatever becomes of the push
    from vexrepo.repository.pushing import push as send
    from vexrepo.repository.refspec import parse_refspecs

    secrets = secrets_of(edge, synced.remote, repository.root)
    edge.unsure = "what was sent counts only when all of it was: vex sync status tells"
    with way_out(synced.remote):
        done = send(
            repository,
            as_place(synced.remote),
            reach_to(edge, synced.remote, repository, secrets),
            parse_refspecs(repository),
        )
    secrets.accepted()
    if as_json:
        emit({"commit": _committed_json(committed), **pushed_json(done, synced.remote, dry_run)})
        return DONE if done.noted else PARTLY
    say_pushed(edge, done, synced.remote, dry_run)
    return DONE if done.noted else PARTLY


def _selection(synced: Synced, min_importance: float | None, namespaces: tuple[str, ...]) -> Selection:
    from vexrepo.objects.selection import Selection

    if min_importance is None:
        min_importance = synced.repository.config["sync.min_importance"] or None
    names = frozenset(part.strip() for each in namespaces for part in each.split(","))
    return Selection(names, min_importance=min_importance or None)


def _commit(
    synced: Synced, message: str, selection: Selection, limit: int | None, *, dry_run: bool
) -> Committed | None:
    """Commit the database, or what is selected of it; None if that is kept already.

    One that the branch has moved on from is brought along first: else its commit would take that back.
    """
    from vexrepo.repository.bringing import bring
    from vexrepo.repository.commit import left_behind_at
    from vexrepo.repository.partial import commit_some

    head = synced.repository.view().commit
    if head is not None and not dry_run and left_behind_at(synced.repository, synced.database) is not None:
        bring(synced.repository, head, synced.database)
    _check_not_emptied(synced)
    try:
        if selection or limit is not None:
            return commit_some(synced.repository, synced.database, message, selection, limit=limit, dry_run=dry_run)
        return synced.repository.commit(message, store=synced.database, dry_run=dry_run)
    except StateError as error:
        if error.code != "nothing-to-commit":
            raise
        return None


def _check_not_emptied(synced: Synced) -> None:
    """Raise StateError (store-empty) for a database without memories where the last commit has some.

    More often than not somebody made it anew where one was lost; that is what the copy at the host is for.
    """
    from vexrepo.remotes.stores.registry import open_store

    root = synced.repository.records_root(synced.repository.view().commit)
    with open_store(synced.database) as store:
        count = store.describe().count
    if root is not None and root.count and count == 0:
        raise StateError(
            f"{synced.database} holds no memory, and the last commit has {root.count:,}: vex sync pull fills it again; "
            f"to have them forgotten: vex commit -m MESSAGE, then vex push {synced.remote.name}",
            code="store-empty",
        )


def _committed_words(done: Committed) -> str:
    assert done.id is not None
    counts = done.tally
    change = signs(counts.learned, counts.changed, counts.forgotten)
    return (
        f"[{heading(done.id.short)}] {plain(done.commit.subject)}  {change} · {memories(done.snapshot.records.count)}"
    )


def _committed_json(done: Committed | None) -> dict[str, Any] | None:
    if done is None or done.id is None:
        return None
    counts = {"learned": done.tally.learned, "changed": done.tally.changed, "forgotten": done.tally.forgotten}
    return {**commit_json(done.id, done.commit), **counts}


def _say_would(synced: Synced, done: Committed | None, selection: Selection, limit: int | None, as_json: bool) -> None:
    where = host_words(synced.remote.url)
    counts = done.tally if done is not None else None
    if as_json:
        change = {name: getattr(counts, name, 0) for name in ("learned", "changed", "forgotten")}
        emit(
            {"dry_run": True, "remote": synced.remote.name, **change, "selection": selection.describe(), "limit": limit}
        )
        return
    if counts is None:
        say(f"nothing to keep: {plain(str(synced.database))} holds what the last commit holds")
        return
    say(f"would keep and send to {where}: {tally(counts.learned, counts.changed, counts.forgotten)}")


# -- pull --------------------------------------------------------------------------------------------------------------


@click.command(
    epilog=MERGE_RULES + example("vex sync pull", "vex sync pull --db ~/new-machine.db", "vex sync pull --dry-run")
)
@click.option("--db", metavar="FILE", help="The database to write; made if it is missing.  [default: the one set up]")
@deciding
@click.option("-n", "--dry-run", is_flag=True, help="Receive, and say what would be written; write nothing.")
@no_verify
@as_json
@pass_edge
def pull(
    edge: Edge,
    db: str | None,
    policy: str | None,
    types: tuple[str, ...],
    fields: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> int:
    """Bring what the host has into the database.

    What other machines sent is merged with what was kept here, field by field (exit code 4 where both changed the same
    one: vex conflicts), and what changed is written into the database.  Memories that only the database has stay in it.
    A database that is empty or missing is filled.
    """
    synced = find_synced(edge, db, signs=not dry_run)
    repository, database = synced.repository, synced.database
    source = HostSource(edge, repository, synced.remote, None)
    rules = policy_of(repository, policy, types, fields)
    if dry_run:
        return preview(repository, source, database, as_json, policy=rules, allow_unrelated=True)
    done, brought = pull_and_bring(
        edge, repository, source, database, policy=rules, allow_unrelated=True, again="vex sync push"
    )
    if as_json:
        value = {"fetched": source.to_json(), **result_json(done.result)}
        emit({**value, "database": brought_json(repository, brought, database)})
        return exit_code_of(done.result)
    source.say()
    code = report(edge, repository, done.result, done.name)
    here = edge.find()
    if code == CONFLICTS and (here is None or not here.samefile(repository.folder)):
        say(f"  these commands are for the folder of the repository: cd {plain(str(repository.root))}")
    if brought is not None:
        say_brought(brought, database)
        _say_own(synced)
    return code


def _say_own(synced: Synced) -> None:
    """Say what only the database has."""
    found = synced.repository.status(synced.database)
    if not found.is_clean:
        what = tally(found.learned, found.changed, found.forgotten)
        say(quiet(f"  {plain(str(synced.database))} has changes of its own ({what}): vex sync push sends them"))


# -- status and diff ---------------------------------------------------------------------------------------------------


@click.command(epilog=example("vex sync status", "vex sync status --offline"))
@_database
@click.option("--offline", is_flag=True, help="Ask no host: as last seen.")
@as_json
@pass_edge
def status(edge: Edge, db: str | None, offline: bool, as_json: bool) -> int:
    """Say what is set up, and what differs.

    Between the database, what was kept of it here, and what the host has.  Exit code 1 where the host cannot be asked;
    the rest is said nevertheless.
    """
    synced = find_synced(edge, db)
    repository, remote, database = synced.repository, synced.remote, synced.database
    trouble: VexError | None = None
    if not offline:
        try:
            receive(edge, repository, remote)
        except HostError as error:
            trouble = None if error.code == "host-empty" else error
    view = repository.view()
    branch = view.branch or ""
    standing = next((each for each in standings(repository, view, branch) if each.remote == remote.name), None)
    found = _status_of(synced)
    if as_json:
        emit(
            {
                "repository": str(repository.root.absolute()),
                "remote": remote.name,
                "url": hidden(remote.url),
                "provider": remote.provider or None,
                "database": str(database),
                "min_importance": repository.config["sync.min_importance"] or None,
                "not_kept": found
                and {"learned": found.learned, "changed": found.changed, "forgotten": found.forgotten},
                "to_push": _to_push(repository, view, standing),
                "to_pull": standing.behind if standing else 0,
                "at_host": standing.commit.hex() if standing else None,
                "as_last_seen": offline or trouble is not None,
                "error": {"code": trouble.code, "message": str(trouble)} if trouble else None,
            }
        )
        return FAILED if trouble else DONE
    say(f"{plain(str(database))} ⇄ {host_words(remote.url)}" + f" ({remote.provider})" * bool(remote.provider))
    least = repository.config["sync.min_importance"]
    if least:
        say(f"  sync push sends memories of importance {least:g} or more")
    if found is None:
        say("  there is no such database yet: vex sync pull makes it")
    elif not found.is_clean:
        say(f"  not kept yet: {tally(found.learned, found.changed, found.forgotten)} (vex sync push)")
    ahead, behind = _to_push(repository, view, standing), standing.behind if standing else 0
    if ahead:
        say(f"  kept here and not sent: {counted(ahead, 'commit')} (vex sync push)")
    if behind:
        say(f"  sent by others: {counted(behind, 'commit')} (vex sync pull)")
    if standing is None:
        say("  nothing was sent from here yet, or seen there: vex sync push, vex sync pull")
    elif not (ahead or behind) and found is not None and found.is_clean:
        say(f"  all the same{quiet('  as last seen') if offline or trouble else ''}")
    if trouble is not None:
        say(f"note: {plain(str(trouble))}  [{trouble.code}]", err=True)
    return FAILED if trouble else DONE


def _to_push(repository: Repository, view: View, standing: Standing | None) -> int:
    """Return how many commits the host has not."""
    if standing is not None:
        return standing.ahead
    return sum(1 for _ in repository.history(view.commit)) if view.commit is not None else 0


def _status_of(synced: Synced) -> Status | None:
    """Return how the database differs from what was kept; None where there is none."""
    try:
        return synced.repository.status(synced.database)
    except StoreError as error:
        if error.code != "store-missing":
            raise
        return None


@click.command(epilog=example("vex sync diff", "vex sync diff --offline --json"))
@_database
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Show at most N memories.")
@click.option("--offline", is_flag=True, help="Ask no host: as last seen.")
@as_json
@pass_edge
def diff(edge: Edge, db: str | None, limit: int | None, offline: bool, as_json: bool) -> int:
    """Show which memories the host and the database hold differently.

    Memory by memory, as vex diff does: + only the database has it, - only the host, ~ they differ.
    """
    synced = find_synced(edge, db)
    repository, remote = synced.repository, synced.remote
    if not offline:
        try:
            receive(edge, repository, remote)
        except HostError as error:
            if error.code != "host-empty":
                raise
    view = repository.view()
    branch = view.branch or "main"
    there = view.tracking(remote.name).get(branch)
    if there is None and view.commit is None and not offline:
        say(f"note: {host_words(remote.url)} holds nothing yet", err=True)
    old = Side(f"{remote.name}/{branch}", None, there)
    show(repository, old, Side(str(synced.database), synced.database, None), limit, as_json)
    return DONE
