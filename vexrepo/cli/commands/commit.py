"""``vex commit``."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import click

from vexrepo.cli.commands.gc import after_commit
from vexrepo.cli.describe import commit_json, content_words, signer
from vexrepo.cli.failures import DONE, PARTLY
from vexrepo.cli.options import as_json, concurrency, example, fresh, no_verify, quarantining, selecting, selection
from vexrepo.cli.output import added, changed, emit, heading, removed, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import counted, plain, seconds_words, shorten, size_words

if TYPE_CHECKING:
    from vexrepo.repository import Committed
    from vexrepo.storage.oplog import View

SHOWN_PROBLEMS = 10


@click.command(
    epilog=example(
        'vex commit -m "What the agent knew on Monday"',
        'vex commit --from backup.vmig.jsonl -m "The old export" --on-error skip',
    )
)
@click.option("-m", "--message", "messages", metavar="TEXT", multiple=True, help="What this commit is; repeatable.")
@click.option("-F", "--message-file", type=click.File("r", encoding="utf-8"), help="Read the message; - is stdin.")
@click.option("--from", "store", metavar="STORE", help="Read this store instead of the workspace.")
@selecting
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="At a record that cannot be kept: stop with nothing committed, or leave it out and say so.",
)
@click.option("--allow-empty", is_flag=True, help="Commit even if nothing changed.")
@click.option("-n", "--dry-run", is_flag=True, help="Read and compare, commit nothing.")
@no_verify
@quarantining
@fresh
@concurrency
@as_json
@pass_edge
def commit(
    edge: Edge,
    messages: tuple[str, ...],
    message_file: IO[str] | None,
    store: str | None,
    namespaces: tuple[str, ...],
    components: tuple[str, ...],
    on_error: str,
    allow_empty: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Keep what the store holds now.

    Reads the workspace store (or --from STORE), and records its memories as a signed commit on the current branch.
    Nothing is committed unless everything is; with --on-error skip, records that cannot be kept are listed and
    left out, and the exit code is 3.

    Where reading a server is interrupted, the same command goes on from there, if the store can and is as it was.
    """
    message = _message(messages, message_file, needed=not dry_run)
    repository = edge.repository(signs=not dry_run, trusts=store is not None)
    view = repository.view()
    address = edge.address(store) if store is not None else repository.workspace()
    edge.reads(address)
    done = repository.commit(
        message,
        store=address,
        selection=selection(namespaces, components),
        skip_problems=on_error == "skip",
        allow_empty=allow_empty,
        not_behind=store is None,
        dry_run=dry_run,
    )
    _report_problems(done.problems)
    if as_json:
        emit(_as_json(done, view))
    else:
        _print(edge, done, view)
    if not dry_run:
        after_commit(repository)
    return PARTLY if done.problems else DONE


def _message(messages: tuple[str, ...], file: IO[str] | None, *, needed: bool) -> str:
    if messages and file is not None:
        raise click.UsageError("give either -m or -F")
    try:
        message = file.read().strip() if file is not None else "\n\n".join(messages).strip()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"the message is not UTF-8: {error}") from None
    if not message and needed:
        raise click.UsageError('a commit needs a message: vex commit -m "What the agent knew on Monday"')
    return message


def _report_problems(problems: list[tuple[str, str]]) -> None:
    for code, message in problems[:SHOWN_PROBLEMS]:
        say(f"left out: {plain(message)}  [{code}]", err=True)
    if len(problems) > SHOWN_PROBLEMS:
        say(f"left out: {counted(len(problems) - SHOWN_PROBLEMS, 'more record')}", err=True)


def _as_json(done: Committed, view: View) -> dict[str, Any]:
    value: dict[str, Any] = {"committed": done.id is not None, "branch": view.branch}
    if done.id is not None:
        value["commit"] = commit_json(done.id, done.commit)
    return {
        **value,
        "records": done.snapshot.records.count,
        "edges": done.snapshot.edges.count,
        "learned": done.tally.learned,
        "changed": done.tally.changed,
        "forgotten": done.tally.forgotten,
        "added_bytes": done.added_bytes,
        "note": done.note or None,
        "left_out": [{"code": code, "message": message} for code, message in done.problems],
    }


def _print(edge: Edge, done: Committed, view: View) -> None:
    subject = plain(shorten(done.commit.subject, 100))
    if done.id is None:
        say(
            f"would commit to {plain(view.branch) if view.branch else 'a detached HEAD'}"
            + (f": {subject}" * bool(subject))
        )
    else:
        say(f"[{plain(view.branch) if view.branch else 'detached'} {heading(done.id.short)}] {subject}")
    parts = content_words(done.commit, done.snapshot)
    if done.commit.parents:
        counts = done.tally
        signs = [
            added(f"+{counts.learned:,} learned") if counts.learned else "",
            changed(f"~{counts.changed:,} changed") if counts.changed else "",
            removed(f"-{counts.forgotten:,} forgotten") if counts.forgotten else "",
        ]
        shown = " ".join(sign for sign in signs if sign)
        if shown:
            parts.insert(0, shown)
    if done.problems:
        parts.append(f"{counted(len(done.problems), 'record')} left out")
    if done.id is not None:
        key = signer(done.commit)
        parts.append(f"signed by {key}" if key else "unsigned")
    elif done.added_bytes:
        parts.append(f"about {size_words(done.added_bytes)}")
    parts.append(seconds_words(edge.elapsed_s()))
    say(" " + " · ".join(parts))
    if done.note:
        say(f"note: {plain(done.note)}")
