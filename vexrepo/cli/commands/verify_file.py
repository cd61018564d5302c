"""``vex verify FILE``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vexrepo.cli.describe_signatures import file_verdict_json, file_verdict_lines, is_enough
from vexrepo.cli.failures import DONE, FAILED
from vexrepo.cli.output import changed, emit, emit_stream, say
from vexrepo.cli.surroundings import Edge
from vexrepo.cli.text import memories, plain
from vexrepo.errors import InvalidData

if TYPE_CHECKING:
    from vexrepo.objects.trust import Policy, Trust


def verify_file(
    edge: Edge, file: str, trust: Trust, signature: str | None, policy: Policy | None, compat: bool, as_json: bool
) -> int:
    """Judge the signature of a file."""
    from vexrepo.exchange import signing
    from vexrepo.formats.signature_file import path_of

    path = Path(file)
    beside = Path(signature) if signature is not None else path.with_name(path_of(path.name))
    if not path.exists():
        raise InvalidData(f"there is no file {path}; check the path", code="store-missing")
    if signature is None and not beside.exists():
        if is_enough(None, policy):
            return _unsigned(edge, path, policy, as_json)
        raise InvalidData(
            f"there is no signature file {beside}; name it with --signature, or sign the file with `vex sign`"
            + _as_store(edge, path),
            code="signature-file-missing",
        )
    total = path.stat().st_size
    done = 0

    def advance(size_bytes: int) -> None:
        nonlocal done
        done += size_bytes
        edge.progress("verifying bytes", done, total)

    found = signing.verify_file(path, beside, trust, edge.now_us(), compat=compat, advance=advance)
    good = is_enough(found.verdict, policy)
    if as_json:
        head, findings = file_verdict_json(found)
        policy_name = policy.value if policy is not None else None
        emit_stream({"ok": good, "file": file, "policy": policy_name, **head}, "findings", findings, iter(()))
    else:
        for line in file_verdict_lines(file, found):
            say(line)
    return DONE if good else FAILED


def _unsigned(edge: Edge, path: Path, policy: Policy | None, as_json: bool) -> int:
    """Read a file that nothing signs, for a policy to which that is enough."""
    from vexrepo.exchange.reading import iter_selected
    from vexrepo.remotes.stores.address import Address
    from vexrepo.remotes.stores.registry import open_store

    records = 0
    with open_store(Address("jsonl", str(path))) as store:
        for batch in iter_selected(store):
            records += len(batch)
            edge.progress("verifying", records, None)
    if as_json:
        value = {"ok": True, "file": str(path), "policy": policy.value if policy is not None else None}
        emit({**value, "verdict": None, "key": None, "name": None, "records": records, "reasons": [], "findings": []})
    else:
        say(f"{plain(str(path))}: " + changed("unsigned: nothing says who wrote it"))
        say(f"  {memories(records)} read; enough for the policy {policy.value if policy is not None else ''}")
    return DONE


def _as_store(edge: Edge, path: Path) -> str:
    """Return how else the file can be verified, where a repository knows it as a store."""
    from vexrepo.errors import VexError
    from vexrepo.remotes.stores.address import Address

    if edge.find() is None:
        return ""
    try:
        repository = edge.repository()
        seen = repository.view().stores.get(repository.store_name(Address("jsonl", str(path))))
    except VexError:
        return ""
    return f"; `vex verify jsonl:{path}` compares it with the commit it was last seen at" if seen else ""
