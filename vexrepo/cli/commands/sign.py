"""``vex sign``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import emit, heading, quiet, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import memories, plain, seconds_words
from vexrepo.errors import UsageError

if TYPE_CHECKING:
    from vexrepo.storage.keys import Identity


@click.command(epilog=example("vex sign memory.vmig.jsonl", "vex sign memory.vmig.jsonl --key team.key --json"))
@click.argument("file", metavar="FILE", type=click.Path())
@click.option("--key", "key_file", metavar="FILE", type=click.Path(), help="Sign with the private key in this file.")
@click.option("--identity", "identity_name", metavar="NAME", help="Sign with this key of yours (see vex key list).")
@click.option("--output", metavar="SIG", type=click.Path(), help="Write the signature there, not beside FILE.")
@click.option("--write-key", is_flag=True, help="Also write the private key beside FILE, readable by you only.")
@click.option("--compat", is_flag=True, help="Sign lines that verify refuses, as the original tool would.")
@as_json
@pass_edge
def sign(
    edge: Edge,
    file: str,
    key_file: str | None,
    identity_name: str | None,
    output: str | None,
    write_key: bool,
    compat: bool,
    as_json: bool,
) -> None:
    """Sign a vmig file.

    Writes FILE's signature beside it: memory.vmig.jsonl gets memory.vmig.sig, in the original tool's format.  Signs
    with your key of user.identity unless another is named; if you have none yet, one is made and kept in your own
    configuration folder.  A line that could be changed without the signature showing it is refused.
    """
    from vexrepo.exchange.signing import sign_file, write_signature
    from vexrepo.formats.signature_file import path_of
    from vexrepo.objects.timestamp import format_time
    from vexrepo.storage.files import Files
    from vexrepo.storage.keys import fingerprint, write_key_file

    if key_file is not None and identity_name is not None:
        raise click.UsageError("--key and --identity exclude each other")
    path = Path(file)
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
        value = {"file": file, "signature": str(target), "records": made.count, "root": made.root.hex()}
        value["signed_at"] = signed_at
        value["identity"] = {"name": identity.name or None, "key": identity.key.hex(), "new": fresh}
        value["key_file"] = str(key_target) if key_target is not None else None
        emit(value)
        return
    who = f"{fingerprint(identity.key)}" + (f" ({plain(identity.name)})" if identity.name else "")
    say(f"signed {memories(made.count)} with {heading(who)}{' (new)' if fresh else ''} → {plain(str(target))}")
    say(quiet(f"  root {made.root.hex()[:16]}… · {seconds_words(edge.elapsed_s())}"))
    say(f"  others check it with: vex verify {plain(file)} --public-key {identity.key.hex()}")
    if key_target is not None:
        say(f"  the private key is in {plain(str(key_target))}: keep it from whoever gets the data")


def signing_identity(edge: Edge, key_file: str | None, name: str | None = None) -> tuple[Identity, bool]:
    """Return the key to sign a file with, and whether it was made for that: the user had none."""
    from vexrepo.storage.keys import read_key_file

    if key_file is not None:
        return read_key_file(Path(key_file), edge.passphrases().tries, edge.warn), False
    keys = edge.keys()
    chosen = name if name is not None else edge.config(edge.find())["user.identity"]
    fresh = name is None and chosen not in keys.names()
    return (keys.create(chosen) if fresh else keys.read(chosen)), fresh


def _check_apart(one: Path, other: Path, option: str) -> None:
    same = os.path.abspath(one) == os.path.abspath(other)
    if not same and one.exists() and other.exists():
        same = os.path.samefile(one, other)
    if same:
        raise UsageError(f"{option}: {other} is the file {one} itself; name another", code="bad-option")
