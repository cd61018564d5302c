"""Engines of stores in this process, asked in the words of their servers: one connector serves folder and server.

A request is one of the server's REST interface, and so is the answer; only nothing is sent.  A folder is open once in
this process, whoever of us asks, and is let go when the last one closes it.
"""

from __future__ import annotations

import errno
import math
import shutil
import sqlite3
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import unquote

import orjson

from vexrepo.errors import StorageFailure, StoreError, VexError
from vexrepo.remotes.answer import Answer, safe_words
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import was_closed

_LITTLE: Final = 1 << 20  # bytes left on a disk where an engine that says something else most likely found no space


class NotThereError(Exception):
    """What a request is about is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalAnswer(Answer):
    """An answer that was never printed as JSON: ``found`` is what it says, and its body is empty."""

    found: Any = field(repr=False)

    def json(self) -> Any:
        """Return what it says."""
        return self.found


def json_numbers(values: list[Any]) -> list[Any]:
    """Return numbers, or lists of them, as JSON has them: null for what is no finite one."""
    if values and isinstance(values[0], list):
        return [json_numbers(each) for each in values]
    if math.isfinite(sum(values)):
        return values
    return [each if math.isfinite(each) else None for each in values]


class LocalService(ABC):
    """The engine of a folder.  ``extra`` is what has to be installed, ``marker`` a file that every such folder has."""

    kind: ClassVar[str]
    extra: ClassVar[str]
    marker: ClassVar[str]

    _lock = threading.RLock()  # one request at a time: engines are not made for more
    _open: ClassVar[dict[tuple[str, str], tuple[Any, int]]] = {}

    def __init__(self, address: Address) -> None:
        self._address = address
        self._folder = Path(address.location).absolute()
        self._engine: Any = None
        self._is_closed = False

    # -- what an engine says -----------------------------------------------------------------------------------------

    @abstractmethod
    def start(self, folder: Path) -> Any:
        """Return the engine on a folder.  Raises: ImportError where it is not installed."""

    @abstractmethod
    def stop(self, engine: Any) -> None:
        """End an engine."""

    @abstractmethod
    def answer(self, engine: Any, method: str, parts: list[str], body: Any) -> Any:
        """Return what the server would answer to a request, as JSON.  Raises: NotThereError."""

    @abstractmethod
    def absence(self, words: str) -> Any:
        """Return what the server says where something is not there."""

    def answer_nothing(self, parts: list[str]) -> Any:
        """Return what is answered where there is no folder.  Raises: NotThereError."""
        raise NotThereError(f"there is no folder {self._folder} of this kind")

    # -- asking ------------------------------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        also: Collection[int] = (),
        headers: Mapping[str, str] | None = None,
        can_repeat: bool | None = None,
    ) -> Answer:
        """Return the answer to a request, 200 or one of ``also``.  Raises: StoreError, StorageFailure (disk-full)."""
        value = orjson.loads(body) if isinstance(body, bytes) else body
        parts = [unquote(each) for each in path.strip("/").split("/")]
        where = str(self._address)
        try:
            with self._lock, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that a server would do better
                if method == "GET" and not self._is_there and self._engine is None:
                    found = self.answer_nothing(parts)  # a folder is not made by looking
                else:
                    found = self.answer(self._started(), method, parts, value)
        except NotThereError as error:
            if 404 not in also:
                raise StoreError(f"{where} is not there: {error}", code="store-missing") from None
            return Answer(404, {}, orjson.dumps(self.absence(str(error))), where, self.nonsense)
        except VexError:
            raise
        except Exception as error:  # the engines have classes of their own, and bare ones
            if self._is_full(error):
                raise StorageFailure(
                    f"no space left on the disk of {where} ({safe_words(str(error))}); nothing acknowledged was lost, "
                    "and what was written already stays: free some space and run the command again, which does the "
                    "rest",
                    code="disk-full",
                ) from error
            raise StoreError(
                f"{where} does not take a request: {safe_words(str(error))}", code="store-answer"
            ) from error
        return LocalAnswer(200, {}, b"", where, self.nonsense, found=found)

    def _is_full(self, error: Exception) -> bool:
        """Whether an engine found no space: by what it raised, or because there is none where it says less."""
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
            return True
        if isinstance(error, (TypeError, ValueError, KeyError)):  # about the request, whatever the disk
            return False
        folder = next((each for each in (self._folder, *self._folder.parents) if each.is_dir()), None)
        return folder is not None and shutil.disk_usage(folder).free < _LITTLE

    @property
    def _is_there(self) -> bool:
        return (self._folder / self.marker).exists()

    def _started(self) -> Any:
        if self._engine is None:
            if self._is_closed:  # who was left in the middle would open the folder again, and nobody close it
                raise was_closed(self._address)
            key = (self.kind, str(self._folder))
            if self._folder.exists() and not self._folder.is_dir():
                raise StoreError(
                    f"{self._address}: this is a file; name a folder, one that is empty or not there",
                    code="store-schema",
                )
            if not self._is_there and self._folder.is_dir() and any(self._folder.iterdir()):
                raise StoreError(
                    f"{self._address}: this folder has other things in it; name one that is empty or not there",
                    code="store-schema",
                )
            held, users = self._open.get(key, (None, 0))
            try:
                self._engine = held if held is not None else self.start(self._folder)
            except ImportError:
                raise StoreError(
                    f"{self._address}: what opens such folders is not installed: pip install 'vexrepo[{self.extra}]'",
                    code="store-unreadable",
                ) from None
            self._open[key] = (self._engine, users + 1)
        return self._engine

    def nonsense(self, what: str) -> StoreError:
        """Return the error for an answer that makes no sense."""
        return StoreError(what, code="store-answer")

    def close(self) -> None:
        """Let the folder go, if nobody else here has it open."""
        with self._lock:
            self._is_closed = True
            if self._engine is None:
                return
            key = (self.kind, str(self._folder))
            engine, users = self._open.pop(key)
            self._engine = None
            if users > 1:
                self._open[key] = (engine, users - 1)
            else:
                self.stop(engine)
