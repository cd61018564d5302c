"""The connector for backups of the original tool: ``vex-backup:vektor-backup.enc``.  Read only.

Rows read as they would from the database they were taken from (``vektor``), but for what a backup does not hold:
``namespace`` and ``updated_at`` of memories, ids and times of edges.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from blake3 import blake3

from vexrepo.errors import InvalidData, StoreError, WrongKey
from vexrepo.formats.vex_backup import Backup, candidates, read_backup
from vexrepo.objects import edge
from vexrepo.objects.record import Record, body_value
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description, Plan, Sourced, Store, Written
from vexrepo.remotes.stores.vektor_rows import (
    EDGE_ROLES,
    MEMORY_ROLES,
    MemoryReader,
    Row,
    all_finite,
    encode_row,
    read_edge,
)
from vexrepo.remotes.stores.vektor_schema import MEMORIES, MEMORY_EDGES, Column, Layout, roles_of

BATCH = 500


class BackupStore(Store):
    """A backup file.  Token and machine id make its key: the address's secrets."""

    kind: ClassVar[str] = "vex-backup"
    holds_edges: ClassVar[bool] = True
    reads_snapshot: ClassVar[bool] = True
    writable: ClassVar[bool] = False
    secrets: ClassVar[Mapping[str, str]] = {
        "token": "the access token that the backup was pushed with",
        "machine_id": "the id of the machine that it was pushed from",
    }

    @classmethod
    def open(cls, address: Address, *, create: bool = False) -> Self:
        """Return the connector on a backup file.  Raises: StoreError (store-missing)."""
        if not os.path.isfile(address.location):
            raise StoreError(f"there is no file {address.location}; check the path", code="store-missing")
        return cls(address)

    @cached_property
    def _raw(self) -> bytes:
        try:
            return Path(self.address.location).read_bytes()
        except OSError as error:
            raise StoreError(
                f"cannot read {self.address.location}: {error.strerror}", code="store-unreadable"
            ) from error

    @cached_property
    def backup(self) -> Backup:
        """The decrypted backup.  Raises: InvalidData (backup-unreadable), WrongKey (wrong-token, no-token)."""
        machine, token = (self._secret(name) for name in ("machine_id", "token"))
        return read_backup(self._raw, token, candidates(machine), self.address.location)

    def _secret(self, name: str) -> str:
        ask = self.address.secrets.get(name)
        found = ask() if ask is not None else ""
        if not found:
            raise WrongKey(f"{self.address.location} needs {self.secrets[name]}", code="no-token")
        return found

    def describe(self) -> Description:
        """Return the number of memories and a fingerprint of the file."""
        return Description(len(self.backup.memories), fingerprint=blake3(self._raw).hexdigest())

    def scan(self, on_problem: Callable[[InvalidData], None] | None = None) -> Iterator[list[Sourced]]:
        """Yield every memory in batches, in the backup's order.  ``place`` counts from 1."""
        return self._scan(range(len(self.backup.memories)), on_problem)

    def scan_newest(self, on_problem: Callable[[InvalidData], None] | None = None) -> Iterator[list[Sourced]]:
        """As ``scan``, by ``created_at`` where that is a number, the latest first, others last."""
        created = [row.get("created_at") for row in self.backup.memories]
        times = [each if isinstance(each, (int, float)) else float("-inf") for each in created]
        return self._scan(sorted(range(len(times)), key=lambda number: -times[number]), on_problem)

    def _scan(
        self, numbers: Iterable[int], on_problem: Callable[[InvalidData], None] | None
    ) -> Iterator[list[Sourced]]:
        memories, layout = self.backup.memories, _layout(MEMORIES, self.backup.memories)
        reader = MemoryReader(self.address.location, layout, advice="leave it out with --on-error skip")
        batch: list[Sourced] = []
        for number in numbers:
            row = _row(layout, MEMORY_ROLES, number, memories[number])
            blob = row[3]
            try:
                is_finite = type(blob) is bytes and len(blob) % 4 == 0 and all_finite([blob])
                batch.append(Sourced(reader.record(row, reader.value(row, is_finite)), number + 1))
            except InvalidData as error:
                if on_problem is None:
                    raise
                on_problem(error)
                continue
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def edges(self) -> Iterator[Record]:
        """Yield the edges.  Raises: InvalidData naming file and edge."""
        layout = _layout(MEMORY_EDGES, self.backup.edges)
        for number, members in enumerate(self.backup.edges):
            row = _row(layout, EDGE_ROLES, number, members)
            try:
                body = encode_row(read_edge(layout, row, lambda native: native))
                yield edge.from_json(body_value(body))
            except InvalidData as error:
                place = f"{self.address.location}, edge {number + 1}"
                raise InvalidData(f"{place} cannot be read: {error}", code=error.code) from error

    def write(self, plan: Plan) -> Written:
        """Refuse: a backup is only read.  Raises: StoreError (store-read-only)."""
        raise StoreError(f"{self.address} can only be read; name another target", code="store-read-only")

    def place(self, place: int) -> str:
        """Return words for a place: ``vektor-backup.enc memory 5``."""
        return f"{self.address.location} memory {place}"


def _layout(table: str, rows: list[dict[str, Any]]) -> Layout:
    """Return the layout of the table that rows were taken from, as far as they show it."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = tuple(Column(name, "", False, None) for name in names)
    return Layout(table, "rowid", columns, roles_of(table, names), id_is_rowid=False, id_is_unique=False)


def _row(layout: Layout, roles: tuple[str, ...], number: int, members: dict[str, Any]) -> Row:
    named = (members.get(layout.roles[role]) if role in layout.roles else None for role in roles)
    return (number + 1, *named, *(members.get(name) for name in layout.others))
