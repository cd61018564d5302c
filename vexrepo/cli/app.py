"""``vex``: the outermost group and the table of its commands."""

from __future__ import annotations

import os

import click

from vexrepo import __version__
from vexrepo.cli.failures import App
from vexrepo.cli.lazy import Entry
from vexrepo.cli.surroundings import Edge

_START, _WORK, _LOOK = "Start", "Work", "Look"
_REFS, _MEND, _FILES, _CARE = "Branches and time travel", "Merge and mend", "Files and stores", "Trust and care"
_AWAY = "Encrypted remotes"
_HERE = "vexrepo.cli.commands"

COMMANDS: dict[str, Entry] = {
    "demo": Entry("vexrepo.demo.story:demo", "Tell the whole story on a sample memory.", _START),
    "init": Entry(f"{_HERE}.start:init", "Make a repository for an agent's memory.", _START),
    "status": Entry(f"{_HERE}.status:status", "Say how the store differs from the last commit.", _WORK),
    "commit": Entry(f"{_HERE}.commit:commit", "Keep what the store holds now.", _WORK),
    "diff": Entry(f"{_HERE}.diff:diff", "Show what was learned, changed and forgotten.", _WORK),
    "checkout": Entry(f"{_HERE}.checkout:checkout", "Bring a store to a commit.", _WORK),
    "log": Entry(f"{_HERE}.log:log", "List commits, or those that touched one memory.", _LOOK),
    "show": Entry(f"{_HERE}.show:show", "Show a commit, or one memory as it was.", _LOOK),
    "blame": Entry(f"{_HERE}.mending:blame", "Say which commit gave each field of a memory its value.", _LOOK),
    "bisect": Entry(f"{_HERE}.mending:bisect", "Find the first commit at which something is so.", _LOOK),
    "branch": Entry(f"{_HERE}.refs:branch", "List, make, rename or delete branches.", _REFS),
    "switch": Entry(f"{_HERE}.checkout:switch", "Go to a branch and bring the store to it.", _REFS),
    "tag": Entry(f"{_HERE}.refs:tag", "List, make or delete tags.", _REFS),
    "undo": Entry(f"{_HERE}.operations:undo", "Take back the latest change of the repository.", _REFS),
    "op": Entry(f"{_HERE}.operations:op", "List or restore the repository's operations.", _REFS),
    "merge": Entry(f"{_HERE}.merge:merge", "Bring what another branch changed into this one.", _MEND),
    "conflicts": Entry(f"{_HERE}.conflicts:conflicts_", "List what is in conflict.", _MEND),
    "resolve": Entry(f"{_HERE}.conflicts:resolve", "Settle a conflict.", _MEND),
    "revert": Entry(f"{_HERE}.merge:revert", "Take back what a commit changed, as a new commit.", _MEND),
    "cherry-pick": Entry(
        f"{_HERE}.merge:cherry_pick", "Make the change of one commit once more, on this branch.", _MEND
    ),
    "restore": Entry(f"{_HERE}.mending:restore", "Bring single memories back into the store.", _MEND),
    "reset": Entry(f"{_HERE}.mending:reset", "Move the current branch to a commit.", _MEND),
    "push": Entry(f"{_HERE}.push:push", "Send commits to a remote, sealed, or bring a store to a branch.", _AWAY),
    "fetch": Entry(f"{_HERE}.push:fetch", "Receive what a remote has, and change nothing of yours.", _AWAY),
    "pull": Entry(f"{_HERE}.pull:pull", "Fetch, merge, and bring the workspace along.", _AWAY),
    "clone": Entry(f"{_HERE}.clone:clone", "Make a repository of what a remote holds.", _AWAY),
    "remote": Entry(f"{_HERE}.remote:remote", "Keep an encrypted copy at a Git host.", _AWAY),
    "sync": Entry(f"{_HERE}.sync:sync", "Keep an encrypted copy of a database at a Git host.", _AWAY),
    "export": Entry(f"{_HERE}.transfer:export", "Write a store's memories into a vmig file.", _FILES),
    "import": Entry(f"{_HERE}.transfer:import_", "Write a vmig file's memories into a store.", _FILES),
    "migrate": Entry(f"{_HERE}.transfer:migrate", "Write a store's memories into another store.", _FILES),
    "search": Entry(f"{_HERE}.search:search", "Find memories by words or by vector, at any commit.", _LOOK),
    "inspect": Entry(f"{_HERE}.inspect_:inspect", "Say what a file or store holds.", _FILES),
    "validate": Entry(
        f"{_HERE}.validate:validate", "Check every record of a file or store against the format.", _FILES
    ),
    "sign": Entry(f"{_HERE}.sign:sign", "Sign a vmig file, or commits.", _FILES),
    "backfill": Entry(
        f"{_HERE}.backfill:backfill", "Let agents find nearest memories in a database by sqlite-vec.", _FILES
    ),
    "adapters": Entry(f"{_HERE}.adapters:adapters", "List the kinds of store and projection adapters.", _FILES),
    "verify": Entry(f"{_HERE}.verify:verify", "Check the signatures of files, commits and stores.", _CARE),
    "trust": Entry(f"{_HERE}.trust:trust", "Say whose keys you know.", _CARE),
    "key": Entry(f"{_HERE}.keys:key", "Make, list, export or replace signing keys.", _CARE),
    "fsck": Entry(f"{_HERE}.care:fsck", "Read everything and report damage.", _CARE),
    "gc": Entry(f"{_HERE}.gc:gc", "Join packs, remove what nothing needs.", _CARE),
    "hook": Entry(f"{_HERE}.hook:hook", "Let programs look at changes before they count.", _CARE),
    "quarantine": Entry(f"{_HERE}.quarantine:quarantine", "Look at what was refused, accept it or drop it.", _CARE),
    "grant": Entry(f"{_HERE}.grant:grant", "Let somebody take out or bring in some memories for a while.", _CARE),
    "unseal": Entry(f"{_HERE}.grant:unseal", "Open a sealed export with one of your identities.", _CARE),
    "config": Entry(f"{_HERE}.settings:config", "Read and write settings.", _CARE),
    "rev-parse": Entry(f"{_HERE}.objects:rev_parse", "Print the full ids of revisions.", _CARE),
    "cat-object": Entry(f"{_HERE}.objects:cat_object", "Print a stored object.", _CARE),
    "help": Entry(f"{_HERE}.start:help_", "Show the help of a command.", _CARE),
}


@click.group(
    cls=App,
    entries=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="vex COMMAND --help tells more.  New here?  vex demo",
)
@click.option("-C", "folder", metavar="DIR", type=click.Path(), help="Run as if started in DIR.")
@click.version_option(__version__, "-V", "--version", prog_name="vex", message="vex %(version)s")
@click.pass_context
def vex(ctx: click.Context, folder: str | None) -> None:
    """Version control for what AI agents remember."""
    edge = ctx.obj = Edge()
    if edge.environ.get("NO_COLOR"):
        ctx.color = False
    elif edge.environ.get("FORCE_COLOR"):
        ctx.color = True
    if folder is not None:
        before = os.getcwd()
        try:
            os.chdir(folder)
        except OSError as error:
            raise click.UsageError(f"cannot go to {folder}: {error.strerror}", ctx) from None
        ctx.call_on_close(lambda: os.chdir(before))
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
