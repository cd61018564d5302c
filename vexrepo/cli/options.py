"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from vexrepo.repository import Selection

F = TypeVar("F", bound=Callable[..., Any])

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
    from vexrepo.repository import Selection

    found = Selection(_split(namespaces), _split(components))
    return found or None


def _split(values: Sequence[str]) -> frozenset[str]:
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


REVISION = Revision()


def example(*lines: str) -> str:
    """Return the epilog of a command: its examples."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
