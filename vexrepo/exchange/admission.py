"""The gate before what comes from elsewhere: who signed it, against a policy; then checks and hooks.

Integrity and signature are always judged; nothing passes them by.  Contract: hooks/CONTRACT.md, sections 1 and 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vexrepo.errors import Refused
from vexrepo.exchange.proving import verify_proof
from vexrepo.exchange.signing import FileVerdict, Reason, verify_file
from vexrepo.formats.signature_file import path_of
from vexrepo.hooks.check import Change
from vexrepo.hooks.event import Event
from vexrepo.hooks.gate import Gate, Passed
from vexrepo.objects import proof
from vexrepo.objects.record import Record
from vexrepo.objects.timestamp import format_time
from vexrepo.objects.trust import Decision, Policy, Trust, code_of, decide
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.jsonl import JsonlStore

Records = Callable[[], Iterable[Record]]


@dataclass(frozen=True, slots=True)
class Guard:
    """Who decides about what comes in.

    ``policy`` is that of the source; ``place`` is where hooks are told that it lies, where that is not the store that
    is read.  ``heard`` is told what checks and hooks said, ``advance`` the bytes of a file
    whose signature was checked.
    """

    trust: Trust
    now_us: int
    policy: Policy = Policy.AUTO
    gate: Gate = field(default_factory=Gate)
    heard: Callable[[Passed], None] = lambda passed: None
    advance: Callable[[int], None] = lambda amount: None
    place: Address | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """What was found of something that was let in.  ``signature`` is what hooks are told, ``note`` what people are."""

    signature: dict[str, Any] | None = None
    note: str = ""


def check_signature(store: Store, guard: Guard) -> Admitted:
    """Judge the signature of what a store holds against the policy.

    Raises: Refused (signature-missing, signature-unknown-key, signature-bad, … or what makes it bad).
    """
    found = _verdict(store, guard)
    verdict = found.verdict if found is not None else None
    decision = decide(guard.policy, verdict, is_remote=False)
    if decision is Decision.REFUSED:
        raise _refusal(store, found, guard.policy)
    if found is None:
        is_file = isinstance(store, JsonlStore)
        note = f"{store.address.location} is not signed: nothing says who wrote it" if is_file else ""
        return Admitted(None, note)
    signature = {
        "verdict": found.verdict.value,
        "key": found.key.hex(),
        "name": found.name,
        "signed_at": found.signed_at,
    }
    note = f"{store.address.location}: {found.reasons[0].message}" if decision is Decision.SAID else ""
    return Admitted(signature, note)


def _verdict(store: Store, guard: Guard) -> FileVerdict | None:
    """Return what the signature file beside a vmig file is worth, or its proof; None where there is neither."""
    if not isinstance(store, JsonlStore):
        return None
    path = Path(store.address.location)
    beside = path.with_name(path_of(path.name))
    if beside.exists():
        return verify_file(path, beside, guard.trust, guard.now_us, advance=guard.advance)
    beside = path.with_name(proof.path_of(path.name))
    if not beside.exists():
        return None
    found = verify_proof(path, beside, guard.trust, guard.now_us)
    reasons = [Reason(*each) for each in found.reasons]
    return FileVerdict(found.verdict, found.key, found.name, format_time(found.time_us), found.records, reasons)


def _refusal(store: Store, found: FileVerdict | None, policy: Policy) -> Refused:
    where = store.address.location if isinstance(store, JsonlStore) else str(store.address)
    if found is None:
        return Refused(
            f"{where} is not signed, and the policy for it is {policy.value!r}: ask its author for the signature file "
            f"({path_of(Path(where).name)}), or let unsigned data in with `vex trust policy {where} auto`",
            code=code_of(None),
        )
    first = found.reasons[0]
    more = f" (and {len(found.reasons) - 1} more reasons: vex verify {where})" if len(found.reasons) > 1 else ""
    return Refused(f"{where} was refused: {first.message}{more}", code=first.code)


def pass_in(guard: Guard, event: Event, records: Records) -> None:
    """Show records to the checks and hooks of ``pre-import``.  Raises: Vetoed."""
    if guard.gate.is_watched(event.name):
        guard.heard(guard.gate.pass_through(event, lambda: _learned(records())))


def tell_of_import(guard: Guard, event: Event, records: Records) -> None:
    """Tell the hooks of ``post-import``."""
    if guard.gate.is_watched(event.name):
        guard.heard(guard.gate.tell(event, lambda: _learned(records())))


def _learned(records: Iterable[Record]) -> Iterable[Change]:
    # What a live store had before is not read for this: each memory that comes in counts as learned.
    return (Change(record.key, None, record) for record in records)
