"""Which stores a command that needs no repository means: by address, or by the flags of the original tool.

A kind alone (``--from vektor``) takes its place from flags (``--db agent.db``) and the environment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vexrepo.cli.surroundings import Edge
from vexrepo.errors import UsageError
from vexrepo.remotes.stores.flags import FLAGS

if TYPE_CHECKING:
    from vexrepo.remotes.stores.address import Address
    from vexrepo.remotes.stores.flags import GivenFlags, Side

F = TypeVar("F", bound=Callable[..., Any])


def located(function: F) -> F:
    """Add the flags by which the original tool names stores, as parameters ``flag_NAME``."""
    for name, metavar, words in reversed(FLAGS):
        function = click.option(f"--{name}", _parameter(name), metavar=metavar, help=words)(function)
    return function


def _parameter(flag: str) -> str:
    return "flag_" + flag.replace("-", "_")


def given_flags(edge: Edge, given: dict[str, Any], *, besides: str = "") -> GivenFlags:
    """Return the flags that were given, but for one that the command itself reads."""
    from vexrepo.remotes.stores.flags import GivenFlags

    return GivenFlags({name: given[_parameter(name)] for name, _, _ in FLAGS if name != besides}, edge.environ)


def default_kind(edge: Edge) -> str:
    """Return the kind of store that is meant where none is named.  Raises: UsageError."""
    if edge.environ.get("VEKTOR_DB") or edge.environ.get("VEKTOR_DB_PATH"):
        return "vektor"
    raise click.UsageError("which store?  name it: --from STORE or --to STORE, e.g. vektor:agent.db")


def place_of_kind(edge: Edge, flags: GivenFlags, path: str, kind: str) -> Address:
    """Return the store of a kind at a path."""
    from vexrepo.remotes.stores.address import Address
    from vexrepo.remotes.stores.registry import kinds

    if kind not in kinds():
        raise click.UsageError("name the file once: vex import FILE --to STORE")
    return edge.equip(flags.with_options(Address(kind, path), "source"))


def place_of(edge: Edge, flags: GivenFlags, text: str, side: Side, *, file: bool = False) -> Address:
    """Return the store a text names: an address, or a kind whose place flags give; with ``file``, any path at all."""
    return edge.equip(flags.with_options(_named(edge, flags, text, side, file=file), side))


def _named(edge: Edge, flags: GivenFlags, text: str, side: Side, *, file: bool) -> Address:
    from vexrepo.remotes.stores.address import Address
    from vexrepo.remotes.stores.registry import connector, kinds

    if text in kinds():
        return flags.address(text, side)
    try:
        return edge.address(text)
    except UsageError:
        if file and ":" not in text:
            return Address("jsonl", text)
        if text.replace("-", "_").isidentifier():
            connector(text)  # says which kinds there are
        raise


def output_file(text: str | None) -> Address:
    """Return the vmig file that a text names, to be written.  Raises: UsageError."""
    from vexrepo.remotes.stores.address import Address

    if not text:
        raise click.UsageError("where to?  name the file: --output memory.vmig.jsonl")
    if text == "-":
        raise click.UsageError("a file is written whole, so not to a pipe; name one: --output memory.vmig.jsonl")
    return Address("jsonl", text.removeprefix("jsonl:"))
