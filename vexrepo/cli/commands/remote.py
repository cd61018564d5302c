"""``vex remote``: the list of remotes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.hosting import access_to, make_at_host, secrets_of
from vexrepo.cli.keyrings import remove_keyring
from vexrepo.cli.lazy import Entry, LazyGroup
from vexrepo.cli.options import REMOTE, as_json, example
from vexrepo.cli.output import emit, heading, quiet, say
from vexrepo.cli.remotes import Remote, find_remote, hidden, is_store_address, key, parse_url, read_remotes
from vexrepo.cli.secrets import KEYRING_PASSPHRASE, token_variable
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import counted, plain
from vexrepo.cli.tracking import HEAD, standing_of_store, standings
from vexrepo.errors import StateError, UsageError

if TYPE_CHECKING:
    from vexrepo.config import Config
    from vexrepo.repository import Repository
    from vexrepo.storage.oplog import View

_HERE = "vexrepo.cli.commands"
_SETUP, _KEYS, _CARE = "The list", "Who can read", "Care"
_COMMANDS = {
    "add": Entry(f"{_HERE}.remote:add", "Name the repository of a Git host, or a store.", _SETUP),
    "list": Entry(f"{_HERE}.remote:list_", "List the remotes.", _SETUP),
    "show": Entry(f"{_HERE}.remote:show", "Say what is known of a remote.", _SETUP),
    "set-url": Entry(f"{_HERE}.remote:set_url", "Change a remote's address.", _SETUP),
    "rename": Entry(f"{_HERE}.remote:rename", "Give a remote another name.", _SETUP),
    "remove": Entry(f"{_HERE}.remote:remove", "Forget a remote; its host or store keeps what it has.", _SETUP),
    "recipient": Entry(f"{_HERE}.remote_keys:recipient", "Say who can open a remote, beside the passphrase.", _KEYS),
    "recovery-key": Entry(f"{_HERE}.remote_keys:recovery_key", "Make a key to be kept on paper.", _KEYS),
    "passphrase": Entry(f"{_HERE}.remote_keys:passphrase", "Change a remote's passphrase.", _KEYS),
    "rekey": Entry(f"{_HERE}.remote_care:rekey", "Draw a new master key, for those who stay.", _KEYS),
    "check": Entry(f"{_HERE}.remote_care:check", "Check that a host holds all it should.", _CARE),
    "compact": Entry(f"{_HERE}.remote_care:compact", "Drop what a host no longer needs.", _CARE),
}


@click.group(
    cls=LazyGroup,
    entries=_COMMANDS,
    epilog=example("vex remote add backup https://codeberg.org/alice/memory.git && vex push backup", "vex remote list"),
)
def remote() -> None:
    """Keep an encrypted copy at a Git host.

    A remote is a repository at any Git host (Codeberg, GitHub, GitLab, Gitea, an account reached by ssh) or in a
    folder.  The host gets sealed packs under random names: it sees their sizes and when they came, nothing else.

    A remote may also be a store: an agent's live memory that branches are pushed to and changes are pulled from.
    """


def repository_folder(edge: Edge) -> Path:
    """Return the ``.vex`` folder.  Raises: NoRepository."""
    folder = edge.find()
    if folder is None:
        edge.no_repository()
    return folder


def _write(edge: Edge, folder: Path, values: dict[str, Any]) -> None:
    from vexrepo.config import write_values
    from vexrepo.storage.files import Files

    write_values(Files(), folder / "config.toml", values)


def _check_new(config: Config, name: str) -> None:
    from vexrepo.config import check_name

    check_name("remote", name)
    if name in config.names("remote"):
        raise StateError(
            f"there is a remote {name} already, at {hidden(config[key(name, 'url')])}; choose another name, or "
            f"`vex remote set-url {name} URL`",
            code="remote-exists",
        )


@click.command(
    epilog=example(
        "vex remote add backup https://codeberg.org/alice/memory.git",
        "vex remote add backup codeberg:alice/memory --create     makes the repository, private",
        "vex remote add nas ssh://alice@nas.local/srv/memory.git",
        "vex remote add disk /media/disk/memory.git --passphrase-file ~/.config/vex-passphrase",
        "vex remote add agent qdrant://localhost:6333/agent     a store: vex push agent, vex pull agent",
    )
)
@click.argument("name")
@click.argument("url")
@click.option(
    "--provider",
    type=click.Choice(["github", "codeberg", "gitea", "forgejo", "gitlab"]),
    help="Whose interface the host speaks, where its address does not tell.",
)
@click.option("--user", metavar="NAME", help="User name that goes with the token, where the host asks for one.")
@click.option("--passphrase-file", metavar="FILE", help="Where the passphrase is kept.")
@click.option("--passphrase-command", metavar="COMMAND", help="A program that prints it, e.g. 'pass show memory'.")
@click.option("--token-command", metavar="COMMAND", help="A program that prints the host's access token.")
@click.option("--create", is_flag=True, help="Make the repository there, private, if it is missing.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be added, and made; do neither.")
@as_json
@pass_edge
def add(edge: Edge, /, name: str, url: str, create: bool, dry_run: bool, as_json: bool, **given: str | None) -> None:
    """Name the repository of a Git host, or a store.

    URL is https://…, ssh://…, git@host:path, a folder, or github:, codeberg: or gitlab: with OWNER/NAME.  Nothing is
    sent yet, and no secret is kept: the passphrase and the token come from the environment, the files or programs named
    here, the keyring, git's credential helper, or are asked for when they are needed.  An empty repository is made ours
    by the first vex push.

    URL may also be the address of a store, e.g. vektor:copy.db.  It is not opened yet.  Where this repository has
    committed it or checked it out before, that is what it was last seen to hold, known as NAME.
    """
    folder = repository_folder(edge)
    config = edge.config(folder)
    _check_new(config, name)
    if is_store_address(url):
        _add_store(edge, name, url, {**given, "create": create}, dry_run=dry_run, as_json=as_json)
        return
    address = parse_url(url, home=Path.home())
    values: dict[str, Any] = {"url": address, **{last: value for last, value in given.items() if value}}
    if values.get("passphrase_file"):
        values["passphrase_file"] = os.path.abspath(os.path.expanduser(values["passphrase_file"]))
    same = [each.name for each in read_remotes(config) if each.url == address]
    if dry_run:
        if as_json:
            emit({"name": name, **values, "dry_run": True})
        else:
            say(f"would add {name}: {hidden(address)}" + ", making it if it is missing" * create)
        return
    made = _create(edge, folder, Remote(name, **values)) if create else ""
    _write(edge, folder, {key(name, last): value for last, value in values.items()})
    if as_json:
        emit({"name": name, **values, **({"host": made} if made else {})})
        return
    if made:
        say(made)
    say(f"remote {name}: {hidden(address)}")
    if same:
        say(f"  {' and '.join(same)} has the same address")
    say(f"  send it your memory: vex push {name}        take what it has: vex fetch {name}")


def _add_store(
    edge: Edge, name: str, text: str, given: dict[str, str | bool | None], *, dry_run: bool, as_json: bool
) -> None:
    """Name a store."""
    from vexrepo.cli.storing import as_store
    from vexrepo.repository.storerefs import configured, track

    named = next((option for option, value in given.items() if value), None)
    if named is not None:
        raise UsageError(
            f"{hidden(text)} is a store, and --{named.replace('_', '-')} goes with a Git host", code="bad-option"
        )
    repository = edge.repository()
    address = edge.address(text)
    same = [other for other, store in configured(repository).items() if store == repository.store_name(address)]
    kept = edge.relative_to(repository.root, address)
    value: dict[str, Any] = {"name": name, "store": kept}
    if dry_run:
        if as_json:
            emit({**value, "dry_run": True})
        else:
            say(f"would add {name}: {plain(kept)}, a store")
        return
    _write(edge, repository.folder, {key(name, "store"): kept})
    repository.config = edge.config(repository.folder)
    seen = track(repository, as_store(repository, find_remote(repository.config, name, stores=True)))
    if as_json:
        emit({**value, "commit": seen.hex() if seen else None})
        return
    say(f"remote {name}: {plain(kept)}, a store" + (f", last seen at {seen.short}" if seen else ""))
    if same:
        say(f"  {' and '.join(same)} is the same store")
    say(f"  bring it to your branch: vex push {name}        take what it holds: vex fetch {name}")


def _create(edge: Edge, folder: Path, remote: Remote) -> str:
    """Make a remote's repository at its host; return in words what was done."""
    secrets = secrets_of(edge, remote, folder.parent)
    access = access_to(remote.url, edge.config(folder), secrets, edge.environ, edge.progress)
    _, words = make_at_host(remote.url, remote.provider, access, secrets)
    secrets.accepted()
    return words


@click.command("list", epilog=example("vex remote list", "vex remote list --json"))
@as_json
@pass_edge
def list_(edge: Edge, as_json: bool) -> None:
    """List the remotes."""
    config = edge.config(repository_folder(edge))
    found = read_remotes(config)
    if as_json:
        emit([_to_json(each) for each in found])
        return
    if not found:
        say("no remotes yet; add one with vex remote add NAME URL")
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        say(
            f"{each.name:<{width}}  {plain(each.store) or hidden(each.url) or '(no address)'}"
            + quiet(f"  {each.provider}" * bool(each.provider) + "  a store" * bool(each.store))
        )


@click.command("set-url", epilog=example("vex remote set-url backup ssh://git@codeberg.org/alice/memory.git"))
@click.argument("name", type=REMOTE)
@click.argument("url")
@as_json
@pass_edge
def set_url(edge: Edge, name: str, url: str, as_json: bool) -> None:
    """Change a remote's address.

    The host's repository or the store has moved, or is reached another way; what is known of it stays.
    """
    folder = repository_folder(edge)
    config = edge.config(folder)
    _check_known(config, name)
    if config[key(name, "store")]:
        _move_store(edge, folder, name, url, as_json=as_json)
        return
    address = parse_url(url, home=Path.home())
    _write(edge, folder, {key(name, "url"): address})
    if as_json:
        emit({"name": name, "url": address})
    else:
        say(f"remote {name}: {hidden(address)}")


def _move_store(edge: Edge, folder: Path, name: str, text: str, *, as_json: bool) -> None:
    if not is_store_address(text):
        raise UsageError(
            f"{name} is a store, and {hidden(text)} is the address of none; remove it and add the other: "
            f"vex remote remove {name}",
            code="bad-address",
        )
    kept = edge.relative_to(folder.parent, edge.address(text))
    _write(edge, folder, {key(name, "store"): kept})
    if as_json:
        emit({"name": name, "store": kept})
    else:
        say(f"remote {name}: {plain(kept)}")


@click.command("show", epilog=example("vex remote show backup", "vex remote show"))
@click.argument("name", required=False, metavar="[NAME]", type=REMOTE)
@as_json
@pass_edge
def show(edge: Edge, name: str | None, as_json: bool) -> None:
    """Say what is known of a remote.

    Its address, where its secrets come from, and how branches stand to those it was last seen to have.  The host is
    not asked: vex fetch does that, and vex remote check looks at everything it holds.
    """
    repository = edge.repository()
    found = find_remote(repository.config, name, stores=True)
    view = repository.view()
    if found.store:
        _show_store(repository, found, view, as_json=as_json)
        return
    seen = view.tracking(found.name)
    own = {
        each.branch: each
        for branch in seen
        for each in standings(repository, view, branch)
        if each.remote == found.name
    }
    sources = _sources(edge, found)
    if as_json:
        branches = [
            {
                "name": branch,
                "commit": commit.hex(),
                "ahead": own[branch].ahead if branch in own else None,
                "behind": own[branch].behind if branch in own else None,
            }
            for branch, commit in sorted(seen.items())
        ]
        emit({**_to_json(found), **sources, "branches": branches})
        return
    say(f"{found.name}  {hidden(found.url)}" + f"  ({found.provider})" * bool(found.provider))
    say(f"  passphrase: {sources['passphrase']}")
    say(f"  token:      {sources['token']}")
    if not seen:
        say(f"  no branch seen yet: vex fetch {found.name}, or vex push {found.name}")
    width = min(40, max((len(plain(branch)) for branch in seen), default=0))
    for branch, commit in sorted(seen.items()):
        standing = own[branch].words().partition(": ")[2] if branch in own else "not here"
        say(f"  {plain(branch):<{width}}  {heading(commit.short)}  {standing}")


def _show_store(repository: Repository, found: Remote, view: View, *, as_json: bool) -> None:
    standing = standing_of_store(repository, view, found.name)
    commit = view.tracking(found.name).get(HEAD)
    if as_json:
        told = {name: standing.to_json()[name] if standing else None for name in ("ahead", "behind")}
        emit({**_to_json(found), "commit": commit.hex() if commit else None, **told})
        return
    say(f"{found.name}  {plain(found.store)}  a store")
    if commit is None:
        say(f"  never seen: vex fetch {found.name}, or vex push {found.name}")
    else:
        words = f"  {standing.words().partition(': ')[2]}" if standing else ""
        say(f"  last seen at {heading(commit.short)} {plain(repository.commit_at(commit).subject)}{words}")


def _sources(edge: Edge, found: Remote) -> dict[str, str]:
    """Return in words where the secrets of a remote would come from; none is read."""
    passphrase = next(
        (name for name in ("VEX_PASSPHRASE", "VEX_PASSPHRASE_FILE") if edge.environ.get(name)),
        f"{found.passphrase_command.split()[0]} …  (passphrase_command)"
        if found.passphrase_command.split()
        else f"{found.passphrase_file}  (passphrase_file)"
        if found.passphrase_file
        else "your identity's key, else the keyring, else asked for",
    )
    token = next(
        (name for name in (token_variable(found.name), "VEX_TOKEN") if edge.environ.get(name)),
        f"{found.token_command.split()[0]} …  (token_command)"
        if found.token_command.split()
        else "the keyring, else git's credential helper, else asked for"
        if found.url.startswith(("http://", "https://"))
        else "none is needed",
    )
    return {"passphrase": plain(passphrase), "token": plain(token)}


@click.command("rename", epilog=example("vex remote rename backup codeberg"))
@click.argument("old", metavar="OLD", type=REMOTE)
@click.argument("new", metavar="NEW")
@as_json
@pass_edge
def rename(edge: Edge, old: str, new: str, as_json: bool) -> None:
    """Give a remote another name.

    Its settings and what was seen of its branches go along; the host is not told.
    """
    from vexrepo.repository import tracked

    repository = edge.repository()
    _check_known(repository.config, old)
    _check_new(repository.config, new)
    own = _own_values(repository.folder, old)
    values: dict[str, Any] = {key(new, last): value for last, value in own.items()}
    values |= {key(old, last): None for last in own}
    if _own_default(repository.folder) == old:
        values["push.remote"] = new
    _write(edge, repository.folder, values)
    tracked.rename(repository, old, new)
    if as_json:
        emit({"renamed": old, "to": new})
    else:
        say(f"remote {old} is now {new}")


@click.command("remove", epilog=example("vex remote remove backup"))
@click.argument("name", type=REMOTE)
@as_json
@pass_edge
def remove(edge: Edge, name: str, as_json: bool) -> None:
    """Forget a remote; its host or store keeps what it has.

    The address, the settings and what was seen of its branches are dropped here.  Passphrase and key slots at the host
    stay as they are: delete the repository there, if nobody is to read it any more.
    """
    from vexrepo.repository import tracked

    repository = edge.repository()
    _check_known(repository.config, name)
    url, store = (repository.config[key(name, last)] for last in ("url", "store"))
    values: dict[str, Any] = {key(name, last): None for last in _own_values(repository.folder, name)}
    if _own_default(repository.folder) == name:
        values["push.remote"] = None
    _write(edge, repository.folder, values)
    branches = tracked.forget(repository, name)
    forgotten = url != "" and remove_keyring(KEYRING_PASSPHRASE, url)
    if as_json:
        where = {"store": store} if store else {"url": hidden(url)}
        emit({"removed": name, **where, "branches": branches, "keyring": forgotten})
        return
    if store:
        say(f"forgot {name} ({plain(store)}); the store keeps what it holds")
        return
    also = f" and {counted(branches, 'branch', 'branches')} of it" if branches else ""
    kept = "; its passphrase is out of the keyring" * forgotten
    say(f"forgot {name} ({hidden(url)}){also}{kept}; the host was not told")


def _check_known(config: Config, name: str) -> None:
    if name not in config.names("remote"):
        find_remote(config, name, stores=True)


def _own_values(folder: Path, name: str) -> dict[str, Any]:
    """Return what the repository's file sets for a remote.  Raises: UsageError (bad-config) if nothing."""
    prefix = key(name, "")
    found = {each.removeprefix(prefix): value for each, value in _own(folder).items() if each.startswith(prefix)}
    if not found:
        raise UsageError(
            f"remote {name} is not in this repository's configuration but in your own; change it there",
            code="bad-config",
        )
    return found


def _own_default(folder: Path) -> str:
    return str(_own(folder).get("push.remote", ""))


def _own(folder: Path) -> dict[str, Any]:
    """Return what the repository's file sets."""
    from vexrepo.config import Config

    config = Config()
    config.add_file(folder / "config.toml")
    return {each: value.value for each, value in config.items() if value.origin != "default"}


def _to_json(each: Remote) -> dict[str, Any]:
    if each.store:
        return {"name": each.name, "store": each.store}
    return {"name": each.name, "url": hidden(each.url), "provider": each.provider or None}
