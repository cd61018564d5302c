"""``vex grant`` and ``vex unseal``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.failures import DONE
from vexrepo.cli.options import as_json, example, selecting, selection
from vexrepo.cli.output import added, emit, heading, quiet, say
from vexrepo.cli.public_keys import named_key
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import iso, plain

if TYPE_CHECKING:
    from vexrepo.objects.grant import SignedGrant


@click.command(
    epilog=example(
        "vex grant --to bob --namespace work --until 30d -o bob.vmig.grant",
        "vex grant --show bob.vmig.grant",
        "vex export --from agent.db --grant bob.vmig.grant -o work.vmig.jsonl",
    )
)
@click.option("--to", "holder", metavar="KEY", help="Whose key may use it: a known name, a public key, or its file.")
@selecting
@click.option("--until", metavar="TIME", help="When it ends: a date, or e.g. 30d, 12h from now.")
@click.option("--note", metavar="TEXT", default="", help="A few words on what it is for; everybody can read them.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(), help="The file to write.")
@click.option("--show", "shown", metavar="FILE", type=click.Path(), help="Say what a grant covers, and who issued it.")
@as_json
@pass_edge
def grant(
    edge: Edge,
    holder: str | None,
    namespaces: tuple[str, ...],
    components: tuple[str, ...],
    until: str | None,
    note: str,
    output: str | None,
    shown: str | None,
    as_json: bool,
) -> int:
    """Let somebody take out or bring in some memories for a while.

    A grant is a file you sign.  Its holder exports with vex export --grant what it covers and nothing else, and
    whoever knows your key takes in by vex import --grant what the holder signed, as far as it covers.  Both are
    refused once it has ended.
    """
    from vexrepo.cli.sharing import check_issuer, days_from_now, read_grant

    if shown is not None:
        made = read_grant(Path(shown))
        check_issuer(edge, made, edge.trusted())
        return _say(edge, made, shown, as_json, valid=True)
    if holder is None or until is None or output is None:
        raise click.UsageError("a grant needs --to KEY, --until TIME and -o FILE")
    import secrets

    from vexrepo.objects.grant import Grant, SignedGrant
    from vexrepo.objects.selection import Selection
    from vexrepo.storage.files import Files

    chosen = selection(namespaces, components) or Selection()
    identity = edge.keys().read(edge.config(edge.find())["user.identity"])
    key, _ = named_key(edge, holder)
    until_us = days_from_now(edge, until)
    if until_us <= edge.now_us():
        raise click.UsageError(f"--until {until}: that is over already")
    terms = Grant(
        identity.key, key, chosen.namespaces, chosen.components, edge.now_us(), until_us, secrets.token_hex(16), note
    )
    made = SignedGrant(terms, identity.sign(terms.message).signature)
    Files().write(Path(output), made.encode())
    return _say(edge, made, output, as_json, valid=False)


def _say(edge: Edge, made: SignedGrant, path: str, as_json: bool, *, valid: bool) -> int:
    terms, trust = made.grant, edge.trusted()
    if as_json:
        emit(
            {
                "id": terms.id,
                "path": path,
                "issuer": terms.issuer.hex(),
                "to": terms.to.hex(),
                "namespaces": sorted(terms.namespaces),
                "components": sorted(terms.components),
                "from": iso(terms.from_us),
                "until": iso(terms.until_us),
                "note": terms.note,
            }
        )
        return DONE
    covered = ", ".join(
        part
        for part in (
            f"namespaces {', '.join(map(plain, sorted(terms.namespaces)))}" if terms.namespaces else "",
            f"components {', '.join(map(plain, sorted(terms.components)))}" if terms.components else "",
        )
        if part
    )
    say(f"grant {heading(terms.id)} in {plain(path)}" + (added("  valid") if valid else ""))
    say(f"  {_who(terms.to, trust)} may have {covered or 'all memories'} until {iso(terms.until_us)}")
    say(quiet(f"  issued by {_who(terms.issuer, trust)}" + (f" · {plain(terms.note)}" if terms.note else "")))
    return DONE


def _who(key: bytes, trust: Any) -> str:
    from vexrepo.storage.keys import fingerprint

    name = trust.name_of(key)
    return f"{fingerprint(key)}" + (f" ({plain(name)})" if name else "")


@click.command(epilog=example("vex unseal work.vmig.sealed", "vex unseal work.vmig.sealed -o inbox"))
@click.argument("file", metavar="FILE", type=click.Path())
@click.option("-o", "--output", "folder", metavar="DIR", type=click.Path(), default=".", help="Where to write.")
@click.option("-f", "--force", is_flag=True, help="Replace files that are there.")
@as_json
@pass_edge
def unseal(edge: Edge, file: str, folder: str, force: bool, as_json: bool) -> int:
    """Open a sealed export with one of your identities.

    Writes the vmig file and what came with it (its signature, proof, grant).  vex import opens sealed files by itself.
    """
    from vexrepo.cli import sharing
    from vexrepo.errors import UsageError

    if not Path(file).is_file():
        raise UsageError(f"there is no file {file}", code="bad-option")
    Path(folder).mkdir(parents=True, exist_ok=True)
    found = sharing.unseal(edge, Path(file), Path(folder), overwrite=force)
    if as_json:
        emit({"files": [str(path) for path in found.values()]})
    else:
        say(f"opened {plain(file)}: " + ", ".join(plain(str(path)) for path in found.values()))
    return DONE
