"""``vex verify``: of a file, or of a commit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.describe_signatures import (
    file_verdict_json,
    file_verdict_lines,
    is_well_signed,
    missing_author,
    signature_line,
    signatures_json,
)
from vexrepo.cli.failures import DONE, FAILED
from vexrepo.cli.options import Revision, as_json, example
from vexrepo.cli.output import added, emit, emit_stream, heading, quiet, removed, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import memories, plain
from vexrepo.errors import InvalidData, UsageError, VexError
from vexrepo.objects.signature import Verdict

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from vexrepo.objects.trust import Trust


class FileOrRevision(Revision):
    """A file or a revision; completes both."""

    name = "file|rev"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [*super().shell_complete(ctx, param, incomplete), CompletionItem(incomplete, type="file")]


@click.command(
    epilog=example(
        "vex verify memory.vmig.jsonl", "vex verify memory.vmig.jsonl --public-key ed25519:BASE64", "vex verify HEAD"
    )
)
@click.argument("target", metavar="[FILE|REV]", default="HEAD", type=FileOrRevision())
@click.option("--key", "key_file", metavar="FILE", type=click.Path(), help="Accept only the key in this file.")
@click.option("--public-key", metavar="KEY", help="Accept only this key: 64 digits, or ed25519: and base64.")
@click.option("--signature", metavar="SIG", type=click.Path(), help="The signature file, if it is not beside FILE.")
@click.option("--proof", metavar="FILE", type=click.Path(), help="Check by this proof that FILE is part of a commit.")
@click.option("--compat", is_flag=True, help="Read lines as loosely as the original tool; the key counts all the same.")
@as_json
@pass_edge
def verify(
    edge: Edge,
    target: str,
    key_file: str | None,
    public_key: str | None,
    signature: str | None,
    proof: str | None,
    compat: bool,
    as_json: bool,
) -> int:
    """Check the signatures of a file or a commit.

    FILE is an existing file, or ends with .jsonl; anything else is a revision (default: HEAD).  Of a file every line
    is read against its .vmig.sig; good is only a signature by a key you know (your own, or one of vex trust), over
    exactly these records.  Of a commit the whole snapshot is read against its id and each signature judged; good is
    only one with a signature by a key you know and no bad one.  A file
    without a signature but with a .vmig.proof is checked against that: good is only one whose commit is signed by a
    key you know, and holds each of these records.  Exits with 0 for good, 1 for anything else.
    """
    if os.path.isfile(target) or target.endswith(".jsonl"):
        if key_file is not None and public_key is not None:
            raise click.UsageError("--key and --public-key exclude each other")
        trust = _trust(edge, key_file, public_key)
        proof = proof or _only_proof(target, signature)
        if proof is not None:
            from vexrepo.cli.commands.disclose import verify_by_proof

            return verify_by_proof(edge, target, proof, trust, as_json)
        return _verify_file(edge, target, trust, signature, compat, as_json)
    if any((key_file, public_key, signature, proof, compat)):
        raise UsageError(
            f"--key, --public-key, --signature, --proof and --compat are for files, and there is no file {target}",
            code="bad-option",
        )
    return _verify_commit(edge, target, as_json)


def _only_proof(file: str, signature: str | None) -> str | None:
    """Return the proof beside a file that has no signature; None where there is one, or no proof."""
    from vexrepo.formats import signature_file
    from vexrepo.objects import proof

    path = Path(file)
    beside = path.with_name(proof.path_of(path.name))
    signed = signature is not None or path.with_name(signature_file.path_of(path.name)).exists()
    return str(beside) if beside.exists() and not signed else None


def _trust(edge: Edge, key_file: str | None, public_key: str | None) -> Trust:
    from vexrepo.objects.trust import Trust
    from vexrepo.storage import keyfile
    from vexrepo.storage.trust import parse_public_key

    if public_key is not None:
        return Trust.of({parse_public_key(public_key, "--public-key"): "as given"})
    if key_file is None:
        return edge.trusted()
    path = Path(key_file)
    if not path.is_file():
        raise UsageError(f"there is no key file {path}", code="no-identity")
    with open(path, "rb") as file:
        raw = file.read(keyfile.MAX_BYTES + 1)
    if keyfile.is_private(raw):
        return Trust.of({keyfile.public_of(keyfile.decode(raw, key_file)): key_file})
    # Bare digits are taken for a public key: anybody could sign with a private key of those digits.
    return Trust.of({parse_public_key(raw.decode("ascii", "replace"), key_file): key_file})


def _verify_file(edge: Edge, file: str, trust: Trust, signature: str | None, compat: bool, as_json: bool) -> int:
    from vexrepo.exchange.signing import verify_file
    from vexrepo.formats.signature_file import path_of

    path = Path(file)
    beside = Path(signature) if signature is not None else path.with_name(path_of(path.name))
    if not path.exists():
        raise InvalidData(f"there is no file {path}; check the path", code="store-missing")
    total = path.stat().st_size
    done = 0

    def advance(size_bytes: int) -> None:
        nonlocal done
        done += size_bytes
        edge.progress("verifying bytes", done, total)

    found = verify_file(path, beside, trust, edge.now_us(), compat=compat, advance=advance)
    if as_json:
        head, findings = file_verdict_json(found)
        emit_stream({"ok": found.verdict is Verdict.GOOD, "file": file, **head}, "findings", findings, iter(()))
    else:
        for line in file_verdict_lines(file, found):
            say(line)
    return DONE if found.verdict is Verdict.GOOD else FAILED


def _verify_commit(edge: Edge, revision: str, as_json: bool) -> int:
    repository = edge.repository(trusts=True)
    identifier = repository.resolve(revision)
    commit = repository.commit_at(identifier)
    damage: VexError | None = None
    try:
        signatures, report = repository.verify(identifier)
        records = report.records
    except VexError as error:
        signatures, records, damage = repository.signatures(identifier), 0, error
    good = damage is None and is_well_signed(commit, signatures)
    if as_json:
        value: dict[str, Any] = {"ok": good, "commit": identifier.hex(), "signatures": signatures_json(signatures)}
        value["missing_signature"] = missing_author(commit, signatures) or None
        value["records"] = records
        value["damage"] = {"code": damage.code, "message": str(damage)} if damage else None
        emit(value)
        return DONE if good else FAILED
    say(f"commit {heading(identifier.short)} {plain(commit.subject)}")
    for each in signatures:
        say(f"  {signature_line(each)}")
        if each.verdict is Verdict.UNKNOWN:
            say(quiet(f"    if you know whose it is: vex trust add {each.key.hex()} --name NAME"))
    absent = missing_author(commit, signatures)
    if absent:
        say("  " + removed(f"the author's signature ({plain(absent[:8])}) is missing"))
    elif not signatures:
        say("  " + removed("unsigned: nothing says who made it"))
    if damage is None:
        say("  " + added(f"content intact: {memories(records)} read and checked against the commit's id"))
    else:
        say("  " + removed("content damaged: ") + plain(str(damage)) + quiet(f"  [{damage.code}]"))
    return DONE if good else FAILED
