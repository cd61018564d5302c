"""Options and arguments that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from vexrepo.cli.surroundings import Edge
    from vexrepo.objects.selection import Selection

F = TypeVar("F", bound=Callable[..., Any])
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31557600}


def _telling_edge(name: str, value: bool | None = None) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Return what sets an attribute of the edge, and so something for the whole run: to a value, or what was given."""

    def tell(ctx: click.Context, param: click.Parameter, given: Any) -> None:
        if given is not None and given is not False:
            from vexrepo.cli.surroundings import Edge

            setattr(ctx.find_object(Edge), name, given if value is None else value)

    return tell


def _tells_edge(name: str, value: bool, flag: str, words: str) -> Callable[[F], F]:
    """Return a flag that sets something for the whole run."""
    return click.option(flag, is_flag=True, expose_value=False, callback=_telling_edge(name, value), help=words)


no_verify = _tells_edge("verify", False, "--no-verify", "Do not ask the repository's checks and hooks.")
fresh = _tells_edge("fresh", True, "--fresh", "Read anew, also where a read that was interrupted could go on.")
mixing = _tells_edge("mixes_models", True, "--mix-models", "Also write embeddings of other models than those there.")
quarantining = _tells_edge("quarantine", True, "--quarantine", "Keep what is refused apart, for a look.")


concurrency = click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(min=1, max=64),
    expose_value=False,
    callback=_telling_edge("concurrency"),
    help="Send a vector store at most N requests at once.",
)


reading_back = click.option(
    "--read-back",
    type=click.Choice(("all", "sample")),
    expose_value=False,
    callback=_telling_edge("read_back"),
    help="Read back all that a store without transactions holds afterwards, or its count and a sample.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def selecting(function: F) -> F:
    """Add ``--namespace`` and ``--components``."""
    function = click.option(
        "--components", metavar="KINDS", multiple=True, help="Only these kinds of memory, e.g. working,semantic."
    )(function)
    return click.option(
        "--namespace", "namespaces", metavar="NAME", multiple=True, help="Only this namespace; may be repeated."
    )(function)


def selection(namespaces: Sequence[str], components: Sequence[str]) -> Selection | None:
    """Return what the two options select, None for everything."""
    from vexrepo.objects.selection import Selection

    found = Selection(names_in(namespaces), names_in(components))
    return found or None


def filtering(function: F) -> F:
    """Add ``--namespace``, ``--components``, ``--min-importance`` and ``--since``; ``filters`` reads them."""
    for option in (
        click.option("--since", metavar="TIME", help="Only those made since a date, or e.g. 7d, 12h ago."),
        click.option("--min-importance", metavar="N", type=float, help="Only those of this importance or more."),
    ):
        function = option(function)
    return selecting(function)


def filters(
    edge: Edge,
    namespaces: Sequence[str],
    components: Sequence[str],
    min_importance: float | None,
    since: str | None,
) -> Selection:
    """Return what the options of ``filtering`` select."""
    from vexrepo.objects.selection import Selection

    if min_importance is not None and min_importance != min_importance:
        raise click.UsageError("--min-importance: expected a number")
    since_us = None if since is None else point_in_time(since, edge.now_us(), "--since")
    return Selection(names_in(namespaces), names_in(components), min_importance, since_us)


def point_in_time(text: str, now_us: int, option: str, *, ahead: bool = False) -> int:
    """Return the time an option names: a date or time, or how long before now (``ahead``: after), in microseconds.

    Raises: UsageError (bad-option).
    """
    from vexrepo.errors import UsageError
    from vexrepo.objects.timestamp import parse_time_us

    match = re.fullmatch(r"([0-9]{1,6}) ?([mhdwy])", text.strip())
    if match is not None:
        return now_us + (1 if ahead else -1) * int(match[1]) * _SECONDS[match[2]] * 1_000_000
    found = parse_time_us(text)
    if found is None:
        raise UsageError(f"{option} {text}: expected a date such as 2026-11-20, or e.g. 7d, 12h", code="bad-option")
    return found


def names_in(values: Sequence[str]) -> frozenset[str]:
    """Return the names that an option was given, several of them in one value with commas between."""
    return frozenset(part.strip() for value in values for part in value.split(","))


class Revision(click.types.StringParamType):
    """A revision; completes branches and tags."""

    name = "rev"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from vexrepo.cli.surroundings import Edge
        from vexrepo.errors import VexError

        try:
            view = Edge().repository().view()
        except (VexError, OSError):
            return []
        names = ["HEAD", *sorted(ref.split("/", 1)[1] for ref in view.refs)]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class FileOrRevision(Revision):
    """A file or a revision (or a store); completes files, branches and tags."""

    name = "file|rev"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [*super().shell_complete(ctx, param, incomplete), CompletionItem(incomplete, type="file")]


class KeyName(click.types.StringParamType):
    """The name of one of your keys, or of somebody's key that you know; completes those."""

    name = "key"

    def __init__(self, *, is_own: bool) -> None:
        self._is_own = is_own

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from vexrepo.cli.surroundings import Edge
        from vexrepo.errors import VexError

        edge = Edge()
        try:
            names = edge.keys().names() if self._is_own else [each.name for each in edge.trust().read()]
        except (VexError, OSError):
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


REVISION = Revision()
OWN_KEY, KNOWN_KEY = KeyName(is_own=True), KeyName(is_own=False)


class RemoteName(click.types.StringParamType):
    """The name of a remote; completes those there are."""

    name = "remote"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from vexrepo.cli.remotes import hidden, key
        from vexrepo.cli.surroundings import Edge
        from vexrepo.errors import VexError

        edge = Edge()
        try:
            config = edge.config(edge.find())
        except (VexError, OSError):
            return []
        return [
            CompletionItem(name, help=hidden(config[key(name, "url")]))
            for name in config.names("remote")
            if name.startswith(incomplete)
        ]


class BranchName(click.types.StringParamType):
    """The name of a branch; completes those here and those remotes were seen to have."""

    name = "branch"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from vexrepo.cli.surroundings import Edge
        from vexrepo.errors import VexError
        from vexrepo.storage.oplog import BRANCHES, REMOTES

        try:
            refs = Edge().repository().view().refs
        except (VexError, OSError):
            return []
        names = {ref.removeprefix(BRANCHES) for ref in refs if ref.startswith(BRANCHES)}
        names |= {ref.split("/", 2)[2] for ref in refs if ref.startswith(REMOTES)}
        return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


REMOTE, BRANCH = RemoteName(), BranchName()


def example(*lines: str) -> str:
    """Return the epilog of a command: its examples."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
