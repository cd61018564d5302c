"""``vex conflicts`` and ``vex resolve``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import click

from vexrepo.cli.conflicts import conflict_json, conflict_lines, conflict_name, field_name
from vexrepo.cli.failures import CONFLICTS, DONE
from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import added, emit, heading, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import counted, plain, shorten
from vexrepo.errors import InvalidData, UsageError

if TYPE_CHECKING:
    from vexrepo.history.conflict import Conflict
    from vexrepo.repository import Repository
    from vexrepo.repository.mergestate import Choice, MergeState, Resolution


def _open_conflicts(repository: Repository) -> tuple[MergeState | None, list[Conflict]]:
    """Return the conflicts of the merge under way, or else those the current commit was committed with."""
    from vexrepo.repository import conflicts, mergestate, merging

    if mergestate.read_state(repository.folder) is not None:
        return merging.conflicts(repository)
    head = repository.view().commit
    return None, conflicts.committed_conflicts(repository, head) if head is not None else []


@click.command("conflicts", epilog=example("vex conflicts", "vex conflicts --json"))
@as_json
@pass_edge
def conflicts_(edge: Edge, as_json: bool) -> int:
    """List what is in conflict.

    That is in the merge under way, or else in the last commit (vex merge --keep-conflicts).  Exits with 4 if there is
    anything.
    """
    repository = edge.repository()
    state, found = _open_conflicts(repository)
    if as_json:
        emit(
            {
                "merge": {"action": state.action, "name": state.name} if state else None,
                "settled": len(state.resolutions) if state else 0,
                "conflicts": [conflict_json(each) for each in found],
            }
        )
        return CONFLICTS if found else DONE
    for conflict in found:
        for line in conflict_lines(conflict):
            say(line)
    if found:
        where = f"the {state.action} of {plain(state.name)}" if state else "the last commit"
        say(f"{counted(len(found), 'conflict')} in {where}; settle each with vex resolve ID --ours | --theirs")
        return CONFLICTS
    if state is not None:
        say(f"all settled; finish the {state.action} of {plain(state.name)} with vex merge --continue")
    else:
        say("no conflicts")
    return DONE


@click.command(
    epilog=example(
        "vex resolve prefs/mem_8f3a1c --theirs",
        'vex resolve mem_8f3a1c --field text="The user prefers short calls"',
        "vex resolve mem_8f3a1c --ours --only metadata.importance",
        "vex resolve --all --ours",
    )
)
@click.argument("identifier", metavar="[ID]", required=False)
@click.option("--ours", "choice", flag_value="ours", help="Take the value of the current branch.")
@click.option("--theirs", "choice", flag_value="theirs", help="Take the value of the merged branch.")
@click.option("--base", "choice", flag_value="base", help="Take the value from before both.")
@click.option("--field", "values", metavar="FIELD=VALUE", multiple=True, help="Set a field; VALUE is JSON or text.")
@click.option("--only", "only", metavar="FIELD", multiple=True, help="Settle only this field of the memory.")
@click.option("--edit", is_flag=True, help="Write the values in your editor.")
@click.option("--all", "every", is_flag=True, help="Settle everything that is in conflict.")
@as_json
@pass_edge
def resolve(
    edge: Edge,
    identifier: str | None,
    choice: str | None,
    values: tuple[str, ...],
    only: tuple[str, ...],
    edit: bool,
    every: bool,
    as_json: bool,
) -> int:
    """Settle a conflict.

    In a merge under way, the choice is kept until vex merge --continue.  Conflicts that were committed
    (vex merge --keep-conflicts) are settled by a new commit at once.
    """
    if (identifier is None) != every:
        raise click.UsageError("name the memory, or say --all: vex resolve ID --ours | --theirs | --field FIELD=VALUE")
    if sum((choice is not None, bool(values), edit)) != 1:
        raise click.UsageError("expected one of --ours, --theirs, --base, --field FIELD=VALUE, --edit")
    repository = edge.repository(signs=True)
    state, found = _open_conflicts(repository)
    mine = _chosen(found, identifier, only, values)
    made = _resolutions(mine, choice, values, edit)
    if state is not None:
        left = _keep(repository, state, made)
    else:
        left = _commit(repository, made)
    _report(repository, state, made, left, as_json)
    return DONE


def _chosen(
    found: list[Conflict], identifier: str | None, only: tuple[str, ...], values: tuple[str, ...]
) -> list[Conflict]:
    mine = [
        each
        for each in found
        if identifier is None or identifier in (conflict_name(each), conflict_name(each).rpartition("/")[2])
    ]
    if not mine:
        names = ", ".join(dict.fromkeys(conflict_name(each) for each in found[:5])) or "nothing is"
        what = f"{identifier} is not in conflict" if identifier else "nothing is in conflict"
        raise UsageError(f"{what} (in conflict: {names}); see `vex conflicts`", code="not-in-conflict")
    named = {*only, *(text.partition("=")[0] for text in values)}
    if named:
        unknown = named - {field_name(each) for each in mine}
        if unknown:
            fields = ", ".join(field_name(each) for each in mine)
            raise UsageError(
                f"the field {sorted(unknown)[0]!r} is not in conflict (in conflict: {fields})", code="not-in-conflict"
            )
        mine = [each for each in mine if field_name(each) in named]
    return mine


def _resolutions(
    mine: list[Conflict], choice: str | None, values: tuple[str, ...], edit: bool
) -> list[tuple[Conflict, Resolution]]:
    from vexrepo.repository.mergestate import Resolution

    if choice is not None:
        return [(each, Resolution(cast("Choice", choice))) for each in mine]
    given: dict[str, Any] = _edited(mine) if edit else {}
    for text in values:
        name, _, written = text.partition("=")
        given[name] = _value(written)
    return [(each, Resolution("value", given[field_name(each)])) for each in mine if field_name(each) in given]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _edited(mine: list[Conflict]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for each in mine:
        value = conflict_json(each)
        shown[field_name(each)] = {
            **{side: value[side] for side in ("base", "ours", "theirs") if side in value},
            "result": value.get("ours"),
        }
    text = click.edit(json.dumps(shown, ensure_ascii=False, indent=2), extension=".json")
    if text is None:
        raise UsageError("the editor was closed without saving; nothing was settled", code="bad-option")
    try:
        return {name: value["result"] for name, value in json.loads(text).items() if "result" in value}
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidData(f"what was written is not the JSON it was: {error}", code="not-json") from None


def _resolver(made: list[tuple[Conflict, Resolution]]) -> Callable[[Conflict], Any]:
    from vexrepo.history.policy import UNDECIDED
    from vexrepo.repository.mergestate import place_of, resolved

    chosen = {place_of(conflict): resolution for conflict, resolution in made}

    def resolve(conflict: Conflict) -> Any:
        resolution = chosen.get(place_of(conflict))
        return UNDECIDED if resolution is None else resolved(conflict, resolution)

    return resolve


def _keep(repository: Repository, state: MergeState, made: list[tuple[Conflict, Resolution]]) -> list[Conflict]:
    from vexrepo.repository import merging

    for conflict, resolution in made:
        state = state.with_resolution(conflict, resolution)
    return merging.resolve(repository, state)


def _commit(repository: Repository, made: list[tuple[Conflict, Resolution]]) -> list[Conflict]:
    from vexrepo.repository import conflicts

    names = ", ".join(dict.fromkeys(conflict_name(conflict) for conflict, _ in made))
    commit = conflicts.settle_committed(repository, _resolver(made), shorten(f"Settle {names}", 100))
    return conflicts.committed_conflicts(repository, commit)


def _report(
    repository: Repository,
    state: MergeState | None,
    made: list[tuple[Conflict, Resolution]],
    left: list[Conflict],
    as_json: bool,
) -> None:
    head = repository.view().commit
    if as_json:
        emit({"settled": len(made), "open": len(left), "commit": head.hex() if state is None and head else None})
        return
    for conflict, resolution in made:
        what = resolution.choice if resolution.choice != "value" else "your value"
        say(f"{heading(plain(conflict_name(conflict)))}  {plain(field_name(conflict))}: {what}")
    if left:
        say(f"{counted(len(left), 'conflict')} left: vex conflicts")
    elif state is not None:
        say(added("all settled") + "; finish with vex merge --continue")
    elif head is not None:
        say(added("all settled") + f", committed as {head.short}; bring a store along with vex checkout HEAD")
