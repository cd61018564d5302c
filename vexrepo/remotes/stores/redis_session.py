"""A server of Redis or Valkey that is asked, and what its errors mean to somebody who moves memories."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from vexrepo.errors import StoreError, UsageError
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import was_closed
from vexrepo.storage.ahead import Shared

if TYPE_CHECKING:
    import redis

PORT: Final = 6379
PASSWORD: Final = "password"
UNKNOWN: Final = object()
# A script runs on and on; too few replicas are there to take a write; what was written cannot be saved.
_PASSING: Final = ("BUSY ", "NOREPLICAS", "MISCONF")
_COMMAND = re.compile(r"^Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)


class Session:
    """The connections to one database of a server.  Nothing is sent before it is asked; ``close`` ends them.

    Threads may ask it; who asks after it was closed gets StoreError (store-unreachable).
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._shared = Shared(self._end)

    @property
    def database(self) -> int:
        """The number of the database.  Raises: UsageError (bad-address)."""
        number = self._address.location.removeprefix("//").partition("/")[2].strip("/") or "0"
        if not (number.isascii() and number.isdigit()):
            raise UsageError(
                f"{self._address}: {number!r:.40} is no number of a database; expected redis://HOST:{PORT}/0",
                code="bad-address",
            )
        return int(number)

    @cached_property
    def client(self) -> redis.Redis:
        """The client; connects when it is asked.  Raises: UsageError (bad-address), StoreError (store-unreadable)."""
        try:
            import redis
            from redis.backoff import ExponentialBackoff
            from redis.retry import Retry
        except ImportError:
            raise StoreError(
                f"{self._address}: the client of Redis is not installed: pip install 'vexrepo[redis]'",
                code="store-unreadable",
            ) from None
        parts = urlsplit(f"//{self._address.location.removeprefix('//').partition('/')[0]}")
        try:
            host, port = parts.hostname or "localhost", parts.port or PORT
        except ValueError:
            raise UsageError(f"the port in {self._address} is no number", code="bad-address") from None
        reach = self._address.reach
        tls: dict[str, Any] = {}
        if self._address.flag("tls"):
            tls = {"ssl": True, "ssl_ca_certs": str(reach.ca_file) if reach.ca_file else None}
        return redis.Redis(
            host=host,
            port=port,
            db=self.database,
            username=parts.username,
            password=self._address.secret(PASSWORD) or None,
            protocol=2,
            socket_timeout=reach.timeout_s,
            socket_connect_timeout=reach.connect_within(10.0),
            retry=Retry(ExponentialBackoff(cap=2, base=0.1), 3 if reach.tries is None else reach.tries - 1),
            retry_on_error=[redis.exceptions.BusyLoadingError],
            client_name="vex",
            **tls,
        )

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Keep the connections open meanwhile, and turn the client's errors into ours."""
        with self._shared.used(partial(was_closed, self._address)), self.wrapped():
            yield

    @contextlib.contextmanager
    def wrapped(self) -> Iterator[None]:
        """Turn the client's errors into ours; they name no secret."""
        import redis.exceptions as of

        where = str(self._address)
        try:
            yield
        except of.NoPermissionError as error:
            raise StoreError(
                f"{where} does not let us do that ({_words(error)}); let the user do it (ACL SETUSER NAME +@read, and "
                "to write +@write +@transaction), or name another one in the address: redis://USER@HOST",
                code="store-refused",
            ) from None
        except of.AuthenticationError as error:
            raise StoreError(
                f"{where} does not let us in ({error}); give the password as REDIS_PASSWORD or in REDIS_URL, the user "
                "in the address: redis://USER@HOST",
                code="store-refused",
            ) from None
        except (of.BusyLoadingError, of.MasterDownError, of.TryAgainError) as error:
            raise _busy(where, str(error)) from None
        except of.ReadOnlyError as error:
            raise StoreError(f"{where} is a replica: {error}; name its primary", code="store-refused") from None
        except of.OutOfMemoryError as error:
            raise StoreError(
                f"{where} has no memory left ({_words(error)}); give it more, then run the command again: it goes on "
                "where it stopped",
                code="store-answer",
            ) from None
        except of.TimeoutError as error:
            raise StoreError(
                f"{where} does not answer in time ({error}); run the command again", code="store-unreachable"
            ) from None
        except of.ConnectionError as error:
            if "max number of clients" in str(error):
                raise _busy(where, str(error)) from None
            raise StoreError(
                f"{where} cannot be reached: {error}; is it running, and with TLS (tls=1) or without?",
                code="store-unreachable",
            ) from None
        except of.RedisError as error:
            if str(error).startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
                raise StoreError(f"{where} does not let us in: {error}", code="store-refused") from None
            if _words(error).startswith(_PASSING):
                raise _busy(where, _words(error)) from None
            if type(error).__name__ in ("MovedError", "AskError") or str(error).startswith(("MOVED", "CROSSSLOT")):
                why = "is a node of a cluster, which this connector does not know; name a server that has all keys"
                raise StoreError(f"{where} {why}", code="store-answer") from None
            raise StoreError(f"{where} does not take a request: {_words(error)}", code="store-answer") from None

    def command(self, *words: Any) -> Any:
        """Return the answer to a command."""
        with self.asking():
            return self.client.execute_command(*words)  # type: ignore[no-untyped-call]

    def unless_unknown(self, *words: str) -> Any:
        """Return a command's answer, UNKNOWN where the server has no such command or does not let us give it."""
        import redis.exceptions as of

        with self.asking():
            try:
                return self.client.execute_command(*words)  # type: ignore[no-untyped-call]
            except of.NoPermissionError:
                return UNKNOWN
            except of.ResponseError as error:
                if "unknown command" in str(error).lower():
                    return UNKNOWN
                raise

    def check_open(self) -> None:
        """Raise StoreError (store-unreachable) once it was closed: the client would connect again."""
        if self._shared.is_closed:
            raise was_closed(self._address)

    def close(self) -> None:
        """End the connections, now or after the answer under way."""
        self._shared.close()

    def _end(self) -> None:
        if "client" in self.__dict__:
            self.client.close()


def _words(error: Exception) -> str:
    """Return what the server said, without the command that the client puts before: it has memories in it."""
    return _COMMAND.sub("", str(error))


def _busy(where: str, words: str) -> StoreError:
    return StoreError(
        f"{where} is busy, or takes nothing for now ({words}); run the command again later: it goes on where it "
        "stopped",
        code="store-busy",
    )
