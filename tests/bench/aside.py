"""A server of the tests in a process of its own, so that it does not share an interpreter with what is measured."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any


class Aside:
    """A server elsewhere: its methods are called by name, with plain values."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def call(self, name: str, *values: Any) -> Any:
        """Call a method there and return what it returns."""
        self._connection.send((name, values))
        return self._connection.recv()


@contextmanager
def aside(make: Callable[[], Any]) -> Iterator[Aside]:
    """Start a server, which ``make`` makes, in a process of its own, and end it with its ``end``."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(make, there), daemon=True)
    process.start()
    found = Aside(here)
    try:
        yield found
    finally:
        found.call("end")
        process.join(10)
        process.kill()


def _serve(make: Callable[[], Any], connection: Connection) -> None:
    server = make()
    name = ""
    while name != "end":
        name, values = connection.recv()
        connection.send(getattr(server, name)(*values))
