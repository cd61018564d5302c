"""Hashes of Redis a page at a time: the next page is asked for before the answers to the last one are read.

So the server works while its answers are decoded, without a thread.  Commands are written out here and answers read one
by one: a pipeline of redis-py takes a third longer over the same.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    import redis

Batch: TypeAlias = list[bytes]
Page: TypeAlias = list[tuple[bytes, Any]]  # keys, and what is under each: of a hash its fields

_WRONG_TYPE: Final = "WRONGTYPE"


def hash_pages(client: redis.Redis, pages: Iterable[Batch], again: Callable[[Batch], Page]) -> Iterator[Page]:
    """Yield the hashes under pages of keys; a key with none, or with something else, is left out.

    ``again`` asks for a page whose answers were lost: it knows how often to try, and what to say.
    Raises: redis.RedisError.
    """
    with _Asking(client, again) as asking:
        for keys in pages:
            asking.ask(keys)
            if len(asking.waited_for) > 1:
                yield asking.read()
        while asking.waited_for:
            yield asking.read()


class _Asking:
    """Pages that were asked for on a connection of their own; whether they were sent on the one that is open now."""

    def __init__(self, client: redis.Redis, again: Callable[[Batch], Page]) -> None:
        import redis.exceptions as of

        self._lost = (of.ConnectionError, of.TimeoutError)
        self._refused = of.ResponseError
        self._client = client.client()  # type: ignore[no-untyped-call]
        self._again = again
        self.waited_for: deque[tuple[Batch, bool]] = deque()

    def __enter__(self) -> _Asking:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.waited_for:
            self._drop()
        self._client.close()

    def ask(self, keys: Batch) -> None:
        """Send the commands for a page."""
        words = b"".join([b"*2\r\n$7\r\nHGETALL\r\n$%d\r\n%b\r\n" % (len(key), key) for key in keys])
        try:
            self._client.connection.send_packed_command([words])
            self.waited_for.append((keys, True))
        except self._lost:
            self._drop()
            self.waited_for.append((keys, False))

    def read(self) -> Page:
        """Return the page that was asked for first."""
        keys, is_sent = self.waited_for.popleft()
        if is_sent:
            try:
                return [
                    (key, dict(zip(held[::2], held[1::2], strict=True))) for key in keys if (held := self._answer())
                ]
            except self._lost:
                self._drop()
            except self._refused:
                self._drop()
                raise
        return self._again(keys)

    def _answer(self) -> Any:
        try:
            return self._client.connection.read_response()
        except self._refused as error:
            if not str(error).startswith(_WRONG_TYPE):
                raise
        return None

    def _drop(self) -> None:
        """End the connection, and with it the answers that are under way; the next command opens it again."""
        with contextlib.suppress(*self._lost):
            self._client.connection.disconnect()
        self.waited_for = deque((keys, False) for keys, _ in self.waited_for)
