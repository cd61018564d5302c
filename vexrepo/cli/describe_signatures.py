"""Signatures and their verdicts in words and in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vexrepo.cli.output import added, changed, removed
from vexrepo.cli.text import plain
from vexrepo.objects.signature import Verdict
from vexrepo.storage.keys import fingerprint

if TYPE_CHECKING:
    from vexrepo.objects.commit import Commit
    from vexrepo.objects.digest import CommitId
    from vexrepo.repository import Repository, SignedBy


def signature_line(signature: SignedBy) -> str:
    """Return what one signature is worth."""
    key = fingerprint(signature.key)
    match signature.verdict:
        case Verdict.GOOD:
            return added(f"good signature by {key} ({plain(signature.name)})")
        case Verdict.UNKNOWN:
            return changed(f"signed by {key}, a key you do not know: it proves nothing about who signed")
        case Verdict.BAD:
            return removed(f"BAD signature in the name of {key}: the commit or the signature was altered")


def missing_author(commit: Commit, signatures: Sequence[SignedBy]) -> str:
    """Return the key a commit names as its author's if no signature is by it, else ""."""
    key = commit.author.get("key")
    return key if isinstance(key, str) and key not in {each.key.hex() for each in signatures} else ""


def is_well_signed(commit: Commit, signatures: Sequence[SignedBy]) -> bool:
    """Whether at least one signature is good, none is bad, and the author's own is not missing."""
    verdicts = {signature.verdict for signature in signatures}
    return Verdict.GOOD in verdicts and Verdict.BAD not in verdicts and not missing_author(commit, signatures)


def signature_lines(repository: Repository, identifier: CommitId, commit: Commit) -> list[str]:
    """Return one line a signature of a commit."""
    signatures = repository.signatures(identifier)
    lines = [signature_line(signature) for signature in signatures]
    absent = missing_author(commit, signatures)
    if absent:
        lines.append(removed(f"the author's signature ({plain(absent[:8])}) is missing"))
    return lines or ["unsigned"]


def signatures_json(signatures: Sequence[SignedBy]) -> list[dict[str, Any]]:
    """Return signatures as JSON."""
    return [{"key": each.key.hex(), "name": each.name, "verdict": each.verdict.value} for each in signatures]
