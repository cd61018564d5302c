"""``vex verify``: of a file, of commits, or of a live store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.options import FileOrRevision, as_json, example, selecting
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.errors import UsageError

if TYPE_CHECKING:
    from vexrepo.objects.trust import Policy, Trust
    from vexrepo.remotes.stores.address import Address

_FOR_FILES = ("key_file", "public_key", "signature", "proof", "compat")
_FOR_STORES = ("revision", "namespaces", "components")


@click.command(
    epilog=example(
        "vex verify memory.vmig.jsonl",
        "vex verify memory.vmig.jsonl --public-key ed25519:BASE64",
        "vex verify HEAD",
        "vex verify v1..main --policy signed",
        "vex verify vektor:agent.db",
        "vex verify from-afar.vmig.jsonl && vex import from-afar.vmig.jsonl --to vektor:agent.db",
    )
)
@click.argument("target", metavar="[FILE|REV|A..B|STORE]", default="HEAD", type=FileOrRevision())
@click.option("--policy", metavar="POLICY", help="What is enough: integrity, signed, trusted (the default) or auto.")
@click.option("--key", "key_file", metavar="FILE", type=click.Path(), help="Accept only the key in this file.")
@click.option("--public-key", metavar="KEY", help="Accept only this key: 64 digits, or ed25519: and base64.")
@click.option("--signature", metavar="SIG", type=click.Path(), help="The signature file, if it is not beside FILE.")
@click.option("--proof", metavar="FILE", type=click.Path(), help="Check by this proof that FILE is part of a commit.")
@click.option("--compat", is_flag=True, help="Read lines as loosely as the original tool; the key counts all the same.")
@click.option("--at", "revision", metavar="REV", help="Compare STORE with this commit, not with the last.")
@selecting
@as_json
@pass_edge
def verify(edge: Edge, /, target: str, policy: str | None, as_json: bool, **given: Any) -> int:
    """Check the signatures of files, commits and stores.

    FILE is an existing file, or ends with .jsonl.  Every line is read against its .vmig.sig; good is only a signature
    over exactly these records, by a key you know (your own, or one of vex trust), that is valid and may sign for them.
    A file without a signature but with a .vmig.proof is checked against that: good is only one whose commit is signed
    by such a key, and holds each of these records.

    REV (default: HEAD) is a commit: its whole snapshot is read against its id and each signature judged; good is only
    one with a good signature, no bad one, and none missing.  A..B are the commits of B that A has not.

    STORE is an address such as vektor:agent.db: what it holds now is compared with the commit it was last committed to
    or checked out from (or --at REV), and that commit's signatures are judged.

    Exits with 0 for good, 1 for anything else; --policy says what else is enough (see vex trust policy).
    """
    from vexrepo.objects.trust import parse_policy

    wanted = parse_policy(policy, "--policy") if policy is not None else None
    address = _store(edge, target, given)
    if address is None and (os.path.isfile(target) or target.endswith(".jsonl")):
        _check_unused(
            given, _FOR_STORES, "for stores, and this is a file: vex verify jsonl:FILE compares it as a store"
        )
        return _file(edge, target, wanted, given, as_json)
    _check_unused(given, _FOR_FILES, f"for files, and there is no file {target}")
    if address is not None:
        from vexrepo.cli.commands.verify_store import verify_store

        return verify_store(edge, address, wanted, given, as_json)
    _check_unused(given, _FOR_STORES, f"for stores, and {target} names none")
    from vexrepo.cli.commands.verify_commits import verify_commits

    return verify_commits(edge, target, wanted, as_json)


def _store(edge: Edge, target: str, given: dict[str, Any]) -> Address | None:
    """Return the store that a target names: an address, or a database without an address that is no signed file."""
    if ":" in target.split("@{", 1)[0] and not os.path.exists(target):
        return edge.address(target)
    if not os.path.isfile(target) or target.endswith(".jsonl") or any(given[name] for name in _FOR_FILES):
        return None
    from vexrepo.formats.signature_file import path_of
    from vexrepo.remotes.stores.address import parse_address

    path = Path(target)
    if path.with_name(path_of(path.name)).exists():
        return None
    try:
        address = parse_address(target)
    except UsageError:
        return None
    return address if address.kind != "jsonl" else None


def _check_unused(given: dict[str, Any], names: tuple[str, ...], why: str) -> None:
    flags = {"key_file": "key", "revision": "at", "namespaces": "namespace"}
    used = [f"--{flags.get(name, name).replace('_', '-')}" for name in names if given[name]]
    if used:
        raise UsageError(f"{' and '.join(used)}: {why}", code="bad-option")


def _file(edge: Edge, target: str, policy: Policy | None, given: dict[str, Any], as_json: bool) -> int:
    from vexrepo.cli.sharing import is_sealed

    if is_sealed(target):
        raise UsageError(
            f"{target} is sealed: open it first with vex unseal {target}, which writes its signature beside it",
            code="bad-option",
        )
    if given["key_file"] is not None and given["public_key"] is not None:
        raise click.UsageError("--key and --public-key exclude each other")
    trust = _trust(edge, given["key_file"], given["public_key"])
    proof = given["proof"] or _only_proof(target, given["signature"])
    if proof is not None:
        from vexrepo.cli.commands.disclose import verify_by_proof

        return verify_by_proof(edge, target, proof, trust, policy, as_json)
    from vexrepo.cli.commands.verify_file import verify_file

    return verify_file(edge, target, trust, given["signature"], policy, given["compat"], as_json)


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
