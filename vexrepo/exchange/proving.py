"""Judging proofs: whether the records of a file belong to a commit that somebody known has signed.

A verdict is a value.  Good says: every record of the file is in the commit, and there once, and the commit's author,
whose key is known, signed it.  It does not say that the commit has no other records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vexrepo.errors import InvalidData
from vexrepo.exchange.reading import iter_selected
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import CommitId
from vexrepo.objects.proof import MAX_BYTES, Proof
from vexrepo.objects.record import body_value, key_name, split_key
from vexrepo.objects.selection import component_of
from vexrepo.objects.signature import Verdict, message_of
from vexrepo.objects.trust import RANK, SignedBy, SigningTime, Trust, code_of, combined, judge_signature
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.registry import open_store
from vexrepo.storage.files import wrapped

LISTED = 100
_UNPROVEN = frozenset(("proof-wrong", "not-proven", "duplicate-key"))


@dataclass(frozen=True, slots=True)
class ProofVerdict:
    """What a proof is worth.  ``missing`` counts records that are not in the commit, ``unproven`` names the first."""

    verdict: Verdict
    commit: CommitId
    subject: str
    time_us: int
    key: bytes
    name: str
    records: int
    missing: int = 0
    unproven: list[str] = field(default_factory=list)
    reasons: list[tuple[str, str]] = field(default_factory=list)


def read_proof(path: Path) -> Proof:
    """Return the proof in a file.  Raises: InvalidData (proof-missing, proof-unreadable, limit-exceeded)."""
    if not path.is_file():
        raise InvalidData(
            f"there is no proof {path}; name it with --proof, or make one with `vex export --at REV --prove`",
            code="proof-missing",
        )
    with wrapped("read", path), open(path, "rb") as file:
        raw = file.read(MAX_BYTES + 1)
    try:
        return Proof.decode(raw)
    except InvalidData as error:
        raise InvalidData(f"{path}: {error}", code=error.code) from None


def verify_proof(
    path: Path,
    proof: Path,
    trust: Trust,
    now_us: int,
    *,
    commit: CommitId | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> ProofVerdict:
    """Return what a proof says of the records of a file, to somebody with that trust, at this time.

    With ``commit`` only a proof for that commit will do.  Raises: InvalidData (proof-missing, proof-unreadable, and
    what reading the file raises), StoreError.
    """
    said = read_proof(proof)
    try:
        made, signatures, proven = said.commit, said.signatures, said.check()
    except InvalidData as error:
        return ProofVerdict(Verdict.BAD, said.commit_id, "", 0, b"", "", 0, reasons=[(error.code, f"{proof}: {error}")])
    reasons: list[tuple[str, str]] = []
    if commit is not None and said.commit_id != commit:
        reasons.append(("proof-wrong", f"the proof is for commit {said.commit_id.short}, not for {commit.short}"))
    records = missing = repeats = 0
    unproven: list[str] = []
    seen, repeated = set[bytes](), ""
    namespaces, components = set[str](), set[str]()
    reads_labels = any(trust.is_limited(each.key) for each in signatures)
    with open_store(Address("jsonl", str(path))) as store:
        for batch in iter_selected(store):
            for item in batch:
                records += 1
                if reads_labels:
                    namespaces.add(split_key(item.record.key)[0])
                    components.add(component_of(body_value(item.record.body)))
                if item.record.id not in proven:
                    missing += 1
                    if len(unproven) < LISTED:
                        unproven.append(f"{store.place(item.place)} ({key_name(item.record.key)})")
                elif item.record.id in seen:
                    repeats += 1
                    repeated = repeated or f"{store.place(item.place)} ({key_name(item.record.key)})"
                seen.add(item.record.id)
            advance(len(batch))
    if missing:
        reasons.append(("not-proven", f"{missing} of {records} records are not in the commit: {unproven[0]}"))
    if repeats:
        words = f"{repeats} of {records} records are there once more, and a commit has each once: {repeated}"
        reasons.append(("duplicate-key", words))
    message, author = message_of(said.commit_id), made.author.get("key", "")
    judged = []
    for each in signatures:
        # The commit's time is its author's; others may have signed at any other.
        time = SigningTime(now_us, made.time_us, True) if each.key.hex() == author else SigningTime(now_us)
        judged.append(judge_signature(each, message, time, namespaces, components, trust))
    key, verdict = _judge(said.commit_id, made, judged, reasons)
    return ProofVerdict(
        verdict,
        said.commit_id,
        made.subject,
        made.time_us,
        key,
        trust.name_of(key),
        records,
        missing,
        unproven,
        reasons,
    )


def _judge(
    commit: CommitId, made: Commit, signatures: list[SignedBy], reasons: list[tuple[str, str]]
) -> tuple[bytes, Verdict]:
    """Return the key that counts and the verdict; what speaks against it is added to ``reasons``."""
    author = made.author.get("key", "")
    verdict = combined(signatures, author)
    if any(each.verdict is Verdict.BAD for each in signatures):
        reasons.append(("signature-bad", f"a signature of commit {commit.short} does not fit it"))
    elif verdict is None or verdict is Verdict.BAD:
        what = "is not signed by its author" if author else "is unsigned: anybody may have made it"
        reasons.append(("signature-missing", f"commit {commit.short} {what}"))
    elif verdict is not Verdict.GOOD:
        reasons.extend((code_of(each.verdict), f"commit {commit.short}: {each.why}") for each in signatures)
    counting = sorted(signatures, key=lambda each: (RANK[each.verdict], each.key.hex() != author))
    key = counting[0].key if counting else b""
    return key, Verdict.BAD if verdict is None or any(code in _UNPROVEN for code, _ in reasons) else verdict
