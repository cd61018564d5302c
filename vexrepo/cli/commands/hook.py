"""``vex hook``: programs that look at changes before they count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.failures import DONE
from vexrepo.cli.lazy import Entry, LazyGroup
from vexrepo.cli.options import REVISION, as_json, example
from vexrepo.cli.output import added, changed, emit, heading, quiet, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import plain
from vexrepo.errors import UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from vexrepo.hooks.folder import Hook, HookFolder
    from vexrepo.repository import Repository

_HERE = "vexrepo.cli.commands.hook"
_COMMANDS = {
    "list": Entry(f"{_HERE}:list_", "List the hooks of this repository."),
    "add": Entry(f"{_HERE}:add", "Install a program as a hook."),
    "remove": Entry(f"{_HERE}:remove", "Remove a hook."),
    "enable": Entry(f"{_HERE}:enable", "Turn a hook on again."),
    "disable": Entry(f"{_HERE}:disable", "Turn a hook off; it stays installed."),
    "run": Entry(f"{_HERE}:run", "Try what stands at an event, without doing anything."),
}


class EventName(click.types.StringParamType):
    """An event; completes the known ones."""

    name = "event"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from vexrepo.hooks.event import EVENTS

        return [CompletionItem(name) for name in EVENTS if name.startswith(incomplete)]


class HookName(click.types.StringParamType):
    """An installed hook; completes them."""

    name = "hook"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from vexrepo.errors import VexError

        try:
            hooks = _folder(Edge().repository()).all()
        except (VexError, OSError):
            return []
        return [CompletionItem(hook.name) for hook in hooks if hook.name.startswith(incomplete)]


@click.group(
    cls=LazyGroup,
    entries=_COMMANDS,
    epilog=example("vex hook add pre-commit limit-forgetting", "vex hook list", "vex hook run pre-commit"),
)
def hook() -> None:
    """Let programs look at changes before they count.

    A hook is an executable in .vex/hooks.  It reads one line of JSON that says what is about to happen and where the
    memories are; with exit code 0 it allows, with any other it refuses.  Hooks never arrive with data: only you
    install them.
    """


def _folder(repository: Repository) -> HookFolder:
    from vexrepo.hooks.folder import HookFolder

    return HookFolder(repository.folder / "hooks", repository.files)


def _json(hook: Hook) -> dict[str, Any]:
    return {
        "event": hook.event,
        "name": hook.name,
        "path": str(hook.path),
        "on": hook.is_on,
        "runnable": hook.is_runnable,
    }


@click.command("list", epilog=example("vex hook list"))
@as_json
@pass_edge
def list_(edge: Edge, as_json: bool) -> None:
    """List the hooks of this repository.

    Built-in checks are listed with them, by event, and programs that never run because they are named like no event.
    """
    from vexrepo.hooks.event import EVENTS

    repository = edge.repository()
    hooks, never_run = _folder(repository).all(), _folder(repository).never_run()
    checks = {event: [check.name for check in repository.around.checks(event)] for event in EVENTS}
    if as_json:
        named = {event: names for event, names in checks.items() if names}
        emit({"hooks": [_json(each) for each in hooks], "checks": named, "never_run": never_run})
        return
    for event, meaning in EVENTS.items():
        here = [each for each in hooks if each.event == event]
        if not here and not checks[event]:
            continue
        say(f"{heading(event)}  {quiet(meaning)}")
        for name in checks[event]:
            say(f"  {name}  {quiet('built-in check')}")
        for each in here:
            state = added("on") if each.is_on else quiet("off")
            broken = (
                changed("  not executable, or no file: it refuses everything")
                if each.is_on and not each.is_runnable
                else ""
            )
            say(f"  {plain(each.name)}  {state}{broken}")
    for name in never_run:
        say(f"{changed(plain(name))}  never run: there is no event of this name ({', '.join(EVENTS)})")
    if not hooks and not any(checks.values()):
        say("no hooks; vex hook add EVENT FILE installs one")


@click.command(epilog=example("vex hook add pre-commit hooks/examples/limit-forgetting"))
@click.argument("event", metavar="EVENT", type=EventName())
@click.argument("program", metavar="FILE", type=click.Path())
@click.option("--name", metavar="NAME", help="What to call it; hooks of an event run in order of their names.")
@as_json
@pass_edge
def add(edge: Edge, event: str, program: str, name: str | None, as_json: bool) -> None:
    """Install a program as a hook.

    What is installed is a copy, executable, in .vex/hooks.
    """
    made = _folder(edge.repository()).add(event, Path(program), name)
    if as_json:
        emit(_json(made))
        return
    say(f"installed {heading(made.name)}; try it with vex hook run {event}")


def _named(function: Any) -> Any:
    return click.argument("name", metavar="HOOK", type=HookName())(as_json(pass_edge(function)))


@click.command(epilog=example("vex hook remove pre-commit.d/limit-forgetting"))
@_named
def remove(edge: Edge, name: str, as_json: bool) -> None:
    """Remove a hook."""
    gone = _folder(edge.repository()).remove(name)
    emit(_json(gone)) if as_json else say(f"removed {heading(gone.name)}")


@click.command(epilog=example("vex hook enable pre-commit.d/limit-forgetting"))
@_named
def enable(edge: Edge, name: str, as_json: bool) -> None:
    """Turn a hook on again."""
    _turn(edge, name, as_json, on=True)


@click.command(epilog=example("vex hook disable pre-commit.d/limit-forgetting"))
@_named
def disable(edge: Edge, name: str, as_json: bool) -> None:
    """Turn a hook off; it stays installed."""
    _turn(edge, name, as_json, on=False)


def _turn(edge: Edge, name: str, as_json: bool, *, on: bool) -> None:
    turned = _folder(edge.repository()).turn(name, on=on)
    emit(_json(turned)) if as_json else say(f"{heading(turned.name)} is {'on' if on else 'off'}")


@click.command(
    epilog=example(
        "vex hook run pre-commit                          what the workspace would commit",
        "vex hook run pre-import --from stranger.vmig.jsonl",
        "vex hook run pre-merge experiment",
    )
)
@click.argument("event", metavar="EVENT", type=EventName())
@click.argument("revision", metavar="[REV]", required=False, type=REVISION)
@click.option("--from", "store", metavar="STORE", help="The store whose memories would come in or be committed.")
@as_json
@pass_edge
def run(edge: Edge, event: str, revision: str | None, store: str | None, as_json: bool) -> int:
    """Try what stands at an event, without doing anything.

    Checks and hooks see the difference between the current commit and a store (default: the workspace), or REV.
    Exits with 1 where they would refuse.
    """
    from vexrepo.hooks.event import Event, check_event
    from vexrepo.repository.gating import as_changes

    check_event(event)
    if revision is not None and store is not None:
        raise UsageError("name either a revision or a store", code="bad-option")
    repository = edge.repository()
    commit = repository.view().commit
    if revision is not None:
        other = repository.resolve(revision)
        source = {"kind": "commit", "name": other.hex()}

        def changes() -> Any:
            return as_changes(repository.diff(commit, other) if commit else iter(()))
    else:
        address = edge.address(store) if store is not None else repository.workspace()
        source = {"kind": address.kind, "address": repository.store_name(address)}

        def changes() -> Any:
            return as_changes(repository.diff_with_store(commit, address))

    gate = repository.gate()
    branch = repository.view().branch
    told = Event(event, source, {"kind": "branch", "name": branch or "HEAD"}, branch)
    passed = gate.pass_through(told, changes) if told.is_before else gate.tell(told, changes)
    if not as_json:
        repository.around.heard(passed)
    names = [check.name for check in repository.around.checks(event)] + [ran.name for ran in passed.ran]
    allowed = all(ran.allows for ran in passed.ran)
    if as_json:
        from vexrepo.hooks.event import finding_json

        listed = [
            {"name": ran.name, "allows": ran.allows, "reason": ran.reason, "output": ran.output} for ran in passed.ran
        ]
        emit(
            {
                "event": event,
                "allowed": allowed,
                "findings": [finding_json(each) for each in passed.findings],
                "ran": listed,
            }
        )
    elif not names:
        say(f"nothing stands at {event}")
    else:
        say(f"{event}: {added('allowed')} by {', '.join(map(plain, names))}")
    return DONE
