"""``vex trust policy``: what signatures of a source must be worth."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vexrepo.cli.describe_trust import ruling_json, ruling_words
from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import emit, quiet, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import plain
from vexrepo.errors import UsageError

if TYPE_CHECKING:
    from vexrepo.config import Config


@click.command(
    "policy",
    epilog=example(
        "vex trust policy",
        "vex trust policy signed",
        "vex trust policy ~/Downloads trusted --user",
        "vex trust policy backup trusted",
        "vex trust policy backup --unset",
    ),
)
@click.argument("source", required=False, metavar="[SOURCE]")
@click.argument("policy", required=False, metavar="[POLICY]")
@click.option("--user", is_flag=True, help="In your own configuration, for all repositories.")
@click.option("--unset", is_flag=True, help="Remove what is set for SOURCE.")
@as_json
@pass_edge
def policy(edge: Edge, source: str | None, policy: str | None, user: bool, unset: bool, as_json: bool) -> None:
    """Say what signatures of a source must be worth.

    SOURCE is a file or folder, the address of a store (or its beginning), or the name of a remote; the most particular
    policy counts.  Without POLICY, shows the one that counts and where it was set; without SOURCE, all of them;
    POLICY alone sets the one for everything else (trust.policy).

    \b
    integrity  what is not damaged comes in; who signed is said
    signed     only what somebody signed, whoever it is
    trusted    only what is signed by a key you know
    auto       as integrity; but files by unknown keys, and all by keys
               that expired or do not fit, are refused (the default)

    What is signed by a revoked key, or badly, comes in under none.
    """
    from vexrepo.cli.policies import parse_source, ruling
    from vexrepo.objects.sources import Source
    from vexrepo.objects.trust import Policy, parse_policy

    folder = edge.find()
    config = edge.config(folder)
    if unset and (source is None or policy is not None):
        raise click.UsageError("--unset takes a SOURCE and no POLICY")
    if source is None:
        _list(config, as_json)
        return
    if policy is None and not unset and source in {each.value for each in Policy}:
        _set_general(edge, folder, source, user=user)
        _list(edge.config(folder), as_json)
        return
    found: Source = parse_source(source, config)
    if policy is not None or unset:
        chosen = parse_policy(policy, "POLICY").value if policy is not None else None
        _set(edge, folder, found, chosen, user=user)
        config = edge.config(folder)
    counts = ruling(found, config, folder)
    if as_json:
        emit({"source": str(found), **ruling_json(counts)})
    else:
        say(f"{plain(str(found))}: {ruling_words(counts)}")


def _list(config: Config, as_json: bool) -> None:
    entries = sorted(config.entries("trust.sources").items())
    general, origin = config["trust.policy"], config.origin("trust.policy")
    if as_json:
        sources = [{"source": name, "policy": each.value, "origin": each.origin} for name, each in entries]
        emit({"policy": general, "origin": origin, "sources": sources})
        return
    for name, each in entries:
        say(f"{plain(name)}: {plain(each.value)}  " + quiet(f"({plain(each.origin)})"))
    say(f"{'everything else' if entries else 'everything'}: {plain(general)}  " + quiet(f"({plain(origin)})"))


def _file(edge: Edge, folder: Path | None, *, user: bool) -> Path:
    if user:
        return edge.user_config()
    if folder is None:
        edge.no_repository("; or use --user")
    return folder / "config.toml"


def _set_general(edge: Edge, folder: Path | None, policy: str, *, user: bool) -> None:
    from vexrepo.config import write_value
    from vexrepo.storage.files import Files

    write_value(Files(), _file(edge, folder, user=user), "trust.policy", policy)


def _set(edge: Edge, folder: Path | None, source: object, policy: str | None, *, user: bool) -> None:
    from vexrepo.config import write_entry
    from vexrepo.storage.files import Files

    path = _file(edge, folder, user=user)
    # What lies in the repository's folder is named as seen from there, so that both can be moved.
    rules = [str(source), _inside(str(source), folder) if folder is not None and not user else ""]
    if policy is not None:
        write_entry(Files(), path, "trust.sources", rules[-1] or rules[0], policy)
        return
    removed = [write_entry(Files(), path, "trust.sources", rule, None) for rule in rules if rule]
    if not any(removed):
        raise UsageError(f"nothing is set for {source} in {path}; see `vex trust policy`", code="bad-option")


def _inside(rule: str, folder: Path) -> str:
    from vexrepo.objects.sources import FILE

    path = Path(rule.removeprefix(FILE))
    root = Path(os.path.realpath(folder.parent))
    return FILE + path.relative_to(root).as_posix() if rule.startswith(FILE) and path.is_relative_to(root) else ""
