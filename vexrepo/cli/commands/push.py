"""``vex push`` and ``vex fetch``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli import storing
from vexrepo.cli.failures import DONE, PARTLY
from vexrepo.cli.hosting import as_place, make_at_host, reach_to, secrets_of, warnings_of, way_out
from vexrepo.cli.options import (
    BRANCH,
    REMOTE,
    as_json,
    concurrency,
    example,
    fresh,
    mixing,
    no_verify,
    quarantining,
    reading_back,
)
from vexrepo.cli.output import emit, heading, quiet, say
from vexrepo.cli.remotes import Remote, find_target, host_words, read_remotes
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import counted, plain, seconds_words, size_words
from vexrepo.errors import UsageError
from vexrepo.storage.oplog import BRANCHES, TAGS

if TYPE_CHECKING:
    from vexrepo.repository import Repository
    from vexrepo.repository.fetching import Fetched
    from vexrepo.repository.pushing import Pushed
    from vexrepo.repository.remotes import RefMove


@click.command(
    epilog=example(
        "vex push                        the current branch",
        "vex push backup main experiment",
        "vex push backup --all --tags",
        "vex push backup HEAD~2:published    a commit as a branch of another name",
        "vex push backup --delete experiment",
        "vex push qdrant://localhost:6333/agent main     a store, or a remote that is one",
    )
)
@click.argument("remote", required=False, metavar="[REMOTE]", type=REMOTE)
@click.argument("branches", nargs=-1, metavar="[BRANCH]…", type=BRANCH)
@click.option("--all", "all_branches", is_flag=True, help="All branches.")
@click.option("--tags", is_flag=True, help="All tags.")
@click.option("-d", "--delete", is_flag=True, help="Remove the branches named from the remote.")
@click.option(
    "-f",
    "--force",
    "--force-with-lease",
    is_flag=True,
    help="Leave behind what the remote has and you have not, as far as you have seen it; of a store, all it holds.",
)
@click.option("--create", is_flag=True, help="Make the host's repository, private, if it is missing.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be sent; send nothing.")
@mixing
@no_verify
@reading_back
@concurrency
@as_json
@pass_edge
def push(
    edge: Edge,
    remote: str | None,
    branches: tuple[str, ...],
    all_branches: bool,
    tags: bool,
    delete: bool,
    force: bool,
    create: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Send commits to a remote, sealed, or bring a store to a branch.

    Without a name, the current branch goes to the only remote (or to push.remote, or origin).  The host gets what it
    lacks as sealed packs and learns their sizes.  All branches named move together, or none does.

    A branch that somebody else moved on is not overwritten: pull first.  --force does so, but only where the remote is
    still as you last saw it.  The first push to an empty repository asks for a passphrase, twice; this machine's key
    opens it, too.

    A remote may also be a store (vex remote add NAME STORE), or the address of one be given.  It is brought to the
    branch: only the difference is written.  What it changed since it was last seen is not overwritten: pull first, or
    --force.  A push that was interrupted is completed by the next.
    """
    from vexrepo.repository.pushing import push as send
    from vexrepo.repository.refspec import parse_refspecs

    if delete and not branches:
        raise click.UsageError("--delete: name the branches to remove from the remote")
    if delete and (all_branches or tags):
        raise click.UsageError("--delete does not go with --all or --tags")
    repository = edge.repository(signs=not dry_run, trusts=True)
    store = storing.find_store(edge, repository, remote)
    if store is not None:
        given = {"--all": all_branches, "--tags": tags, "--delete": delete, "--create": create}
        storing.check_host_options(store, given)
        storing.push_to_store(edge, repository, store, branches, force=force, dry_run=dry_run, as_json=as_json)
        return DONE
    place = find_target(repository, remote)
    if edge.read_back is not None:
        raise UsageError(f"{place.name} is at a Git host; --read-back goes with stores", code="bad-option")
    updates = parse_refspecs(
        repository,
        () if delete else branches,
        all_branches=all_branches,
        tags=tags,
        delete=branches if delete else (),
        force=force,
    )
    secrets = secrets_of(edge, place, repository.root)
    reach = reach_to(edge, place, repository, secrets)
    edge.unsure = "" if dry_run else f"what was sent counts only when all of it was: vex fetch {place.name} tells"
    if create and not dry_run:
        say(make_at_host(place.url, place.provider, reach.access, secrets)[1], err=as_json)
    with way_out(place):
        done = send(repository, as_place(place), reach, updates, dry_run=dry_run)
    secrets.accepted()
    for warning in warnings_of(place, reach.access) if done.created and not dry_run else ():
        say(f"note: {plain(warning)}", err=True)
    if as_json:
        emit(pushed_json(done, place, dry_run))
    else:
        say_pushed(edge, done, place, dry_run)
    return DONE if done.noted else PARTLY


def say_pushed(edge: Edge, done: Pushed, place: Remote, dry_run: bool) -> None:
    """Print what a push did."""
    where = host_words(place.url)
    if done.is_empty:
        names = ", ".join(_ref_words(move.name) for move in done.moves)
        say(f"nothing to send: {where} has {names} as it is here" if names else f"nothing to send to {where}")
        return
    size = done.sealed_bytes or done.pack_bytes
    packs = f"{counted(done.packs, 'pack')}, {size_words(size)}" if done.packs else "no pack, only names"
    late = f"; {counted(done.signatures, 'signature')} of commits it had" if done.signatures else ""
    verb = "Would seal" if dry_run else "Sealed"
    took = "" if dry_run else f" · {seconds_words(edge.elapsed_s())}"
    say(f"{verb} {packs}{late} → {where} · the host sees sizes, nothing else{took}")
    for move in done.moves:
        if move.kind != "same":
            say(f"  {move_words(move)}")
    if done.created and not dry_run:
        say(
            quiet("  opened by your passphrase, and by this machine's key; a key for paper: vex remote recovery-key ")
            + place.name
        )
    if not done.noted:
        say(f"note: it is all there, but could not be noted here: vex fetch {place.name}", err=True)


def pushed_json(done: Pushed, place: Remote, dry_run: bool) -> dict[str, Any]:
    """Return what a push did as JSON."""
    return {
        "remote": place.name,
        "dry_run": dry_run,
        "created": done.created,
        "refs": [move_json(move) for move in done.moves],
        "packs": done.packs,
        "objects": done.objects,
        "signatures": done.signatures,
        "pack_bytes": done.pack_bytes,
        "sealed_bytes": done.sealed_bytes,
        "generation": done.generation,
        "retries": done.retries,
        "noted": done.noted,
    }


def move_words(move: RefMove, prefix: str = "") -> str:
    """Return ``main  3f9c2d1 → 8ad2c11``."""
    name = prefix + _ref_words(move.name)
    if move.new is None:
        return f"{name}  gone (was {move.old.short if move.old else 'nothing'})"
    if move.old is None:
        return f"{name}  {heading(move.new.short)}  new"
    mark = "  forced" if move.kind == "forced" else ""
    return f"{name}  {move.old.short} → {heading(move.new.short)}{mark}"


def move_json(move: RefMove) -> dict[str, Any]:
    """Return what became of a ref as JSON."""
    return {
        "name": move.name,
        "old": move.old.hex() if move.old else None,
        "new": move.new.hex() if move.new else None,
        "result": move.kind,
    }


def _ref_words(name: str) -> str:
    return plain(f"tag {name[len(TAGS) :]}" if name.startswith(TAGS) else name.removeprefix(BRANCHES))


@click.command(
    epilog=example(
        "vex fetch",
        "vex fetch backup && vex log main..backup/main",
        "vex fetch agent && vex diff main agent          what a store changed",
        "vex fetch --all",
    )
)
@click.argument("remote", required=False, metavar="[REMOTE]", type=REMOTE)
@click.option("--all", "all_remotes", is_flag=True, help="From all remotes.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what there is; receive nothing but the list of it.")
@no_verify
@quarantining
@fresh
@concurrency
@as_json
@pass_edge
def fetch(edge: Edge, remote: str | None, all_remotes: bool, dry_run: bool, as_json: bool) -> int:
    """Receive what a remote has, and change nothing of yours.

    Its branches are then known as REMOTE/BRANCH, and its new tags are yours.  Everything is checked before it counts:
    that it was sealed with the remote's keys, that every id fits, that the host shows no older state than it once did.
    The gate comes before that: commits have to be signed as the policy for the remote wants (vex trust policy), and
    the checks and hooks of pre-import have to allow what they bring.  vex merge REMOTE/BRANCH brings it into your
    branch; vex pull does both.

    Of a store (vex remote add NAME STORE, or the address of one) what it holds is committed, after what it was last
    seen to hold; that is then known as REMOTE.
    """
    if all_remotes and remote is not None:
        raise click.UsageError("give a REMOTE or --all")
    repository = edge.repository(signs=not dry_run, trusts=True)
    if all_remotes:
        places = [
            storing.as_store(repository, each) if each.store else each for each in read_remotes(repository.config)
        ]
    else:
        places = [storing.find_store(edge, repository, remote) or find_target(repository, remote)]
    values = []
    for place in places:
        if isinstance(place, Remote):
            found = receive(edge, repository, place, dry_run=dry_run)
            values.append(fetched_json(found, place, dry_run))
            if not as_json:
                say_fetched(edge, found, place, dry_run)
        else:
            held = storing.fetch_from_store(edge, repository, place, dry_run=dry_run)
            values.append(storing.fetched_json(repository, held, dry_run))
            if not as_json:
                storing.say_fetched(edge, held, dry_run)
    if as_json:
        emit(values if all_remotes else values[0])
    return DONE


def receive(edge: Edge, repository: Repository, place: Remote, *, dry_run: bool = False) -> Fetched:
    """Fetch from a remote.  Raises: HostError, WrongKey, Tampered."""
    from vexrepo.repository.fetching import fetch as bring

    secrets = secrets_of(edge, place, repository.root)
    reach = reach_to(edge, place, repository, secrets)
    with way_out(place):
        found = bring(repository, as_place(place), reach, dry_run=dry_run)
    secrets.accepted()
    return found


def say_fetched(edge: Edge, found: Fetched, place: Remote, dry_run: bool) -> None:
    """Print what a fetch found."""
    where = host_words(place.url)
    if found.is_empty:
        say(f"nothing new at {where}")
    else:
        what = f"{counted(found.commits, 'commit')}, {size_words(found.sealed_bytes)}"
        if found.signatures:
            what = f"{counted(found.signatures, 'signature')} of commits that were here, {what}"
        verb = (
            "would receive from" if dry_run else f"{what} received from" if found.packs else "nothing to receive from"
        )
        say(f"{verb} {where}" + ("" if dry_run else f" · {seconds_words(edge.elapsed_s())}"))
    for move in (*found.moves, *found.tags):
        if move.kind != "same":
            say("  " + move_words(move, "" if move.name.startswith(TAGS) else f"{place.name}/"))
    for said in found.said:
        say(f"note: {plain(said)}", err=True)
    for kept in found.tags_kept:
        say(
            f"note: tag {plain(kept.name)} is at {kept.theirs.short} there, and stays at {kept.ours.short} here",
            err=True,
        )


def fetched_json(found: Fetched, place: Remote, dry_run: bool) -> dict[str, Any]:
    """Return what a fetch found as JSON."""
    return {
        "remote": place.name,
        "dry_run": dry_run,
        "refs": [move_json(move) for move in (*found.moves, *found.tags)],
        "tags_kept": [
            {"name": each.name, "ours": each.ours.hex(), "theirs": each.theirs.hex()} for each in found.tags_kept
        ],
        "packs": found.packs,
        "objects": found.objects,
        "commits": found.commits,
        "signatures": found.signatures,
        "sealed_bytes": found.sealed_bytes,
        "generation": found.generation,
        "notes": list(found.said),
    }
