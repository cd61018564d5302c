"""Signatures and their verdicts in words and in JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from vexrepo.cli.describe_trust import key_name
from vexrepo.cli.output import added, changed, quiet, removed
from vexrepo.cli.text import counted, memories, plain
from vexrepo.objects.signature import Verdict
from vexrepo.objects.trust import Decision, code_of, decide
from vexrepo.storage.keys import fingerprint

if TYPE_CHECKING:
    from vexrepo.exchange.signing import FileVerdict, Finding
    from vexrepo.objects.commit import Commit
    from vexrepo.objects.digest import CommitId
    from vexrepo.objects.trust import Policy, SignedBy
    from vexrepo.repository import Repository

MOST_SHOWN = 20  # findings on a terminal; JSON has all


def signature_line(signature: SignedBy) -> str:
    """Return what one signature is worth."""
    key = fingerprint(signature.key)
    match signature.verdict:
        case Verdict.GOOD:
            return added(f"good signature by {key} ({key_name(signature.name)})")
        case Verdict.UNKNOWN:
            return changed(f"signed by {key}, a key you do not know: it proves nothing about who signed")
        case Verdict.BAD:
            return removed(f"BAD signature in the name of {key}: the commit or the signature was altered")
        case Verdict.EXPIRED | Verdict.OUT_OF_SCOPE | Verdict.REVOKED:
            who = f"{signature.verdict.value.upper()}, signed by {key} ({key_name(signature.name)})"
            return removed(who) + f": {plain(signature.why)}"


def judged_lines(author: str, signatures: Sequence[SignedBy]) -> Iterator[str]:
    """Yield what the signatures of a commit are worth, what is missing, and what can be done, with error codes."""
    for each in signatures:
        yield signature_line(each) + _coded(each.verdict)
        if each.verdict is Verdict.UNKNOWN:
            yield quiet(f"  if you know whose it is: vex trust add {each.key.hex()} --name NAME")
    absent = missing_author(author, signatures)
    if absent:
        yield removed(f"the author's signature ({plain(absent[:8])}) is missing") + _coded(None)
    elif not signatures:
        yield removed("unsigned: nothing says who made it") + _coded(None)


def _coded(verdict: Verdict | None) -> str:
    return quiet(f"  [{code_of(verdict)}]") if verdict is not Verdict.GOOD else ""


def missing_author(author: str, signatures: Sequence[SignedBy]) -> str:
    """Return the key a commit names as its author's ("": none) if no signature is by it, else ""."""
    return author if author not in {each.key.hex() for each in signatures} else ""


def is_enough(verdict: Verdict | None, policy: Policy | None) -> bool:
    """Whether a verdict (None: unsigned) is enough for a policy; without one only good is."""
    if policy is None:
        return verdict is Verdict.GOOD
    return decide(policy, verdict, is_remote=False) is not Decision.REFUSED


def signature_lines(repository: Repository, identifier: CommitId, commit: Commit) -> list[str]:
    """Return one line a signature of a commit."""
    signatures = repository.signatures(identifier)
    lines = [signature_line(signature) for signature in signatures]
    absent = missing_author(commit.author.get("key", ""), signatures)
    if absent:
        lines.append(removed(f"the author's signature ({plain(absent[:8])}) is missing"))
    return lines or ["unsigned"]


def signatures_json(signatures: Sequence[SignedBy]) -> list[dict[str, Any]]:
    """Return signatures as JSON."""
    return [
        {
            "key": each.key.hex(),
            "name": each.name,
            "verdict": each.verdict.value,
            "code": code_of(each.verdict) if each.verdict is not Verdict.GOOD else None,
            "why": each.why or None,
        }
        for each in signatures
    ]


def file_verdict_lines(file: str, found: FileVerdict) -> Iterator[str]:
    """Yield what a file's signature is worth, for people."""
    name, key = plain(file), fingerprint(found.key)
    match found.verdict:
        case Verdict.GOOD:
            yield f"{name}: " + added(f"good signature by {key} ({key_name(found.name)})")
            loosely = "; read as loosely as the original tool does" if found.compat else ", exactly as signed"
            yield f"  {memories(found.records)}{loosely}"
            yield quiet(f"  the signer says it was at {plain(found.signed_at)}; nothing proves that time")
        case Verdict.UNKNOWN:
            yield f"{name}: " + changed(f"signed by {key}, a key you do not know: NOT verified")
        case Verdict.EXPIRED | Verdict.OUT_OF_SCOPE | Verdict.REVOKED:
            who = f" (signed by {key}, {key_name(found.name)})"
            yield f"{name}: " + removed(f"{found.verdict.value}: NOT verified") + who
        case Verdict.BAD if found.is_as_signed:
            yield f"{name}: " + removed("NOT verified: lines could have been changed without the signature showing it")
        case Verdict.BAD:
            yield f"{name}: " + removed("NOT as signed" if found.key else "the signature cannot be read")
    for code, message in found.reasons:
        yield f"  {plain(message)}" + quiet(f"  [{code}]")
    for finding in found.findings[:MOST_SHOWN]:
        yield f"    {removed(finding.kind)} {_place_of(finding)}"
    more = len(found.findings) - MOST_SHOWN + found.unlisted
    if more > 0:
        yield f"    … and {counted(more, 'more place')} (--json lists up to 1,000 unprotected lines and all others)"
    if found.verdict is Verdict.BAD and found.is_as_signed:
        yield quiet("  --compat reads such lines as the original tool does")


def _place_of(finding: Finding) -> str:
    named = f" (id {plain(finding.id)})" if finding.id else ""
    where = f"line {finding.line}{named}" if finding.line is not None else f"record {finding.place}"
    if finding.kind == "unprotected":
        return where + quiet(f"  [{finding.code}]")
    if finding.kind == "reordered":
        where += f", signed as record {finding.place}"
    return where


def file_verdict_json(found: FileVerdict) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """Return what a file's signature is worth as JSON: the members, and the findings one by one."""
    head: dict[str, Any] = {
        "verdict": found.verdict.value,
        "key": found.key.hex() or None,
        "name": found.name or None,
        "records": found.records,
        "signed_at": found.signed_at or None,
        "reasons": [{"code": code, "message": message} for code, message in found.reasons],
        "unlisted_findings": found.unlisted,
        "compat": found.compat,
    }
    return head, (
        {
            "kind": each.kind,
            "line": each.line,
            "record": each.place,
            "id": each.id,
            "code": each.code,
            "message": each.message,
        }
        for each in found.findings
    )
