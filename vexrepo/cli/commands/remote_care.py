"""``vex remote check``, ``compact`` and ``rekey``: care of what a host holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.commands.remote_keys import chosen_slot
from vexrepo.cli.failures import DONE, FAILED
from vexrepo.cli.hosting import as_place, reach_to, secrets_of, visiting, warnings_of, way_out
from vexrepo.cli.options import REMOTE, as_json, example
from vexrepo.cli.output import emit, quiet, removed, say
from vexrepo.cli.remotes import Remote, find_target, host_words
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import counted, plain, seconds_words, size_words
from vexrepo.errors import UsageError

if TYPE_CHECKING:
    from vexrepo.cli.secrets import Secrets
    from vexrepo.remotes.hosts.members import SlotInfo
    from vexrepo.repository import Repository
    from vexrepo.repository.hostcare import Compacted

SHOWN = 20


@click.command(epilog=example("vex remote check backup", "vex remote check backup --read-data"))
@click.argument("remote", required=False, metavar="[REMOTE]", type=REMOTE)
@click.option("--read-data", is_flag=True, help="Receive everything, and check every object against its id.")
@click.option(
    "--accept-rollback", is_flag=True, help="Take the older state it shows, or another host, for what is to be there."
)
@as_json
@pass_edge
def check(edge: Edge, remote: str | None, read_data: bool, accept_rollback: bool, as_json: bool) -> int:
    """Check that a host holds all it should.

    Its head is opened and compared with what this machine saw before; every part has to be there, of the right size,
    and who can see the repository is asked where the host tells.  With --read-data all of it is received, opened and
    checked: that a clone from there would be complete.  Exit code 1 if anything is wrong.
    """
    from vexrepo.repository.hostcare import check_host

    repository = edge.repository(trusts=True)
    place = find_target(repository, remote)
    secrets = secrets_of(edge, place, repository.root)
    reach = reach_to(edge, place, repository, secrets)
    with way_out(place):
        found = check_host(repository, as_place(place), reach, read_data=read_data, accept_rollback=accept_rollback)
    secrets.accepted()
    notes = [*found.notes, *warnings_of(place, reach.access)]
    if as_json:
        emit(
            {
                "remote": place.name,
                "host": found.host,
                "generation": found.generation,
                "refs": found.refs,
                "packs": found.packs,
                "parts": found.parts,
                "sealed_bytes": found.sealed_bytes,
                "read_data": read_data,
                "objects": found.objects if read_data else None,
                "commits": found.commits if read_data else None,
                "records": found.records if read_data else None,
                "problems": [{"code": code, "message": message} for code, message in found.problems],
                "notes": notes,
            }
        )
        return FAILED if found.problems else DONE
    for code, message in found.problems[:SHOWN]:
        say(f"{removed(plain(message))}  {quiet(f'[{code}]')}")
    if len(found.problems) > SHOWN:
        say(quiet(f"… and {len(found.problems) - SHOWN:,} more"))
    for note in notes:
        say(f"note: {plain(note)}")
    held = f"{counted(found.packs, 'pack')} in {counted(found.parts, 'part')}, {size_words(found.sealed_bytes)}"
    read = f" · read: {counted(found.objects, 'object')}, {counted(found.commits, 'commit')}" if read_data else ""
    verdict = (
        f"{counted(len(found.problems), 'problem')}" if found.problems else "all right" if read_data else "all there"
    )
    say(f"{host_words(place.url)}: {verdict} · {held}{read} · {seconds_words(edge.elapsed_s())}")
    if found.problems:
        say("  a copy that is whole can make it whole: vex remote compact, from a repository that has everything")
    return FAILED if found.problems else DONE


@click.command(epilog=example("vex remote compact backup --dry-run", "vex remote compact backup"))
@click.argument("remote", metavar="REMOTE", type=REMOTE)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be left; change nothing there.")
@as_json
@pass_edge
def compact(edge: Edge, remote: str, dry_run: bool, as_json: bool) -> None:
    """Drop what a host no longer needs.

    Everything its branches and tags need is packed anew and put in the place of all that is there, in one step and only
    if nobody else publishes meanwhile; the host's own history begins anew.  Your history is whole before and after.  A
    host may keep what it no longer shows for a while.
    """
    from vexrepo.repository.hostcare import compact_host

    repository = edge.repository(signs=not dry_run, trusts=True)
    place = find_target(repository, remote)
    secrets = secrets_of(edge, place, repository.root)
    with way_out(place):
        done = compact_host(repository, as_place(place), reach_to(edge, place, repository, secrets), dry_run=dry_run)
    secrets.accepted()
    if as_json:
        emit({"remote": place.name, "dry_run": dry_run, **_compacted_json(done)})
        return
    say(f"{'would compact' if dry_run else 'compacted'} {host_words(place.url)}: {_compacted_words(done)}")


def _compacted_words(done: Compacted) -> str:
    packs = f"{counted(done.packs_before, 'pack')} → {done.packs_after}"
    parts = [packs, f"{size_words(done.sealed_before)} → {size_words(done.sealed_after)}"]
    if done.leftovers:
        parts.append(f"{counted(done.leftovers, 'file')} of interrupted pushes dropped")
    return " · ".join(parts)


def _compacted_json(done: Compacted) -> dict[str, Any]:
    return {
        "packs_before": done.packs_before,
        "packs_after": done.packs_after,
        "sealed_bytes_before": done.sealed_before,
        "sealed_bytes_after": done.sealed_after,
        "objects": done.objects,
        "leftovers": done.leftovers,
        "generation": done.generation,
    }


@click.command(
    epilog=example(
        "vex remote rekey backup --without bob        bob reads nothing that comes from now on",
        "vex remote rekey backup --same-passphrase",
        "vex remote rekey backup --no-passphrase      only the keys of recipients open it",
    )
)
@click.argument("remote", metavar="REMOTE", type=REMOTE)
@click.option("--without", metavar="NAME|KEY", multiple=True, help="Leave out a recipient; repeatable.")
@click.option("--same-passphrase", is_flag=True, help="Keep the passphrase; it is asked for once.")
@click.option("--no-passphrase", is_flag=True, help="Have none; recipients' keys alone open it.")
@click.option(
    "--no-compact", is_flag=True, help="Leave what is there sealed as it is: quick, but old keys still open it."
)
@click.option("-n", "--dry-run", is_flag=True, help="Say who would have the new key; change nothing.")
@as_json
@pass_edge
def rekey(
    edge: Edge,
    remote: str,
    without: tuple[str, ...],
    same_passphrase: bool,
    no_passphrase: bool,
    no_compact: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Draw a new master key, for those who stay.

    All recipients but those left out get it, and a new passphrase is asked for (or comes from VEX_NEW_PASSPHRASE_FILE).
    Everything at the host is sealed anew, so that its branch holds nothing that an earlier key opens.  Who had one may
    have kept copies, and a host may keep files for a while that no branch has any more.
    """
    from vexrepo.remotes.hosts.members import Recipient
    from vexrepo.repository.hostcare import rekey_host

    if same_passphrase and no_passphrase:
        raise click.UsageError("--same-passphrase and --no-passphrase exclude each other")
    repository = edge.repository(signs=not dry_run, trusts=True)
    place = find_target(repository, remote)
    secrets = secrets_of(edge, place, repository.root)
    stay, leave, passphrases = _who(edge, repository, place, secrets, without, only_passphrase=same_passphrase)
    recipients = [Recipient(each.name, each.key) for each in stay if each.key is not None]
    if no_passphrase and not recipients:
        raise UsageError("nobody could open it: keep a passphrase, or add a recipient first", code="bad-option")
    given: dict[str, str] = {}
    if not no_passphrase and not dry_run:
        given["passphrase"] = secrets.last if same_passphrase else secrets.another_passphrase()
    who = [*(each.name for each in recipients), *(["a passphrase"] if not no_passphrase else [])]
    done = None
    if not dry_run:
        with way_out(place):
            done = rekey_host(
                repository,
                as_place(place),
                reach_to(edge, place, repository, secrets),
                passphrases=given,
                recipients=recipients,
                compact=not no_compact,
            )
        secrets.accepted()
        if given:
            secrets.renew_keyring()
    if as_json:
        value = _compacted_json(done) if done else {}
        emit(
            {
                "remote": place.name,
                "dry_run": dry_run,
                "open_to": who,
                "left_out": [each.name for each in leave],
                **value,
            }
        )
        return
    verb = "would be" if dry_run else "is"
    say(f"{host_words(place.url)} {verb} opened by {', '.join(plain(name) for name in who)}")
    if leave:
        say(f"  left out: {', '.join(plain(each.name) for each in leave)}")
    if len(passphrases) > 1 and not no_passphrase:
        say(f"  {counted(len(passphrases), 'passphrase')} before, one now")
    if done is not None:
        what = "nothing was sealed anew" if no_compact else _compacted_words(done)
        say(f"  {what} · {seconds_words(edge.elapsed_s())}")


def _who(
    edge: Edge,
    repository: Repository,
    place: Remote,
    secrets: Secrets,
    without: tuple[str, ...],
    *,
    only_passphrase: bool,
) -> tuple[list[SlotInfo], list[SlotInfo], list[SlotInfo]]:
    """Return the slots that stay, those that go, and those of passphrases.  Raises: UsageError (unknown-slot)."""
    with visiting(edge, repository, place, secrets, identities=not only_passphrase) as vault:
        leave = [chosen_slot(vault, who, place) for who in without]
        passphrases = [each for each in vault.slots if each.kind == "passphrase"]
        stay = [each for each in vault.slots if each not in leave and each not in passphrases]
    return stay, leave, passphrases
