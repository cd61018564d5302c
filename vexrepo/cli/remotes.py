"""Remotes as the configuration has them: names, addresses without secrets, and how to reach their hosts."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vexrepo.cli.text import plain
from vexrepo.errors import UsageError

if TYPE_CHECKING:
    from vexrepo.config import Config
    from vexrepo.repository import Repository

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SCP = re.compile(r"[^/:]+:.+")
_TOKEN = re.compile(
    r"gh[a-z]_|github_pat_|gl[a-z]{2,6}-|cb_|x-access-token|oauth2?$|[0-9a-f]{40}$|(?=.*[0-9])[A-Za-z0-9_]{24,}$"
)
_FAMILY = "remote"
HOMES = {"github": "https://github.com", "codeberg": "https://codeberg.org", "gitlab": "https://gitlab.com"}
_SHORT = re.compile(rf"({'|'.join(HOMES)}):([^:@\s/]+(?:/[^:@\s/]+)+)")


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote as it is configured: a host's ``url``, or a ``store``.

    ``origins`` says for each value which file it came from.
    """

    name: str
    url: str
    provider: str = ""
    user: str = ""
    passphrase_command: str = ""
    passphrase_file: str = ""
    token_command: str = ""
    store: str = ""
    origins: dict[str, str] = field(default_factory=dict, compare=False)


def key(name: str, last: str) -> str:
    """Return the configuration key of a remote's value."""
    return f"{_FAMILY}.{name}.{last}"


def read_remotes(config: Config) -> list[Remote]:
    """Return the remotes of a configuration by name.  Raises: UsageError (bad-address) for an address with a secret."""
    return [read_remote(config, name) for name in config.names(_FAMILY)]


def read_remote(config: Config, name: str) -> Remote:
    """Return one remote that has a table.  Raises: UsageError (bad-address) for an address with a secret."""
    from vexrepo.config import FAMILIES

    values: dict[str, Any] = {last: config[key(name, last)] for last in FAMILIES[_FAMILY]}
    origins = {last: config.origin(key(name, last)) for last in values}
    if values["url"]:
        try:
            check_no_secret(values["url"])
        except UsageError as error:
            raise UsageError(f"{origins['url']}: remote {name}: {error}", code=error.code) from None
    if values["url"] and values["store"]:
        raise UsageError(
            f"{origins['store']}: remote {name} has both a url and a store; remove one: "
            f"vex config unset {key(name, 'url')}",
            code="bad-config",
        )
    return Remote(name, **values, origins=origins)


def find_remote(config: Config, name: str | None, *, stores: bool = False) -> Remote:
    """Return the remote of a name; None: of ``push.remote``, else the only one, else ``origin``.

    Without ``stores``, those count only that are at a host.
    Raises: UsageError (unknown-remote, bad-address, bad-option for a store where only a host will do).
    """
    names = config.names(_FAMILY)
    if not stores:
        if name is not None and name in names and config[key(name, "store")]:
            raise UsageError(
                f"{name} is a store ({plain(config[key(name, 'store')])}), and this is about what is at a Git host; "
                "with a store go vex push, vex fetch, vex pull and vex status",
                code="bad-option",
            )
        names = [each for each in names if not config[key(each, "store")]]
    name = name or config["push.remote"] or (names[0] if len(names) == 1 else "origin" if "origin" in names else None)
    if name is None and not names:
        raise UsageError("there is no remote yet; add one with `vex remote add NAME URL`", code="unknown-remote")
    if name is None:
        raise UsageError(
            f"name the remote ({', '.join(names)}), or set one for good: vex config set push.remote {names[0]}",
            code="unknown-remote",
        )
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}" if names else "there is none yet"
        raise UsageError(f"there is no remote {name!r}; {hint} (vex remote add NAME URL)", code="unknown-remote")
    remote = read_remote(config, name)
    if not remote.url and not remote.store:
        raise UsageError(
            f"remote {name} has no address; set it with `vex remote set-url {name} URL`", code="unknown-remote"
        )
    return remote


def find_target(repository: Repository, text: str | None) -> Remote:
    """Return the remote at a host that push, fetch and pull are about.

    Raises: UsageError (unknown-remote), with the way for a branch or an address in its place.
    """
    config = repository.config
    if text is None or text in config.names(_FAMILY):
        return find_remote(config, text)
    if text in {ref.partition("/")[2] for ref in repository.view().own_refs}:
        raise UsageError(
            f"{text} is a branch here, and no remote: name the remote before it (known: "
            f"{', '.join(config.names(_FAMILY)) or 'none'})",
            code="unknown-remote",
        )
    if _URL.match(text) or _SCP.fullmatch(text):
        check_no_secret(text)
        raise UsageError(
            f"{hidden(text)} has no name yet: vex remote add NAME {hidden(text)}, then use the name",
            code="unknown-remote",
        )
    return find_remote(config, text)


# -- addresses -----------------------------------------------------------------------------------------------------


def check_no_secret(url: str) -> None:
    """Raise UsageError (bad-address) where an address holds a password or token; the message does not show it."""
    found = _URL.match(url)
    if found is None:
        return
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UsageError(f"{hidden(url)!r} is no address", code="bad-address") from None
    user, mark, _ = parts.netloc.rpartition("@")[0].partition(":")
    if mark or _TOKEN.match(user) or parts.query or parts.fragment:
        raise UsageError(
            f"the address {hidden(url)} would hold a secret: passwords and tokens do not belong there, where files, "
            "logs and the list of processes show them.  Give the address without it; the token comes from VEX_TOKEN, "
            "the keyring, git's credential helper, or is asked for",
            code="bad-address",
        )


def hidden(url: str) -> str:
    """Return an address for people, with ``…`` where it holds, or may hold, a secret."""
    found = _URL.match(url)
    if found is None:
        return plain(url)
    place, mark, rest = url[found.end() :].partition("/")
    user, at, host = place.rpartition("@")
    if at and (":" in user or _TOKEN.match(user)):
        place = f"…@{host}"
    for sign in "?#":
        rest, cut, _ = rest.partition(sign)
        if cut:
            rest += f"{sign}…"
            break
    return plain(found.group() + place + mark + rest)


def parse_url(text: str, *, home: Path) -> str:
    """Return the address a user typed, a path as an absolute one, ``codeberg:alice/memory`` in full.

    Raises: UsageError (bad-address) for a secret in it, a store's address, a scheme that is no host's.
    """
    from vexrepo.remotes.hosts.address import SCHEMES, parse_git_address, scheme_of
    from vexrepo.remotes.hosts.registry import schemes

    check_no_secret(text)
    if short := _SHORT.fullmatch(text):
        text = f"{HOMES[short[1]]}/{short[2].removesuffix('.git')}.git"
    if is_store_address(text):
        raise UsageError(
            f"{hidden(text)} is the address of a store, expected a Git host (https://, ssh://, git@host:path, a "
            "folder); a store becomes a remote with `vex remote add NAME STORE`",
            code="bad-address",
        )
    scheme = scheme_of(text)
    if scheme not in SCHEMES and scheme not in schemes():
        raise UsageError(
            f"{scheme}:// is no way to a host; known: {', '.join(schemes())}, git@host:path, or a folder",
            code="bad-address",
        )
    if scheme == "file" and not _URL.match(text) and text.strip():
        if text == "~" or text.startswith(("~/", "~\\")):
            text = str(home) + text[1:]
        text = os.path.abspath(text)
    if scheme in SCHEMES:
        parse_git_address(text)
    return text


def is_store_address(text: str) -> bool:
    """Whether a text is the address of a store (``KIND:…``, or a file with the ending of one), not of a host."""
    from vexrepo.remotes.stores.address import parse_address
    from vexrepo.remotes.stores.registry import kinds

    kind, colon, _ = text.partition(":")
    if colon:
        return "@" not in kind and kind in kinds() and not os.path.exists(text)
    try:
        parse_address(text)
    except UsageError:
        return False
    return not os.path.isdir(text)


def host_words(url: str) -> str:
    """Return an address as summaries show it: ``codeberg.org/alice/memory``, ``../memory``."""
    shown = hidden(url)
    found = _URL.match(shown)
    if found is not None and found[1].lower() != "file":
        shown = shown[found.end() :]
        shown = shown.partition("/")[0].rpartition("@")[2] + "/" + shown.partition("/")[2]
    elif found is None and os.path.isabs(url):
        shown = min(shown, plain(os.path.relpath(url)), key=len)
    elif found is None:
        shown = shown.rpartition("@")[2]
    return shown.rstrip("/").removesuffix(".git")
