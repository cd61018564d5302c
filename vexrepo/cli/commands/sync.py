"""``vex sync``: the original tool's words for an encrypted copy of one database at a Git host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.commands.start import made_words, make_repository
from vexrepo.cli.hosting import access_to, make_at_host, secrets_of
from vexrepo.cli.lazy import Entry, LazyGroup
from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import emit, say
from vexrepo.cli.remotes import HOMES, Remote, check_no_secret, hidden, key, parse_url
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.syncing import REMOTE, bound_repository, folder_of, named_database
from vexrepo.cli.text import plain
from vexrepo.errors import StateError

if TYPE_CHECKING:
    from vexrepo.config import Config

_HERE = "vexrepo.cli.commands"
_COMMANDS = {
    "init": Entry(f"{_HERE}.sync:init", "Choose the host and the database."),
    "push": Entry(f"{_HERE}.sync_run:push", "Keep what the database holds, and send it."),
    "pull": Entry(f"{_HERE}.sync_run:pull", "Bring what the host has into the database."),
    "status": Entry(f"{_HERE}.sync_run:status", "Say what is set up, and what differs."),
    "diff": Entry(f"{_HERE}.sync_run:diff", "Show which memories the host and the database hold differently."),
}


@click.group(
    cls=LazyGroup,
    entries=_COMMANDS,
    epilog=example(
        "vex sync init --provider codeberg --owner alice --repo vektor-backup --db agent.db",
        "vex sync push",
        "vex sync pull --db new.db",
    ),
)
def sync() -> None:
    """Keep an encrypted copy of a database at a Git host.

    The original tool's words for what vex commit, push, pull and checkout do together.  The copy has history, is sealed
    with a passphrase and not with the machine, and what two machines learned is merged.
    """


@click.command(
    epilog=example(
        "vex sync init --provider codeberg --owner alice --repo vektor-backup --db ~/.vektor/slipstream-memory.db",
        "vex sync init --provider gitea --gitea-url https://git.example.com --owner alice --db agent.db",
        "vex sync init --url /media/disk/memory.git --db agent.db",
    )
)
@click.option(
    "--provider",
    type=click.Choice(["github", "codeberg", "gitea", "forgejo", "gitlab"]),
    help="Where the repository is.  [default: github]",
)
@click.option("--owner", metavar="NAME", help="Your user name there, or an organisation's.")
@click.option("--repo", metavar="NAME", default="vektor-backup", show_default=True, help="The repository's name.")
@click.option("--gitea-url", metavar="URL", help="Address of a Gitea, Forgejo or GitLab of your own.")
@click.option("--url", metavar="URL", help="In place of those four: the address of any Git repository, or a folder.")
@click.option("--db", metavar="FILE", help="The VEKTOR database.  [default: VEKTOR_DB]")
@click.option("--min-importance", metavar="N", type=float, help="What sync push sends where it is not told otherwise.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be made and set; ask no host.")
@as_json
@pass_edge
def init(
    edge: Edge,
    provider: str | None,
    owner: str | None,
    repo: str,
    gitea_url: str | None,
    url: str | None,
    db: str | None,
    min_importance: float | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Choose the host and the database.

    Makes the private repository at the host if it is missing (its token comes from VEX_TOKEN, the keyring, git's
    credential helper, or is asked for), and a memory repository beside the database if there is none.  Nothing of the
    memory is sent before vex sync push.
    """
    where, web = _where(provider, owner, repo, gitea_url, url)
    address = named_database(edge, db)
    if address is None:
        raise click.UsageError("name the database: --db FILE (or set VEKTOR_DB)")
    folder = bound_repository(edge, address)
    config = edge.config(folder)
    provider = provider or ("github" if url is None else "")
    if dry_run:
        made = "" if folder else f"make a memory repository in {plain(str(folder_of(address)))}, "
        if as_json:
            emit({"dry_run": True, "repository": folder and os.path.abspath(folder), "url": where})
        else:
            say(f"would {made}use {hidden(where)}, making it if it is missing, for {plain(str(address))}")
        return
    secrets = secrets_of(edge, Remote(REMOTE, "", provider), folder_of(address))
    access = access_to(where, config, secrets, edge.environ, edge.progress)
    place, words = make_at_host(where, provider if url is None else "", access, secrets, web=web)
    secrets.accepted()
    _check_same(config, place)
    lines = [words]
    if folder is None:
        repository, identity, fresh = make_repository(edge, folder_of(address), address)
        folder = repository.folder
        lines.append(made_words(repository, address, identity, fresh))
    _set_up(edge, folder, place, provider, min_importance, address.under(os.getcwd()).location, address.kind)
    if as_json:
        emit({"repository": os.path.abspath(folder), "database": str(address), "url": place, "host": words})
        return
    for line in lines:
        say(line)
    say("  next: vex sync push        or, on a new machine: vex sync pull")


def _where(
    provider: str | None, owner: str | None, repo: str, gitea_url: str | None, url: str | None
) -> tuple[str, str | None]:
    """Return the address of the repository, and that of the forge where it is one of the user's own."""
    if url is not None:
        if provider is not None or owner is not None or gitea_url is not None:
            raise click.UsageError("--url stands in place of --provider, --owner, --repo and --gitea-url")
        return parse_url(url, home=Path.home()), None
    if owner is None:
        raise click.UsageError("name whose repository it is: --owner NAME (or give its whole address: --url URL)")
    provider = provider or "github"
    if gitea_url is not None:
        check_no_secret(gitea_url)
    web = gitea_url or HOMES.get(provider)
    if web is None:
        raise click.UsageError(f"--provider {provider} needs its address: --gitea-url https://git.example.com")
    address = f"{web.rstrip('/')}/{owner.strip('/')}/{repo.strip('/').removesuffix('.git')}.git"
    return parse_url(address, home=Path.home()), gitea_url


def _check_same(config: Config, place: str) -> None:
    """Raise StateError (remote-exists) where another host was set up before."""
    before = config[key(REMOTE, "url")] if REMOTE in config.names("remote") else ""
    if before and before != place:
        raise StateError(
            f"this database is synced with {hidden(before)}; to change that: vex remote set-url {REMOTE} "
            f"{hidden(place)} where it is the same repository, moved, else vex remote remove {REMOTE} first",
            code="remote-exists",
        )


def _set_up(
    edge: Edge, folder: Path, place: str, provider: str, min_importance: float | None, database: str, kind: str
) -> None:
    from vexrepo.config import write_values
    from vexrepo.storage.files import Files

    values: dict[str, Any] = {key(REMOTE, "url"): place, key(REMOTE, "provider"): provider or None}
    if min_importance is not None:
        values["sync.min_importance"] = min_importance
    write_values(Files(), folder / "config.toml", values)
    edge.config(None)  # a file that cannot be read is not written over
    write_values(Files(), edge.user_config(), {"sync.database": f"{kind}:{database}"})
