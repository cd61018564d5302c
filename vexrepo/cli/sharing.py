"""Giving memories to others: grants that say what may leave or enter, and files that only some can open."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.public_keys import named_key
from vexrepo.cli.surroundings import Edge
from vexrepo.errors import InvalidData, UsageError, VexError

if TYPE_CHECKING:
    from vexrepo.exchange.request import Request
    from vexrepo.objects.grant import SignedGrant
    from vexrepo.objects.selection import Selection
    from vexrepo.objects.trust import Trust


@dataclass(frozen=True, slots=True)
class Terms:
    """How an export is given away: by which grant (None: one's own decision), and for whose eyes (none: anybody's)."""

    grant: SignedGrant | None = None
    recipients: tuple[bytes, ...] = ()

    def selection(self, selection: Selection) -> Selection:
        """Return a selection within the grant.  Raises: UsageError (grant-exceeded)."""
        return self.grant.grant.narrowed(selection) if self.grant is not None else selection

    def narrowed(self, request: Request) -> Request:
        """Return a request within the grant.  Raises: UsageError (grant-exceeded)."""
        return replace(request, selection=self.selection(request.selection))


def terms_of(edge: Edge, given: dict[str, Any]) -> Terms:
    """Return the terms that the options of an export say.

    Raises: UsageError (trust-unknown), InvalidData (grant-…, weak-key).
    """
    grant = read_grant(Path(given["grant_file"])) if given["grant_file"] is not None else None
    if grant is not None:
        check_issuer(edge, grant, edge.trusted())
        if grant.grant.to not in edge.keys().public_keys():
            raise InvalidData(
                f"grant {grant.grant.id} is for {grant.grant.to.hex()}, none of your identities (vex key list)",
                code="grant-not-yours",
            )
    return Terms(grant, tuple(named_key(edge, each)[0] for each in given["recipients"]))


def read_grant(path: Path) -> SignedGrant:
    """Return the grant in a file; its signature fits.  Raises: InvalidData (grant-unreadable, grant-forged)."""
    from vexrepo.objects.grant import MAX_BYTES, SignedGrant

    if not path.is_file():
        raise UsageError(f"there is no grant file {path}", code="bad-option")
    with open(path, "rb") as file:
        raw = file.read(MAX_BYTES + 1)
    try:
        return SignedGrant.decode(raw)
    except InvalidData as error:
        raise InvalidData(f"{path}: {error}", code=error.code) from None


def check_issuer(edge: Edge, grant: SignedGrant, trust: Trust) -> None:
    """Raise InvalidData (grant-not-yours, grant-expired) unless somebody trusted grants this now."""
    from vexrepo.objects.signature import Verdict
    from vexrepo.objects.trust import SigningTime, judge

    made, now_us = grant.grant, edge.now_us()
    issuer = judge(
        made.issuer, SigningTime(now_us, made.from_us, True), made.namespaces or {""}, made.components or {""}, trust
    )
    if issuer.verdict is not Verdict.GOOD:
        raise InvalidData(f"the issuer of grant {made.id} does not count: {issuer.why}", code="grant-not-yours")
    made.check_time(now_us)


def trust_by_grant(edge: Edge, file: str, trust: Trust) -> Trust:
    """Return a trust that has the grant's holder, too, for what the grant covers.

    Raises: InvalidData (grant-unreadable, grant-forged, grant-not-yours, grant-expired).
    """
    grant = read_grant(Path(file))
    check_issuer(edge, grant, trust)
    holder = grant.grant.as_known(f"grant {grant.grant.id}")
    return replace(trust, keys={**trust.keys, holder.key: holder})


@contextlib.contextmanager
def staged(terms: Terms, target: Path) -> Iterator[Path]:
    """Give where to write an export: the target, or for one that is sealed a folder that is removed at the end."""
    if not terms.recipients:
        yield target
        return
    import tempfile

    from vexrepo.exchange.sealing import ENDING, PARTS

    stem = target.name.removesuffix(ENDING).removesuffix(PARTS[0])
    with tempfile.TemporaryDirectory(prefix=".vex-", dir=target.parent) as folder:
        yield Path(folder) / (stem + PARTS[0])


def finish(edge: Edge, terms: Terms, written: Path, target: Path, notes: list[str]) -> Path:
    """Put the grant beside an exported file, and seal the whole where it has recipients; return what was made."""
    from vexrepo.exchange.sealing import ENDING, PARTS, seal_files
    from vexrepo.objects.grant import ENDING as GRANT
    from vexrepo.storage.files import Files

    stem = written.name.removesuffix(PARTS[0])
    if terms.grant is not None:
        path = written.with_name(stem + GRANT)
        Files().write(path, terms.grant.encode())
        notes.append(f"exported by grant {terms.grant.grant.id}, which goes with it in {path.name}")
    if not terms.recipients:
        return target
    parts = {ending: written.with_name(stem + ending) for ending in PARTS}
    parts = {ending: path for ending, path in parts.items() if path.exists()} | {PARTS[0]: written}
    sealed = target.with_name(stem + ENDING)
    seal_files(Files(), parts, sealed, terms.recipients, lambda amount: edge.progress("sealing", amount, None))
    who = len(terms.recipients)
    notes.append(f"sealed with what belongs to it for {who} recipient{'s' if who > 1 else ''}: nobody else can read it")
    return sealed


def is_sealed(path: str) -> bool:
    """Whether a path names a sealed file."""
    from vexrepo.exchange.sealing import MAGIC

    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


@dataclass(frozen=True, slots=True)
class Unsealed:
    """What a sealed file was opened to, for a while: ``file`` is the vmig file that was in it."""

    sealed: Path
    file: Path

    def told(self, text: str) -> str:
        """Return a text with the file that people know in the place of what is soon gone."""
        text = text.replace(str(self.file), str(self.sealed))
        return text.replace(f"{self.file.parent}{os.sep}", f"{self.sealed}:")

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Let errors name the file that people know."""
        try:
            yield
        except VexError as error:
            error.args = (self.told(str(error)),)
            raise


@contextlib.contextmanager
def opened(edge: Edge, text: str) -> Iterator[Unsealed | None]:
    """Open a sealed file for the while; None for what is none."""
    if not is_sealed(text):
        yield None
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="vex-") as folder:
        yield Unsealed(Path(text), unseal(edge, Path(text), Path(folder))[".vmig.jsonl"])


def unseal(edge: Edge, path: Path, folder: Path, *, overwrite: bool = False) -> dict[str, Path]:
    """Open a sealed file with any of the user's identities.  Raises: WrongKey, Tampered, InvalidData, StateError."""
    from vexrepo.exchange.sealing import ENDING, open_files

    keys = edge.keys()
    # Each is opened when the ones before it do not fit, those first that ask for no passphrase.
    found = sorted(map(keys.look, keys.names()), key=lambda each: each.is_sealed)
    seeds = (keys.read(each.name).seed for each in found)
    return open_files(path, seeds, folder, path.name.removesuffix(ENDING), overwrite=overwrite)


def days_from_now(edge: Edge, text: str) -> int:
    """Return the time that ``--until`` names, in microseconds since 1970: a date or time, or e.g. 30d, 12h from now."""
    import re

    from vexrepo.cli.options import _SECONDS
    from vexrepo.objects.timestamp import parse_time_us

    match = re.fullmatch(r"([0-9]{1,6}) ?([mhdw])", text.strip())
    if match is not None:
        return edge.now_us() + int(match[1]) * _SECONDS[match[2]] * 1_000_000
    found = parse_time_us(text)
    if found is None:
        raise click.UsageError(f"--until {text}: expected a date such as 2027-01-31, or e.g. 30d, 12h from now")
    return found
