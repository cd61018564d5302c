"""``vex export``, ``vex import`` and ``vex migrate``: memories from one store or file into another."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vexrepo.cli.describe_transfer import tell_transfer, transfer_json
from vexrepo.cli.failures import DONE, PARTLY
from vexrepo.cli.options import (
    REVISION,
    as_json,
    concurrency,
    example,
    filtering,
    filters,
    fresh,
    mixing,
    no_verify,
    quarantining,
)
from vexrepo.cli.output import emit, quiet, say
from vexrepo.cli.places import default_kind, given_flags, located, output_file, place_of, place_of_kind
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import plain
from vexrepo.errors import Refused, UsageError

if TYPE_CHECKING:
    from vexrepo.cli.sharing import Unsealed
    from vexrepo.exchange.admission import Guard
    from vexrepo.exchange.request import Request, Transferred
    from vexrepo.remotes.stores.address import Address
    from vexrepo.remotes.stores.flags import GivenFlags

F = TypeVar("F", bound=Callable[..., Any])


def _moving(function: F) -> F:
    """Add the options that all three commands have."""
    for option in (
        as_json,
        click.option("-n", "--dry-run", is_flag=True, help="Read and check everything, write nothing."),
        click.option("--ignore-sidecar", is_flag=True, help="Do not compare a file with its .vmig.meta.json."),
        click.option(
            "--on-error",
            type=click.Choice(["stop", "skip"]),
            default="stop",
            show_default=True,
            help="At a record that cannot be taken: stop with nothing written, or leave it out and say so.",
        ),
        click.option(
            "--vec-query", metavar="JSON", help="Nearest to this vector first; @FILE reads it. 10 unless --limit."
        ),
        click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N, the newest where known."),
    ):
        function = option(function)
    return function


def _guarded(function: F) -> F:
    """Add the options of what comes in from elsewhere."""
    for option in reversed(
        (
            click.option("--policy", metavar="POLICY", help="What signatures must be worth: see vex trust policy."),
            quarantining,
            click.option(
                "--grant", "grant_file", metavar="FILE", type=click.Path(), help="Trust its holder for what it covers."
            ),
            click.option(
                "--adapter", metavar="NAME", help="Turn embeddings into another model's; vex adapters lists what can."
            ),
            mixing,
            no_verify,
            concurrency,
        )
    ):
        function = option(function)
    return function


@click.command(
    "export",
    epilog=example(
        "vex export --from vektor:agent.db --output memory.vmig.jsonl",
        "vex export --from vektor --db agent.db --output work.vmig.jsonl --namespace work --sign",
        "vex export --from agent.db -o recent.vmig.jsonl --since 7d --components semantic,episodic",
        "vex export --at HEAD --namespace work --prove -o work.vmig.jsonl",
        "vex export --from agent.db --sign --seal-to bob.pub -o memory.vmig.jsonl",
    ),
)
@click.option("--from", "source", metavar="STORE", help="A store's address, or its kind with flags such as --db.")
@click.option("--at", "revision", metavar="REV", type=REVISION, help="Instead of a store: a commit of the repository.")
@click.option("--prove", is_flag=True, help="With --at: a proof, too, that these memories belong to the commit.")
@click.option("-o", "--output", metavar="FILE", help="The vmig file to write; replaced if it is there.")
@click.option("--sign", "do_sign", is_flag=True, help="Sign the file, too.")
@click.option("--key", "key_file", metavar="FILE", type=click.Path(), help="Sign with the private key in this file.")
@click.option(
    "--seal-to",
    "recipients",
    metavar="KEY",
    multiple=True,
    help="Seal it for this key's holder alone: a known name, a public key, or its file.",
)
@click.option("--grant", "grant_file", metavar="FILE", type=click.Path(), help="Export by this grant, what it covers.")
@concurrency
@located
@filtering
@_moving
@pass_edge
def export(edge: Edge, /, **given: Any) -> int:
    """Write a store's memories into a vmig file.

    Needs no repository.  Each line has all members of the format; what the store does not say is null.  A
    .vmig.meta.json with count and checksum is written beside the file.  With --at the memories of a commit are
    written, exactly as they are; --prove adds a .vmig.proof, with which vex verify shows anybody who knows the
    commit's signer that they belong to it, without showing the others.
    """
    from vexrepo.cli import sharing
    from vexrepo.cli.commands.sign import sign_output, signing_identity
    from vexrepo.remotes.stores.address import Address

    terms = sharing.terms_of(edge, given)
    if given["revision"] is not None:
        from vexrepo.cli.commands.disclose import export_at

        return export_at(edge, given, terms)
    if given["prove"]:
        raise click.UsageError("--prove goes with --at REV: only a commit can be proved")
    flags = given_flags(edge, given, besides="out")
    source = place_of(edge, flags, given["source"] or default_kind(edge), "source")
    if given["output"] is not None and given["flag_out"] is not None:
        raise click.UsageError("name the output once: --output or --out")
    if given["key_file"] is not None and not given["do_sign"]:
        raise click.UsageError("--key goes with --sign")
    target = output_file(given["output"] or given["flag_out"])
    flags.check_used()
    request = terms.narrowed(_request(edge, given, complete=source.kind != "jsonl", namespaces=given["namespaces"]))
    signs = given["do_sign"] and not request.dry_run
    identity = signing_identity(edge, given["key_file"])[0] if signs else None  # before anything is written
    final = Path(target.location)
    with sharing.staged(terms, final) as path:
        done = _run(edge, source, Address("jsonl", str(path)), request, signs=signs)
        signed = sign_output(edge, path, identity) if identity is not None else None
        if not request.dry_run:
            made = sharing.finish(edge, terms, path, final, done.notes)
            done.target = str(target) if made == final else str(made)
    signed = None if terms.recipients else signed
    return tell_transfer(edge, "exported", done, request, given["as_json"], signed)


@click.command(
    "import",
    epilog=example(
        "vex import memory.vmig.jsonl --to vektor:agent.db",
        "vex import --from memory.vmig.jsonl --to vektor --db agent.db --namespace harbour --agent-id agent-7",
        "vex import memory.vmig.jsonl --to vektor:agent.db --only-namespace work --dry-run",
        "vex import --from vex-backup memory/vektor-backup.enc --machine-id linux:4c4c… --to vektor:agent.db",
    ),
)
@click.argument("path", metavar="[FILE]", required=False)
@click.option("--from", "source", metavar="FILE", help="The vmig file, which may be given alone; or FILE's kind.")
@click.option("--to", "target", metavar="STORE", help="A store's address, or its kind with flags such as --db.")
@click.option("--namespace", "rename", metavar="NAME", help="Put all memories into this namespace.")
@click.option("--only-namespace", "namespaces", metavar="NAME", multiple=True, help="Only memories of this namespace.")
@click.option("--components", metavar="KINDS", multiple=True, help="Only these kinds of memory.")
@click.option("--min-importance", metavar="N", type=float, help="Only those of this importance or more.")
@click.option("--since", metavar="TIME", help="Only those made since a date, or e.g. 7d, 12h ago.")
@click.option("--skip-graph", is_flag=True, help="Do not build edges between memories, as the agent's tools would.")
@_guarded
@located
@_moving
@pass_edge
def import_(edge: Edge, /, **given: Any) -> int:
    """Write a vmig file's memories into a store.

    Needs no repository.  A memory that is there already is replaced, others stay; a target that is itself a vmig,
    Parquet or NumPy file is written anew.  The file is compared with its .vmig.meta.json first, if it has one.  What is
    wrong with a record is found before any is written; with --on-error skip, such records are listed and left out, and
    the exit code is 3.  A store without transactions (most servers) that fails in the middle keeps what it got, and the
    same command again completes it.

    FILE may be sealed (vex export --seal-to): it is opened for the while with one of your identities.

    The gate comes first: a signature beside the file has to be good, by a key you know (vex trust), and the checks and
    hooks of the repository around have to allow it.  What is refused goes nowhere; --quarantine keeps it for a look.

    --from vex-backup reads what the original tool's sync pushed to a host, memory/vektor-backup.enc.  Its key is made
    of the access token it was pushed with (VEX_TOKEN, or asked for) and the id of the machine it was pushed from.
    """
    from vexrepo.cli import sharing

    flags = given_flags(edge, given)
    if given["path"] is not None and given["source"] is not None:
        return _import(edge, flags, given, place_of_kind(edge, flags, given["path"], given["source"]))
    named = given["path"] or given["source"] or "jsonl"
    with sharing.opened(edge, named) as inside:
        text = named if inside is None else str(inside.file)
        return _import(edge, flags, given, place_of(edge, flags, text, "source", file=True), inside)


def _import(
    edge: Edge, flags: GivenFlags, given: dict[str, Any], source: Address, inside: Unsealed | None = None
) -> int:
    target = place_of(edge, flags, given["target"] or default_kind(edge), "target")
    flags.check_used()
    request = _request(
        edge, given, rename=given["rename"], link=not given["skip_graph"], namespaces=given["namespaces"]
    )
    done = _let_in(edge, given, source, target, request, inside)
    return tell_transfer(edge, "imported", done, request, given["as_json"])


@click.command(
    "migrate",
    epilog=example(
        "vex migrate --from vektor:old.db --to vektor:new.db",
        "vex migrate --from vektor --db agent.db --to jsonl --out memory.vmig.jsonl",
        "vex migrate --from qdrant://old:6333/agent --to pgvector://me@db/agent --record",
    ),
)
@click.option("--from", "source", metavar="STORE", required=True, help="A store's address, or its kind with flags.")
@click.option("--to", "target", metavar="STORE", required=True, help="A store's address, or its kind with flags.")
@click.option("--set-namespace", "rename", metavar="NAME", help="Put all memories into this namespace.")
@click.option("--skip-graph", is_flag=True, help="Do not build edges between memories, as the agent's tools would.")
@click.option("--record", is_flag=True, help="Commit what the source holds on the way, as vex fetch does.")
@fresh
@_guarded
@located
@filtering
@_moving
@pass_edge
def migrate(edge: Edge, /, **given: Any) -> int:
    """Write a store's memories into another store.

    Needs no repository.  Edges between memories come along where both stores keep them.  A memory that is there already
    is replaced, others stay; a vmig, Parquet or NumPy file is written anew.  What is wrong with a memory is found
    before any is written.  A store without transactions (most servers) that fails in the middle keeps what it got, and
    the same command again completes it.  The gate comes first, as in vex import.  At the end the target's count is
    compared, and some of what was written is read back.

    With --record what the source holds is first committed to the repository around, as vex fetch SOURCE does, and the
    target gets what that commit has.  The source is read once, and an interrupted read can go on.
    """
    flags = given_flags(edge, given)
    source = place_of(edge, flags, given["source"], "source")
    target = place_of(edge, flags, given["target"], "target")
    flags.check_used()
    request = _request(
        edge,
        given,
        rename=given["rename"],
        complete=target.kind == "jsonl" and source.kind != "jsonl",
        link=not given["skip_graph"],
        namespaces=given["namespaces"],
    )
    if given["record"] and not request.dry_run:
        return _migrate_by_commit(edge, given, source, target, request)
    done = _let_in(edge, given, source, target, request)
    return tell_transfer(edge, "migrated", done, request, given["as_json"])


def _migrate_by_commit(edge: Edge, given: dict[str, Any], source: Address, target: Address, request: Request) -> int:
    """Fetch what the source holds into the repository around, and write that into the target."""
    from vexrepo.cli.storing import fetched_json, named_store, say_fetched
    from vexrepo.history.ancestry import is_ancestor
    from vexrepo.repository.migrating import migrate as migrate_by_commit

    if given["policy"] is not None or given["grant_file"] is not None:
        raise click.UsageError(
            "--policy and --grant do not go with --record: the repository's policy for the source counts"
        )
    repository = edge.repository(signs=True, trusts=True)
    edge.reads(source)
    edge.unsure_later = edge.writes(target)
    done = migrate_by_commit(repository, named_store(repository, source), target, request, advance=edge.progress)
    name = done.fetched.remote.name
    if done.seen:
        done.moved.notes.append(f"{target} is known to hold {done.commit.short}")
    if not given["as_json"]:
        say_fetched(edge, done.fetched, False)
        code = tell_transfer(edge, "migrated", done.moved, request, False)
        view = repository.view()
        if view.commit is None or not is_ancestor(repository.commit_at, done.commit, view.commit):
            say(quiet(f"  bring it into a branch: vex merge {plain(name)}"))
        return code
    emit(
        {
            **transfer_json(done.moved, request),
            "signature": None,
            "fetched": fetched_json(repository, done.fetched, False),
            "target_seen": done.seen,
        }
    )
    return PARTLY if done.fetched.problems else DONE


def _request(
    edge: Edge,
    given: dict[str, Any],
    *,
    namespaces: tuple[str, ...],
    rename: str | None = None,
    complete: bool = False,
    link: bool = False,
) -> Request:
    from vexrepo.exchange.projecting import find_adapter
    from vexrepo.exchange.request import Request

    return Request(
        filters(edge, namespaces, given["components"], given["min_importance"], given["since"]),
        given["limit"],
        _query(given["vec_query"]),
        rename,
        complete,
        link,
        given["on_error"] == "skip",
        not given["ignore_sidecar"],
        given["dry_run"],
        find_adapter(given["adapter"]) if given.get("adapter") else None,
        edge.mixes_models,
    )


def _query(text: str | None) -> tuple[float, ...] | None:
    """Return the vector of ``--vec-query``."""
    if text is None:
        return None
    try:
        found = json.loads(Path(text[1:]).read_text("utf-8") if text.startswith("@") else text)
    except OSError as error:
        raise UsageError(f"--vec-query: cannot read {text[1:]}: {error.strerror}", code="bad-option") from None
    except ValueError:
        found = None
    if not isinstance(found, list) or not found or not all(type(each) in (int, float) for each in found):
        raise UsageError("--vec-query: expected a JSON array of numbers, e.g. [0.1, -0.2], or @FILE", code="bad-option")
    return tuple(map(float, found))


def _let_in(
    edge: Edge,
    given: dict[str, Any],
    source: Address,
    target: Address,
    request: Request,
    inside: Unsealed | None = None,
) -> Transferred:
    """Move what comes from elsewhere, if the gate lets it in.

    What was opened from a sealed file comes from where that lies, not from where it was opened to: the policy for
    that place counts.  Raises: Refused, UsageError (file-exists).
    """
    from vexrepo.cli.admission import guard_for, keep_apart
    from vexrepo.remotes.stores.address import Address

    _check_no_workspace(edge, target)
    place = source if inside is None else Address("jsonl", str(inside.sealed))
    guard = guard_for(edge, place, given["policy"], given["grant_file"])
    try:
        with contextlib.nullcontext() if inside is None else inside.telling():
            done = _run(edge, source, target, request, guard=guard)
    except Refused as error:
        if edge.quarantine and not request.dry_run:
            keep_apart(edge, error, source, target, request, place)
        raise
    if inside is not None:
        done.source = str(place)
        done.problems = [(code, inside.told(words)) for code, words in done.problems]
        done.notes = list(map(inside.told, done.notes))
    if given["grant_file"] is not None:
        from vexrepo.cli.sharing import read_grant

        grant = read_grant(Path(given["grant_file"])).grant
        done.notes.append(f"its signer's key counted by grant {grant.id}")
    return done


def _check_no_workspace(edge: Edge, target: Address) -> None:
    """Refuse to write the agent's own file anew: all it holds and no commit has would be gone."""
    from vexrepo.remotes.stores.registry import writes_anew

    if writes_anew(target) and edge.find() is not None and edge.repository().is_workspace(target):
        raise UsageError(
            f"{target} is the workspace of this repository, and would hold nothing but what comes in: a file is "
            "written anew.  Name another file; or bring it in as commits: vex remote add NAME SOURCE, vex pull NAME "
            "--allow-unrelated-histories",
            code="file-exists",
        )


def _run(
    edge: Edge,
    source: Address,
    target: Address,
    request: Request,
    *,
    signs: bool = False,
    guard: Guard | None = None,
) -> Transferred:
    from vexrepo.exchange.transfer import transfer
    from vexrepo.formats.signature_file import path_of

    edge.unsure = "" if request.dry_run else edge.writes(target)
    done = transfer(source, target, request, now_us=edge.now_us(), advance=edge.progress, guard=guard)
    if target.kind == "jsonl" and not request.dry_run and not signs:
        path = Path(target.location)
        if path.with_name(path_of(path.name)).exists():
            done.notes.append(f"{path_of(path.name)} is not the signature of the new content; sign it with vex sign")
    return done
