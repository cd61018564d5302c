"""Backups of the original tool: decrypted, and read as the database they were taken from."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vexrepo.errors import InvalidData, StoreError, VexError, WrongKey
from vexrepo.formats.vex_backup import candidates, derive_key, read_backup
from vexrepo.objects.record import body_value
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.registry import open_store
from vexrepo.remotes.stores.vektor import VektorStore
from vexrepo.remotes.stores.vex_backup import BackupStore

GOLDEN = Path(__file__).parents[1] / "interop/sync"
KEY = json.loads((GOLDEN / "key.json").read_text())
TOKEN, MACHINE = KEY["token"], KEY["machine_id"]


def opened(path: Path, token: str = TOKEN, machine: str = MACHINE) -> BackupStore:
    return BackupStore.open(
        Address("vex-backup", str(path), secrets={"token": lambda: token, "machine_id": lambda: machine})
    )


def pushed(folder: Path, memories: Any, edges: Any = (), **more: Any) -> Path:
    """Write a backup as the original tool does."""
    iv = bytes(range(16))
    plain = json.dumps({"version": "0.8.5", "memories": memories, "edges": list(edges), **more}).encode()
    sealed = AESGCM(derive_key(TOKEN, MACHINE)).encrypt(iv, plain, None)
    path = folder / "backup.enc"
    path.write_bytes(struct.pack(">I", 1) + iv + sealed[-16:] + sealed[:-16])
    return path


def rows(store: Any) -> list[tuple[dict[str, Any], list[tuple[str, bytes]]]]:
    found = [item.record for batch in store.scan() for item in batch]
    values = [(body_value(record.body), [(v.space.dtype, bytes(v.row)) for v in record.vectors]) for record in found]
    return sorted(values, key=lambda value: int(value[0]["id"]))


def test_the_key_is_that_of_the_original() -> None:
    assert derive_key(TOKEN, MACHINE).hex() == KEY["key_hex"]


@pytest.mark.parametrize("name", ["vektor-backup", "filtered"])
def test_the_content_is_that_of_the_original(name: str) -> None:
    payload = json.loads((GOLDEN / f"{name}.payload.json").read_text("utf-8"))
    backup = read_backup((GOLDEN / f"{name}.enc").read_bytes(), TOKEN, [MACHINE], name)
    for row in payload["memories"]:
        row["vector"] = None if row["vector"] is None else bytes(row["vector"]["data"])
    assert backup.memories == payload["memories"] and backup.edges == payload["edges"]
    assert (backup.version, backup.exported_at) == (payload["version"], payload["exported_at"])


def test_records_and_edges_are_those_of_the_database_it_was_taken_from() -> None:
    backup, source = (
        opened(GOLDEN / "vektor-backup.enc"),
        VektorStore.open(Address("vektor", str(GOLDEN / "source.db"))),
    )
    expected = rows(source)
    for value, _ in expected:  # what the original leaves out
        del value["namespace"], value["metadata"]["updated_at"]
    assert len(expected) == 12 and rows(backup) == expected
    links = [body_value(record.body) for record in source.edges()]
    for value in links:
        del value["id"], value["agent_id"], value["created_at"]
    assert len(links) == 8 and [body_value(record.body) for record in backup.edges()] == links
    assert backup.describe().count == 12


def test_the_newest_come_first_where_asked_for(tmp_path: Path) -> None:
    times = [5, None, 7.5, "2026-01-01", 6]
    path = pushed(tmp_path, [{"id": n, "content": "x", "created_at": time} for n, time in enumerate(times)])
    found = [body_value(item.record.body)["id"] for batch in opened(path).scan_newest() for item in batch]
    assert found == ["2", "4", "0", "1", "3"]


@pytest.mark.parametrize(("token", "machine"), [(TOKEN + "x", MACHINE), (TOKEN, MACHINE + "0"), ("", MACHINE)])
def test_a_wrong_token_or_machine_is_told_as_either(token: str, machine: str) -> None:
    with pytest.raises(WrongKey) as error:
        opened(GOLDEN / "vektor-backup.enc", token, machine).describe()
    assert error.value.code == ("wrong-token" if token else "no-token")
    assert "token" in str(error.value) and (not token or "machine" in str(error.value))
    assert not token or token not in str(error.value).split()


def test_the_machine_id_may_be_given_without_its_system() -> None:
    bare = MACHINE.removeprefix("linux:")
    assert MACHINE in candidates(bare) and candidates(MACHINE) == [MACHINE]
    assert opened(GOLDEN / "vektor-backup.enc", machine=f" {bare}\n").describe().count == 12


def test_any_flipped_bit_is_refused(tmp_path: Path) -> None:
    raw = (GOLDEN / "vektor-backup.enc").read_bytes()
    for at in [*range(40), *range(40, len(raw), 61), len(raw) - 1]:
        (tmp_path / "x.enc").write_bytes(raw[:at] + bytes((raw[at] ^ 16,)) + raw[at + 1 :])
        with pytest.raises(VexError) as error:
            opened(tmp_path / "x.enc").describe()
        assert error.value.code == ("backup-unreadable" if at < 4 else "wrong-token")


def test_the_base64_text_that_a_host_gives_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "x.enc").write_bytes(base64.encodebytes((GOLDEN / "vektor-backup.enc").read_bytes()))
    assert opened(tmp_path / "x.enc").describe().count == 12


@pytest.mark.parametrize("raw", [b"", b"SQLite format 3\0", b"\0\0\0\1" + bytes(32), b"AAAAAQ====", b"AAAAAQ"])
def test_what_is_no_backup_is_told_as_such(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "x.enc").write_bytes(raw)
    with pytest.raises(InvalidData) as error:
        opened(tmp_path / "x.enc").describe()
    assert error.value.code == "backup-unreadable"
    with pytest.raises(StoreError) as missing:
        opened(tmp_path / "none.enc")
    assert missing.value.code == "store-missing"


@pytest.mark.parametrize("memories", [None, {}, [1]])
def test_another_content_is_refused(tmp_path: Path, memories: Any) -> None:
    with pytest.raises(InvalidData) as error:
        opened(pushed(tmp_path, memories)).describe()
    assert error.value.code == "backup-unreadable"


def test_rows_that_cannot_be_read_are_told_one_by_one(tmp_path: Path) -> None:
    path = pushed(
        tmp_path,
        [
            {"id": 1, "content": "good", "vector": {"type": "Buffer", "data": [0, 0, 128, 63]}},
            {"id": 2, "content": "half of \ud83d a pair"},
            {"id": 3, "content": "cut", "vector": {"type": "Buffer", "data": [0, 0, 128]}},
            {"id": 4, "content": "text", "vector": "[1,2]"},
            {"id": 5, "content": "nan", "vector": {"type": "Buffer", "data": [0, 0, 192, 127]}},
            {"id": 6, "content": "no bytes", "vector": {"type": "Buffer", "data": [256, 0, 0, 0]}},
            {"content": "no id"},
            {"id": "text-id", "content": "good, too", "summary": {"type": "Buffer", "data": [1]}, "tags": ["a"]},
        ],
    )
    problems: list[InvalidData] = []
    found = [item for batch in opened(path).scan(problems.append) for item in batch]
    assert [body_value(item.record.body)["id"] for item in found] == ["1", "text-id"]
    assert body_value(found[1].record.body)["metadata"] == {"summary": {"$blob": "AQ=="}, "tags": ["a"]}
    assert opened(path).place(found[1].place).endswith("backup.enc memory 8")
    codes = ["not-utf8", "vector-type", "vector-type", "not-finite", "vector-type", "id-missing"]
    assert [problem.code for problem in problems] == codes
    with pytest.raises(InvalidData) as error:
        list(opened(path).scan())
    assert error.value.code == "not-utf8" and "id 2" in str(error.value)


def test_a_bad_edge_is_told_with_its_place(tmp_path: Path) -> None:
    path = pushed(
        tmp_path, [], [{"source_id": 1, "target_id": 2, "edge_type": "a"}, {"source_id": 1, "edge_type": "b"}]
    )
    edges = opened(path).edges()
    assert body_value(next(edges).body) == {"source": "1", "target": "2", "type": "a", "table": "memory_edges"}
    with pytest.raises(InvalidData, match="edge 2"):
        next(edges)


def test_a_backup_is_never_written() -> None:
    with pytest.raises(StoreError) as error:
        open_store(Address("vex-backup", "x.enc"), create=True)
    assert error.value.code == "store-read-only"


def test_secrets_are_no_part_of_an_address() -> None:
    store = opened(GOLDEN / "vektor-backup.enc")
    for text in (str(store.address), repr(store.address)):
        assert TOKEN not in text and MACHINE not in text
    assert store.address == Address("vex-backup", store.address.location)
    assert set(store.address.under("/x").secrets) == {"token", "machine_id"}
