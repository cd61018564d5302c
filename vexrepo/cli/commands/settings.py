"""``vex config``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from vexrepo.cli.lazy import Entry, LazyGroup
from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import emit, quiet, say
from vexrepo.cli.remotes import check_no_secret, hidden, parse_url
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import plain
from vexrepo.config import AUTO, CHECKS, Config, check_key, parse_value, write_value
from vexrepo.objects.trust import parse_policy

_HERE = "vexrepo.cli.commands.settings"
_COMMANDS = {
    "list": Entry(f"{_HERE}:list_", "List all settings."),
    "get": Entry(f"{_HERE}:get", "Print one setting."),
    "set": Entry(f"{_HERE}:set_", "Set one, in the repository or for you."),
    "unset": Entry(f"{_HERE}:unset", "Remove one from a configuration file."),
}
_for_user = click.option("--user", is_flag=True, help="In your own configuration, for all repositories.")


@click.group(
    cls=LazyGroup,
    entries=_COMMANDS,
    epilog=example("vex config list --show-origin", "vex config set workspace.store vektor:agent.db"),
)
def config() -> None:
    """Read and write settings.

    Flags go before the environment (VEX_WORKSPACE_STORE for workspace.store), that before the repository's
    .vex/config.toml, that before your own config.toml, that before the defaults.
    """


def _shown(value: Any) -> str:
    return _text(value) or "(not set)"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{name} = {each}" for name, each in value.items())
    # Somebody may have written a password into an address by hand.
    return str(value).lower() if isinstance(value, bool) else hidden(str(value))


def _value(value: Any) -> Any:
    return value if not isinstance(value, str) or hidden(value) == plain(value) else hidden(value)


@click.command("list", epilog=example("vex config list --show-origin"))
@click.option("--show-origin", is_flag=True, help="Also where each value comes from.")
@as_json
@pass_edge
def list_(edge: Edge, show_origin: bool, as_json: bool) -> None:
    """List all settings."""
    items = edge.config(edge.find()).items()
    if as_json:
        emit({key: {"value": _value(value.value), "origin": value.origin} for key, value in items})
        return
    for key, value in items:
        say(f"{key} = {_shown(value.value)}" + (quiet(f"    {plain(value.origin)}") if show_origin else ""))


@click.command("get", epilog=example("vex config get workspace.store"))
@click.argument("key")
@as_json
@pass_edge
def get(edge: Edge, key: str, as_json: bool) -> None:
    """Print one setting."""
    check_key(key)
    found = edge.config(edge.find())
    if as_json:
        emit({"key": key, "value": _value(found[key]), "origin": found.origin(key)})
    else:
        say(_text(found[key]))


@click.command(
    "set", epilog=example("vex config set workspace.store vektor:agent.db", "vex config set --user user.name Alice")
)
@click.argument("key")
@click.argument("value")
@_for_user
@as_json
@pass_edge
def set_(edge: Edge, key: str, value: str, user: bool, as_json: bool) -> None:
    """Set one, in the repository or for you.

    Written to the repository's .vex/config.toml, or with --user to your own config.toml.  A path is relative to the
    current folder; that of a store is kept relative to the repository.
    """
    parsed = parse_value(key, value)
    path, folder = _file(edge, user)
    if value:
        parsed = _prepared(edge, key, parsed, folder)
    _write(edge, path, key, parsed)
    if as_json:
        emit({"key": key, "value": parsed, "file": str(path)})
    else:
        say(f"{key} = {_shown(parsed)}  (in {plain(str(path))})")


@click.command("unset", epilog=example("vex config unset user.name"))
@click.argument("key")
@_for_user
@as_json
@pass_edge
def unset(edge: Edge, key: str, user: bool, as_json: bool) -> None:
    """Remove one from a configuration file."""
    check_key(key)
    path, folder = _file(edge, user)
    _write(edge, path, key, None)
    now = edge.config(folder)
    if as_json:
        emit({"key": key, "value": now[key], "origin": now.origin(key)})
    else:
        say(f"{key} = {_shown(now[key])}  ({plain(now.origin(key))})")


def _prepared(edge: Edge, key: str, value: Any, folder: Path | None) -> Any:
    """Return a value as the file has it: paths that do not depend on the current folder.  Raises: UsageError."""
    last = key.rpartition(".")[2]
    if key == "workspace.store" or (key.startswith("remote.") and last == "store"):
        address = edge.address(value)
        return str(address.under(str(Path.cwd()))) if folder is None else edge.relative_to(folder.parent, address)
    if key.startswith("remote.") and last == "url":
        return parse_url(value, home=Path.home())
    if last in ("passphrase_file", "ca_file"):
        return os.path.abspath(os.path.expanduser(value))
    if key == "trust.policy":
        return parse_policy(value, key).value
    if key.startswith("checks."):
        _check_checks(edge.config(folder), key, value)
    if key == "http.proxy":
        check_no_secret(value)
    return value


def _check_checks(config: Config, key: str, value: Any) -> None:
    """Raise UsageError (bad-config) for a name that no check has, or a setting that its check does not take.

    The gate would refuse everything later, where nobody thinks of this.
    """
    from vexrepo.hooks.registry import make_check, parse_names

    if key in ("checks.own", "checks.foreign"):
        if not (key == "checks.foreign" and value == AUTO):
            parse_names(value)
        return
    for check in CHECKS:
        start = f"checks.{check}_"
        if key.startswith(start):
            make_check(check, {**config.of_check(check), key.removeprefix(start): value})


def _file(edge: Edge, user: bool) -> tuple[Path, Path | None]:
    if user:
        return edge.user_config(), None
    folder = edge.find()
    if folder is None:
        edge.no_repository("; or use --user")
    return folder / "config.toml", folder


def _write(edge: Edge, path: Path, key: str, value: Any | None) -> None:
    from vexrepo.storage.files import Files

    edge.config(path.parent if path.exists() else None)  # a file that cannot be read is not written over
    write_value(Files(), path, key, value)
