"""Signing vmig files and judging their signatures.

A verdict is a value.  Good says: every line is one that the signature settles, the records are those that were
signed, in that order, and the key is one somebody vouches for, now and for these records.  A right signature by any
other key proves nothing about who signed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from vexrepo.errors import InvalidData, StateError
from vexrepo.exchange.alignment import align
from vexrepo.exchange.line_hashes import (
    Advance,
    Labels,
    LineHashes,
    check_unchanged,
    fingerprint,
    read_ids,
    read_line_hashes,
)
from vexrepo.formats import signature_file
from vexrepo.formats.signature_file import HASH_BYTES, SignatureFile, message_of, root_of
from vexrepo.objects.signature import Signature, Verdict, is_good, is_proper_key
from vexrepo.objects.timestamp import parse_time_us
from vexrepo.objects.trust import SigningTime, Trust, code_of, judge
from vexrepo.storage.files import Files, wrapped

Sign = Callable[[bytes], Signature]


_BROKEN = frozenset(("weak-key", "signature-bad", "signature-incomplete", "records-changed"))


class Reason(NamedTuple):
    """Why a verdict is not good."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with one record; ``kind`` is changed, added, removed, reordered or unprotected.

    ``line`` is its line in the file (None for a removed one), ``place`` its number among the signed records
    (None for an added one), both from 1.
    """

    kind: str
    line: int | None
    place: int | None
    id: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class FileVerdict:
    """What a file's signature is worth.  ``signed_at`` is the signer's claim, which nothing protects."""

    verdict: Verdict
    key: bytes
    name: str
    signed_at: str
    records: int
    reasons: list[Reason] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unlisted: int = 0  # further unprotected lines that are not among the findings
    compat: bool = False  # lines were read as the original tool reads them

    @property
    def is_as_signed(self) -> bool:
        """Whether the records are those that were signed, by whomever, whatever else is wrong with their lines."""
        return bool(self.key) and not _BROKEN.intersection(each.code for each in self.reasons)


def sign_file(
    path: Path, sign: Sign, signed_at: str, *, compat: bool = False, advance: Advance = lambda amount: None
) -> SignatureFile:
    """Return the signature of a file's records.

    ``sign`` gives the signature of a message; ``signed_at`` is a time such as 2026-01-31T12:00:00.000Z.
    Raises: StoreError (store-missing, store-unreadable, store-changed), InvalidData with the line: what
    ``canonical_line.check`` raises, or with ``compat`` only what the original tool cannot sign; empty-file.
    """
    found = read_line_hashes(path, compat=compat, stop_early=True, advance=advance)
    if found.problems:
        raise _unsignable(path, found, compat)
    if not len(found) and not compat:
        raise InvalidData(f"{path} holds no record: there is nothing to sign", code="empty-file")
    root = root_of(found.hashes)
    made = sign(message_of(root))
    return SignatureFile(signed_at, root, bytes(found.hashes), made.key, made.signature, len(found))


def _unsignable(path: Path, found: LineHashes, compat: bool) -> InvalidData:
    first = found.problems[0]
    which = f" (id {first.id!r})" if first.id else ""
    message = f"{path} line {first.line}{which}: {first.message}"
    if not compat and first.code != "not-json":
        message += "; --compat signs it as the original tool would"
    return InvalidData(message, code=first.code)


def write_signature(files: Files, path: Path, made: SignatureFile) -> None:
    """Write a signature file; an older one is replaced whole.

    Raises: StateError (file-exists) where there is another kind of file, InvalidData (limit-exceeded),
    StorageFailure.
    """
    content = made.encode()
    if len(content) > signature_file.MAX_BYTES:
        raise InvalidData(
            f"a signature of {made.count} records is larger than the limit of {signature_file.MAX_BYTES} bytes: sign "
            "the data in several files",
            code="limit-exceeded",
        )
    with wrapped("read", path):
        if path.exists() and not _is_replaceable(path):
            raise StateError(
                f"{path} exists and is not a signature file; name another with --output", code="file-exists"
            )
    files.write(path, content)


def _is_replaceable(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        head = file.read(4096)
    return not head or (head.startswith(b"{") and b'"root_hash"' in head)


def read_signature(path: Path) -> bytes:
    """Return the bytes of a signature file.  Raises: InvalidData (signature-file-missing, limit-exceeded)."""
    if not path.is_file():
        raise InvalidData(
            f"there is no signature file {path}; name it with --signature, or sign the file with `vex sign`",
            code="signature-file-missing",
        )
    with wrapped("read", path), open(path, "rb") as file:
        raw = file.read(signature_file.MAX_BYTES + 1)
    if len(raw) > signature_file.MAX_BYTES:
        raise InvalidData(f"{path} is larger than the limit of {signature_file.MAX_BYTES} bytes", code="limit-exceeded")
    return raw


def verify_file(
    path: Path,
    signature: Path,
    trust: Trust,
    now_us: int,
    *,
    compat: bool = False,
    advance: Advance = lambda amount: None,
) -> FileVerdict:
    """Return what the signature of a file is worth to somebody with that trust, at this time.

    ``compat`` reads lines and signature file as the original tool does; the key must be trusted all the same.
    Raises: StoreError (store-missing, store-unreadable, store-changed), InvalidData (signature-file-missing,
    limit-exceeded, too-long).
    """
    raw = read_signature(signature)
    try:
        said = signature_file.decode(raw, strict=not compat)
    except InvalidData as error:
        if error.code != "signature-file-corrupt":
            raise
        return FileVerdict(Verdict.BAD, b"", "", "", 0, [Reason(error.code, f"{signature}: {error}")])
    del raw
    before = fingerprint(path)
    found = read_line_hashes(path, compat=compat, advance=advance, expected=said.hashes)
    reasons = _judge_signature(said) + _judge_records(said, found)
    verdict = Verdict.BAD
    if not reasons:
        # Anybody can write another signed_at into a signature file, so that the key has to be valid today, too.
        time = SigningTime(now_us, parse_time_us(said.signed_at))
        labels = Labels(path)
        judged = judge(said.key, time, labels.namespaces(), labels.components(), trust)
        check_unchanged(path, before)
        verdict = judged.verdict
        if verdict is not Verdict.GOOD:
            reasons.append(Reason(code_of(verdict), judged.why))
    return FileVerdict(
        verdict,
        said.key,
        trust.name_of(said.key),
        said.signed_at,
        len(found),
        reasons,
        _findings(path, said, found),
        found.problem_count - len(found.problems),
        compat,
    )


def _judge_signature(said: SignatureFile) -> list[Reason]:
    if not is_proper_key(said.key):
        return [Reason("weak-key", f"the key {said.key.hex()} fits signatures that nobody made (it is of small order)")]
    if not is_good(Signature(said.key, said.signature), message_of(said.root)):
        return [
            Reason("signature-bad", f"the signature does not fit the root hash {said.root.hex()} and the key in it")
        ]
    return []


def _judge_records(said: SignatureFile, found: LineHashes) -> list[Reason]:
    reasons = []
    listed = len(said.hashes) // HASH_BYTES
    if listed != said.count:
        reasons.append(
            Reason("signature-incomplete", f"the signature file lists {listed} hashes but says {said.count} records")
        )
    if root_of(said.hashes) != said.root:
        reasons.append(
            Reason("signature-incomplete", "the hashes that the signature file lists are not those that were signed")
        )
    if said.hashes != found.hashes or root_of(found.hashes) != said.root:
        reasons.append(
            Reason("records-changed", f"the file's {len(found)} records are not the {said.count} that were signed")
        )
    codes: dict[str, list[int]] = {}
    for problem in found.problems:
        codes.setdefault(problem.code, []).append(problem.line)
    for code, lines in codes.items():
        message = next(each.message for each in found.problems if each.code == code)
        others = f" ({len(lines)} such lines)" if len(lines) > 1 else ""
        reasons.append(Reason(code, f"line {lines[0]}: {message}{others}"))
    return reasons


_MESSAGES = {
    "changed": "not the record that was signed",
    "added": "no such record was signed",
    "removed": "the record that was signed here is gone",
    "reordered": "signed at another place",
}


def _findings(path: Path, said: SignatureFile, found: LineHashes) -> list[Finding]:
    shifts = align(said.hashes, found.hashes, HASH_BYTES) if said.hashes != found.hashes else []
    if not shifts and not found.problems:
        return []
    numbers = {found.lines[shift.actual] for shift in shifts if shift.actual is not None}
    ids = read_ids(path, numbers)
    findings = [Finding("unprotected", each.line, None, each.id, each.code, each.message) for each in found.problems]
    for kind, signed, actual in shifts:
        line = found.lines[actual] if actual is not None else None
        place = signed + 1 if signed is not None else None
        name = ids.get(line, "") if line is not None else ""
        findings.append(Finding(kind, line, place, name, "records-changed", _MESSAGES[kind]))
    return findings
