"""Backups that the original tool pushed are imported here, with the token and machine id they were made with."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "interop/sync"
KEY = json.loads((GOLDEN / "key.json").read_text())
TOKEN, MACHINE = KEY["token"], KEY["machine_id"]
FROM = ("import", "--from", "vex-backup", "vektor-backup.enc")


@pytest.fixture
def backup(folder):
    shutil.copyfile(GOLDEN / "vektor-backup.enc", folder / "vektor-backup.enc")
    return folder


def rows(path):
    with sqlite3.connect(path) as db:
        columns = "CAST(id AS TEXT), agent_id, content, edge_type, tags, importance, vector, created_at"
        memories = db.execute(f"SELECT {columns} FROM memories ORDER BY CAST(id AS INTEGER)").fetchall()
        edges = "SELECT source_id, target_id, edge_type, weight FROM memory_edges ORDER BY rowid"
        return memories, db.execute(edges).fetchall()


def test_all_rows_vectors_and_edges_come_back(vex, backup):
    ran = vex(*FROM, "--machine-id", MACHINE, "--to", "vektor:agent.db", env={"VEX_TOKEN": TOKEN})
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("imported 12 memories from vex-backup:vektor-backup.enc → vektor:agent.db\n 8 edges")
    assert MACHINE not in ran.out and TOKEN not in ran.out
    assert rows("agent.db") == rows(GOLDEN / "source.db")


def test_what_import_offers_holds_for_backups(vex, backup):
    environ = {"VEX_TOKEN": TOKEN + "\n"}
    with_id = (*FROM, "--machine-id", MACHINE.removeprefix("linux:"))
    ran = vex(*with_id, "--to", "vektor:agent.db", "--dry-run", env=environ)
    assert ran.code == 0 and ran.out.startswith("would have imported 12 memories") and not Path("agent.db").exists()
    ran = vex(*with_id, "--to", "a.vmig.jsonl", "--min-importance", "4", "--namespace", "x", env=environ)
    assert ran.code == 0
    found = [json.loads(line) for line in Path("a.vmig.jsonl").read_text("utf-8").splitlines()]
    assert len(found) == 3 and {each["namespace"] for each in found} == {"x"}
    ran = vex(*with_id, "--to", "b.vmig.jsonl", "--limit", "1", env=environ)
    assert json.loads(Path("b.vmig.jsonl").read_text("utf-8"))["id"] == "12"


def test_a_backup_is_named_as_an_address_where_stores_are(vex, backup):
    address, environ = f"vex-backup:vektor-backup.enc?machine_id={MACHINE}", {"VEX_TOKEN": TOKEN}
    ran = vex("inspect", address, "--json", env=environ)
    assert ran.code == 0 and ran.json()["records"] == 12 and MACHINE not in ran.out
    assert vex("migrate", "--from", address, "--to", "jsonl", "--out", "m.vmig.jsonl", env=environ).code == 0
    assert vex("init").code == 0
    assert vex("commit", "-m", "rescued", "--from", address, env=environ).code == 0
    ran = vex("show", "HEAD", "--json")
    assert ran.code == 0 and MACHINE not in ran.out and TOKEN not in ran.out


@pytest.mark.parametrize(
    ("token", "more", "code"),
    [
        ("wrong", ("--machine-id", MACHINE), "wrong-token"),
        (TOKEN, ("--machine-id", "linux:f00"), "wrong-token"),
        ("", ("--machine-id", MACHINE), "no-token"),
    ],
)
def test_a_wrong_token_or_machine_ends_with_12_and_names_both(vex, backup, token, more, code):
    ran = vex(*FROM, *more, "--to", "vektor:agent.db", env={"VEX_TOKEN": token})
    assert ran.code == 12 and f"[{code}]" in ran.err and not Path("agent.db").exists()
    assert "token" in ran.err and (code == "no-token" or "machine" in ran.err)
    assert "wrong" not in ran.err.replace("wrong-token", "")


def test_secrets_and_files_are_named_once_and_in_their_place(vex, backup):
    ran = vex("inspect", "vex-backup:vektor-backup.enc?token=x")
    assert ran.code == 2 and "VEX_TOKEN" in ran.err
    ran = vex("import", "a.vmig.jsonl", "--from", "b.vmig.jsonl", "--to", "vektor:agent.db")
    assert ran.code == 2 and "name the file once" in ran.err
    ran = vex("import", "--from", "vex-backup", "--to", "vektor:agent.db")
    assert ran.code == 2 and "which vex-backup store?" in ran.err
    ran = vex("import", "vektor-backup.enc", "--machine-id", "x", "--to", "vektor:agent.db")
    assert ran.code == 2 and "--machine-id does not apply" in ran.err


def test_a_backup_is_read_and_never_written(vex, memory, backup):
    before = Path("vektor-backup.enc").read_bytes()
    for command in (
        ("import", str(memory.path), "--to", "vex-backup:vektor-backup.enc"),
        ("migrate", "--from", str(memory.path), "--to", "vex-backup:new.enc"),
    ):
        ran = vex(*command)
        assert ran.code == 1 and "[store-read-only]" in ran.err
    assert Path("vektor-backup.enc").read_bytes() == before and not Path("new.enc").exists()
