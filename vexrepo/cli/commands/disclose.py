"""``vex export --at``: some memories of a commit, with a proof that they belong to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli import sharing
from vexrepo.cli.describe_signatures import is_enough
from vexrepo.cli.describe_trust import key_name
from vexrepo.cli.failures import DONE, FAILED
from vexrepo.cli.options import filters
from vexrepo.cli.output import added, emit, heading, quiet, removed, say
from vexrepo.cli.places import given_flags, output_file
from vexrepo.cli.surroundings import Edge
from vexrepo.cli.text import memories, plain, seconds_words, size_words
from vexrepo.objects.signature import Verdict

if TYPE_CHECKING:
    from vexrepo.cli.sharing import Terms
    from vexrepo.exchange.proving import ProofVerdict
    from vexrepo.objects.trust import Policy, Trust

_FOR_STORES = (
    ("source", "--from"),
    ("limit", "--limit"),
    ("vec_query", "--vec-query"),
    ("ignore_sidecar", "--ignore-sidecar"),
)


def export_at(edge: Edge, given: dict[str, Any], terms: Terms) -> int:
    """Write memories of a commit into a file."""
    from vexrepo.cli.commands.sign import sign_output, signing_identity
    from vexrepo.repository.disclosing import disclose

    for name, flag in _FOR_STORES:
        if given[name]:
            raise click.UsageError(f"{flag} is for stores, --at for a commit; leave one out")
    if given["key_file"] is not None and not given["do_sign"]:
        raise click.UsageError("--key goes with --sign")
    given_flags(edge, given, besides="out").check_used()
    target = Path(output_file(given["output"] or given["flag_out"]).location)
    selection = terms.selection(
        filters(edge, given["namespaces"], given["components"], given["min_importance"], given["since"])
    )
    repository = edge.repository()
    commit = repository.resolve(given["revision"])
    identity = signing_identity(edge, given["key_file"])[0] if given["do_sign"] else None
    edge.unsure = f"{target} is as it was"
    notes: list[str] = []
    signed = None
    with sharing.staged(terms, target) as path:
        done = disclose(repository, commit, path, selection, prove=given["prove"], dry_run=given["dry_run"])
        if not given["dry_run"]:
            signed = sign_output(edge, path, identity) if identity is not None else None
            target = sharing.finish(edge, terms, path, target, notes)
    # What was sealed has them inside.
    proof = str(done.proof) if done.proof and not terms.recipients else None
    signed = None if terms.recipients else signed
    if given["as_json"]:
        emit(
            {
                "commit": commit.hex(),
                "target": str(target),
                "dry_run": given["dry_run"],
                "written": done.written,
                "size_bytes": done.size_bytes,
                "proof": proof,
                "proof_bytes": done.proof_bytes,
                "signature": signed,
                "notes": notes,
            }
        )
        return DONE
    what = "would have exported" if given["dry_run"] else "exported"
    say(f"{what} {memories(done.written)} of commit {heading(commit.short)} → {plain(str(target))}")
    say(f" {size_words(done.size_bytes)} · {seconds_words(edge.elapsed_s())}")
    if proof is not None:
        say(f" proof in {plain(proof)} ({size_words(done.proof_bytes)}); anybody checks it with vex verify {target}")
    if signed is not None:
        say(f" signature in {plain(signed)}")
    for note in notes:
        say(f"note: {plain(note)}")
    return DONE


def verify_by_proof(edge: Edge, file: str, proof: str, trust: Trust, policy: Policy | None, as_json: bool) -> int:
    """Judge the proof of a file."""
    from vexrepo.exchange.proving import verify_proof

    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        edge.progress("verifying", done, None)

    found = verify_proof(Path(file), Path(proof), trust, edge.now_us(), advance=advance)
    good = is_enough(found.verdict, policy)
    if as_json:
        emit(
            {
                "ok": good,
                "policy": policy.value if policy is not None else None,
                "file": file,
                "proof": proof,
                "verdict": found.verdict.value,
                "commit": found.commit.hex(),
                "time_us": found.time_us,
                "key": found.key.hex() or None,
                "name": found.name or None,
                "records": found.records,
                "unproven": found.missing,
                "reasons": [{"code": code, "message": message} for code, message in found.reasons],
            }
        )
    else:
        _say_proof(file, found)
    return DONE if good else FAILED


def _say_proof(file: str, found: ProofVerdict) -> None:
    from vexrepo.storage.keys import fingerprint

    if found.verdict is Verdict.GOOD:
        who = f"{fingerprint(found.key)} ({key_name(found.name)})"
        say(f"{plain(file)}: " + added(f"proven: all {memories(found.records)} are in commit {found.commit.short}"))
        say(f"  {plain(found.subject)} · signed by {who}")
        say(quiet("  the commit may hold others that the file leaves out"))
        return
    say(f"{plain(file)}: " + removed(f"not proven ({found.verdict.value})"))
    for code, message in found.reasons:
        say(f"  {plain(message)}" + quiet(f"  [{code}]"))
    for name in found.unproven[1:20]:
        say(quiet(f"  not in the commit: {plain(name)}"))
