"""``vex sign``: of a file, or beside commits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vexrepo.cli.failures import DONE
from vexrepo.cli.options import OWN_KEY, FileOrRevision, as_json, example
from vexrepo.cli.output import emit, heading, quiet, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import counted, memories, plain, seconds_words
from vexrepo.errors import UsageError

if TYPE_CHECKING:
    from vexrepo.storage.keys import Identity


@click.command(
    epilog=example(
        "vex sign memory.vmig.jsonl",
        "vex sign memory.vmig.jsonl --key team.key --json",
        "vex sign HEAD",
        "vex sign v1..main --identity work",
    )
)
@click.argument("target", metavar="FILE|REV|A..B", type=FileOrRevision())
@click.option("--key", "key_file", metavar="FILE", type=click.Path(), help="Sign with the private key in this file.")
@click.option(
    "--identity", "identity_name", metavar="NAME", type=OWN_KEY, help="Sign with this key of yours (see vex key list)."
)
@click.option("--output", metavar="SIG", type=click.Path(), help="Write the signature there, not beside FILE.")
@click.option("--write-key", is_flag=True, help="Also write the private key beside FILE, readable by you only.")
@click.option("--compat", is_flag=True, help="Sign lines that verify refuses, as the original tool would.")
@as_json
@pass_edge
def sign(
    edge: Edge,
    target: str,
    key_file: str | None,
    identity_name: str | None,
    output: str | None,
    write_key: bool,
    compat: bool,
    as_json: bool,
) -> int:
    """Sign a vmig file, or commits.

    FILE is an existing file, or ends with .jsonl.  Its signature is written beside it: memory.vmig.jsonl gets
    memory.vmig.sig, in the original tool's format.  Signs with your key of user.identity unless another is named; if
    you have none yet, one is made and kept in your own configuration folder.  A line that could be changed without the
    signature showing it is refused.

    REV is a commit; A..B are the commits of B that A has not.  Your signature is put beside those that are there: it
    says that you vouch for what the commit holds, whoever made it, so look at it first (vex verify, vex show).  Signing
    twice changes nothing.
    """
    if key_file is not None and identity_name is not None:
        raise click.UsageError("--key and --identity exclude each other")
    if os.path.isfile(target) or target.endswith(".jsonl") or os.path.isdir(target):
        return _sign_file(edge, Path(target), key_file, identity_name, output, write_key, compat, as_json)
    for flag, given in (("--output", output), ("--write-key", write_key), ("--compat", compat)):
        if given:
            raise UsageError(f"{flag}: for files, and there is no file {target}", code="bad-option")
    return _sign_commits(edge, target, key_file, identity_name, as_json)


def _sign_commits(edge: Edge, revision: str, key_file: str | None, name: str | None, as_json: bool) -> int:
    from vexrepo.cli.describe_signatures import signature_line
    from vexrepo.objects.signature import Verdict

    repository = edge.repository(trusts=True)
    commits = repository.commits_in(revision)
    identity, _ = signing_identity(edge, key_file, name, may_make=False)
    signed = repository.sign(commits, identity)
    if as_json:
        value = {"signed": [each.hex() for each in signed], "already": len(commits) - len(signed)}
        emit({**value, "identity": {"name": identity.name or None, "key": identity.key.hex()}})
        return DONE
    who = heading(fingerprint_of(identity))
    if not signed:
        say(f"nothing to do: {counted(len(commits), 'commit')} signed by {who} already")
        return DONE
    subject = f" {plain(repository.commit_at(signed[0]).subject)}" if len(commits) == 1 else ""
    what = f"commit {heading(signed[0].short)}{subject}" if len(commits) == 1 else counted(len(signed), "commit")
    already = len(commits) - len(signed)
    say(f"signed {what} with {who}" + (f"; {counted(already, 'other')} had its signature" if already else ""))
    for each in repository.signatures(signed[0]):
        # A key that may not sign for such memories signs all the same; it will not count.
        if each.key == identity.key and each.verdict not in (Verdict.GOOD, Verdict.UNKNOWN):
            say(f"  {signature_line(each)}")
    return DONE


def fingerprint_of(identity: Identity) -> str:
    """Return how an identity is shown to people: its key's first digits, and its name."""
    from vexrepo.storage.keys import fingerprint

    return fingerprint(identity.key) + (f" ({plain(identity.name)})" if identity.name else "")


def _sign_file(
    edge: Edge,
    path: Path,
    key_file: str | None,
    identity_name: str | None,
    output: str | None,
    write_key: bool,
    compat: bool,
    as_json: bool,
) -> int:
    from vexrepo.exchange.signing import sign_file, write_signature
    from vexrepo.formats.signature_file import path_of
    from vexrepo.objects.timestamp import format_time
    from vexrepo.storage.files import Files
    from vexrepo.storage.keys import write_key_file

    target = Path(output) if output is not None else path.with_name(path_of(path.name))
    key_target = path.with_name(path_of(path.name).removesuffix(".sig") + ".key") if write_key else None
    _check_apart(path, target, "--output")
    if key_target is not None:
        _check_apart(path, key_target, "--write-key")
        _check_apart(target, key_target, "--write-key")
    if path.is_dir() or not path.exists():
        raise UsageError(f"there is no file {path}; check the path", code="store-missing")
    identity, fresh = signing_identity(edge, key_file, identity_name)
    total = path.stat().st_size
    done = 0

    def advance(size_bytes: int) -> None:
        nonlocal done
        done += size_bytes
        edge.progress("signing bytes", done, total)

    signed_at = format_time(edge.now_us())
    made = sign_file(path, identity.sign, signed_at, compat=compat, advance=advance)
    files = Files()
    if key_target is not None:
        write_key_file(files, key_target, identity)
    write_signature(files, target, made)
    if as_json:
        value = {"file": str(path), "signature": str(target), "records": made.count, "root": made.root.hex()}
        value["signed_at"] = signed_at
        value["identity"] = {"name": identity.name or None, "key": identity.key.hex(), "new": fresh}
        value["key_file"] = str(key_target) if key_target is not None else None
        emit(value)
        return DONE
    who = heading(fingerprint_of(identity))
    say(f"signed {memories(made.count)} with {who}{' (new)' if fresh else ''} → {plain(str(target))}")
    say(quiet(f"  root {made.root.hex()[:16]}… · {seconds_words(edge.elapsed_s())}"))
    say(f"  others check it with: vex verify {plain(str(path))} --public-key {identity.key.hex()}")
    if key_target is not None:
        say(f"  the private key is in {plain(str(key_target))}: keep it from whoever gets the data")
    return DONE


def signing_identity(
    edge: Edge, key_file: str | None, name: str | None = None, *, may_make: bool = True
) -> tuple[Identity, bool]:
    """Return the key to sign with, and whether it was made for that: the user had none, and ``may_make``."""
    from vexrepo.storage.keys import read_key_file

    if key_file is not None:
        return read_key_file(Path(key_file), edge.passphrases().tries, edge.warn), False
    keys = edge.keys()
    chosen = name if name is not None else edge.config(edge.find())["user.identity"]
    fresh = may_make and name is None and chosen not in keys.names()
    return (keys.create(chosen) if fresh else edge.signer(chosen)), fresh


def sign_output(edge: Edge, path: Path, identity: Identity) -> str:
    """Sign a file that was just written, and return where the signature is."""
    from vexrepo.exchange.signing import sign_file, write_signature
    from vexrepo.formats.signature_file import path_of
    from vexrepo.objects.timestamp import format_time
    from vexrepo.storage.files import Files

    target = path.with_name(path_of(path.name))
    write_signature(Files(), target, sign_file(path, identity.sign, format_time(edge.now_us())))
    return str(target)


def _check_apart(one: Path, other: Path, option: str) -> None:
    same = os.path.abspath(one) == os.path.abspath(other)
    if not same and one.exists() and other.exists():
        same = os.path.samefile(one, other)
    if same:
        raise UsageError(f"{option}: {other} is the file {one} itself; name another", code="bad-option")
