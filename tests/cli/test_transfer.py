"""export, import, migrate: what is moved is what was there, and nothing is lost on the way."""

import json
import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from tests.cli.conftest import run_process, spawn
from vexrepo.remotes.stores.jsonl import JsonlStore

GOLDEN = Path(__file__).parents[1] / "interop"
PLAIN = '{"id":"a","text":"one","vector":[1,2.5],"dims":2,"vex_version":"1.0.0"}\n'


def lines(path):
    return [json.loads(line) for line in Path(path).read_bytes().split(b"\n") if line]


def by_key(path):
    return {(each.get("namespace"), each["id"]): each for each in lines(path)}


@pytest.fixture
def golden(folder):
    """The original's database and the file it was made from, in the current folder."""
    for name in ("memories.db", "ns.db", "input.vmig.jsonl"):
        shutil.copyfile(GOLDEN / "vektor" / name, folder / name)
        os.chmod(folder / name, 0o644)
    return folder


def test_what_is_imported_is_exported_again(vex, golden, monkeypatch):
    monkeypatch.setenv("VEX_CHECKS_FOREIGN", "schema")
    ran = vex("import", "input.vmig.jsonl", "--to", "vektor:new.db")
    # The file has a text that is no string and a vector of other dims than its neighbours', on purpose.
    assert ran.code == 0 and "obj-text" in ran.err and "short-vector" in ran.err and len(ran.err.splitlines()) == 2
    assert ran.out.splitlines()[0] == "imported 300 memories from jsonl:input.vmig.jsonl → vektor:new.db"
    assert vex("export", "--from", "vektor", "--db", "new.db", "--output", "back.vmig.jsonl").code == 0
    before, after = by_key("input.vmig.jsonl"), by_key("back.vmig.jsonl")
    assert set(after) == set(before)
    for key, each in after.items():
        # What a vmig line should have and the source did not say is null, or says where it is from.
        for name in set(each) - set(before[key]):
            assert name == "dims" or each[name] in (None, "vektor", "text", "1.0.0")
            del each[name]
    assert after == before


def test_an_export_has_what_the_originals_has_and_more(vex, golden):
    assert vex("export", "--from", "vektor", "--db", "memories.db", "-o", "out.vmig.jsonl").code == 1
    ran = vex("export", "--from", "vektor", "--db", "memories.db", "-o", "out.vmig.jsonl", "--on-error", "skip")
    assert ran.code == 3
    assert "left out: memories.db row 296 has the id default/dup once more" in ran.err
    theirs = {each["id"]: each for each in lines(GOLDEN / "vektor" / "export.vmig.jsonl") if each["id"] != "dup"}
    ours = {each["id"]: each for each in lines("out.vmig.jsonl") if each["id"] != "dup"}
    assert list(theirs["1001"]) == list(ours["1001"])
    for each in ours.values():
        assert each.pop("metadata")["agent_id"] == "vektor-mcp"
    for each in theirs.values():
        assert each.pop("metadata") is None
    assert ours == theirs


def test_a_limit_takes_the_newest_as_the_original_does(vex, golden):
    assert vex("export", "--from", "ns.db", "-o", "out.vmig.jsonl", "--limit", "5").code == 0
    theirs = [each["id"] for each in lines(GOLDEN / "vektor" / "export-ns.vmig.jsonl")[:5]]
    assert [each["id"] for each in lines("out.vmig.jsonl")] == theirs


def test_a_namespace_is_filtered_on_export_and_set_on_import(vex, golden):
    vex("import", "--from", "input.vmig.jsonl", "--to", "vektor", "--db", "a.db", "--only-namespace", "ns-1")
    wanted = sum(each.get("namespace") == "ns-1" for each in lines("input.vmig.jsonl"))
    with sqlite3.connect("a.db") as db:
        assert db.execute("SELECT namespace, count(*) FROM memories GROUP BY 1").fetchall() == [("ns-1", wanted)]
    ran = vex("import", "input.vmig.jsonl", "--to=vektor", "--db=b.db", "--namespace=harbour", "--on-error=skip")
    # Two namespaces of the file have a memory called dup: in one namespace there is room for one.
    assert ran.code == 3 and "harbour/dup once more" in ran.err


def test_filters_are_one_language(vex, golden):
    def count(*options):
        ran = vex("export", "--from", "jsonl", "--in", "input.vmig.jsonl", "-o", "f.vmig.jsonl", *options, "--json")
        assert ran.code == 0, ran.err
        return ran.json()["written"]

    source = lines("input.vmig.jsonl")
    metadata = [each.get("metadata") or {} for each in source]
    assert count("--namespace", "ns-1") == sum(each.get("namespace") == "ns-1" for each in source)
    assert count("--components", "semantic,working") == sum(
        each.get("memory_type") in ("semantic", "working") for each in metadata
    )
    assert count("--min-importance", "4") == sum(
        isinstance(each.get("importance"), (int, float)) and each["importance"] >= 4 for each in metadata
    )
    recent = [each for each in source if not str(each["created_at"]).startswith("2025")]
    assert count("--since", "2026-01-01") == len(recent)
    assert count("--limit", "7") == 7
    assert vex("export", "--from", "input.vmig.jsonl", "-o", "x.vmig.jsonl", "--since", "soon").code == 2


def test_a_query_vector_orders_by_similarity(vex, folder):
    rows = [
        {"id": name, "text": name, "vector": vector}
        for name, vector in (("far", [-1, 0]), ("near", [1, 0.1]), ("middle", [0, 1]))
    ]
    Path("m.vmig.jsonl").write_text("".join(json.dumps(each) + "\n" for each in [*rows, {"id": "none", "text": "x"}]))
    Path("q.json").write_text("[2, 0]")
    assert (
        vex("export", "--from", "m.vmig.jsonl", "-o", "o.vmig.jsonl", "--vec-query", "@q.json", "--limit", "2").code
        == 0
    )
    found = lines("o.vmig.jsonl")
    assert [(each["id"], each["score"]) for each in found] == [("near", 0.995037), ("middle", 0.0)]
    for bad in ("[1,2,3]", "[0,0]", "x", "[]", "@missing.json"):
        assert vex("export", "--from", "m.vmig.jsonl", "-o", "p.vmig.jsonl", "--vec-query", bad).code in (1, 2)
    assert not Path("p.vmig.jsonl").exists()


def test_migrate_takes_edges_along(vex, golden):
    vex("import", "input.vmig.jsonl", "--to", "vektor:a.db")
    ran = vex("migrate", "--from", "vektor:a.db", "--to", "vektor:b.db", "--json").json()
    assert ran["edges"] == 674
    assert vex("diff", "vektor:a.db", "vektor:b.db", "--exit-code").code == 0
    vex("migrate", "--from", "a.db", "--to", "jsonl", "--out", "c.vmig.jsonl")
    assert len(lines("c.vmig.jsonl")) == 300


def test_a_second_import_replaces_and_doubles_nothing(vex, golden):
    for _ in range(2):
        assert vex("import", "input.vmig.jsonl", "--to", "vektor:a.db").code == 0
    with sqlite3.connect("a.db") as db:
        assert db.execute("SELECT count(*) FROM memories").fetchone()[0] == 300
        assert db.execute("SELECT count(*) FROM graph_edges").fetchone()[0] == 674
    vex("import", "input.vmig.jsonl", "--to", "vektor:plain.db", "--skip-graph")
    with sqlite3.connect("plain.db") as db:
        assert not db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'graph_edges'").fetchone()[0] or (
            db.execute("SELECT count(*) FROM graph_edges").fetchone()[0] == 0
        )


def test_a_dry_run_writes_nothing(vex, golden):
    before = sorted(os.listdir())
    ran = vex("import", "input.vmig.jsonl", "--to", "vektor:a.db", "--dry-run")
    assert ran.out.startswith("would have imported 300 memories")
    assert vex("export", "--from", "ns.db", "-o", "x.vmig.jsonl", "-n").code == 0
    assert sorted(os.listdir()) == before


# -- sidecars ----------------------------------------------------------------------------------------------------------


def test_a_sidecar_is_written_checked_and_told_of_the_import(vex, golden):
    vex("export", "--from", "ns.db", "-o", "m.vmig.jsonl")
    said = json.loads(Path("m.vmig.meta.json").read_text())
    assert (said["record_count"], said["source_store"], said["vex_version"]) == (30, "vektor", "1.0.0")
    assert vex("import", "m.vmig.jsonl", "--to", "vektor:a.db").code == 0
    said = json.loads(Path("m.vmig.meta.json").read_text())
    assert said["imported_to"] == "vektor:a.db" and said["imported_at"].endswith("Z")
    assert vex("import", "m.vmig.jsonl", "--to", "vektor:a.db").code == 0

    text = Path("m.vmig.jsonl").read_text()
    Path("m.vmig.jsonl").write_text(text.replace("retry", "reply", 1))
    ran = vex("import", "m.vmig.jsonl", "--to", "vektor:b.db")
    assert ran.code == 1 and "--ignore-sidecar" in ran.err and ran.err.endswith("[checksum-mismatch]\n")
    assert not Path("b.db").exists()
    assert vex("import", "m.vmig.jsonl", "--to", "vektor:b.db", "--ignore-sidecar").code == 0
    Path("m.vmig.jsonl").write_text("".join(text.splitlines(keepends=True)[1:]))
    assert "29 records" in vex("import", "m.vmig.jsonl", "--to", "vektor:c.db").err
    for bad in ("{", "[]", '{"record_count": "many"}'):
        Path("m.vmig.meta.json").write_text(bad)
        assert vex("import", "m.vmig.jsonl", "--to", "vektor:c.db").err.endswith("[sidecar-unreadable]\n")


@pytest.mark.parametrize("name", ["small", "large"])
def test_the_originals_sidecars_are_understood_and_written_alike(vex, folder, name):
    for ending in (".vmig.jsonl", ".vmig.meta.json"):
        shutil.copyfile(GOLDEN / "sign" / (name + ending), folder / (name + ending))
    assert vex("migrate", "--from", f"{name}.vmig.jsonl", "--to", "copy.vmig.jsonl").code == 0
    assert Path("copy.vmig.jsonl").read_bytes() == Path(f"{name}.vmig.jsonl").read_bytes()
    theirs, ours = (json.loads(Path(f"{each}.vmig.meta.json").read_text()) for each in (name, "copy"))
    assert {**ours, "exported_at": theirs["exported_at"]} == theirs
    assert list(ours) == list(theirs)


def test_a_checksum_over_reprinted_lines_is_understood(vex, folder):
    """The original's is over the lines as it prints them, not as they are in the file."""
    Path("m.vmig.jsonl").write_text('{ "id":"a", "text":"x", "vector":[1.0] }\n')
    Path("m.vmig.meta.json").write_text(
        json.dumps(
            {
                "record_count": 1,
                "checksum": "sha256:" + __import__("hashlib").sha256(b'{"id":"a","text":"x","vector":[1]}').hexdigest(),
            }
        )
    )
    assert vex("import", "m.vmig.jsonl", "--to", "vektor:a.db").code == 0


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "in.vmig.jsonl",
        "./in.vmig.jsonl",
        "link.vmig.jsonl",
        "hard.vmig.jsonl",
        "in.vmig.sig",
        "in.vmig.key",
        "in.vmig.meta.json",
    ],
)
def test_the_input_and_what_belongs_to_it_are_never_overwritten(vex, folder, target):
    Path("in.vmig.jsonl").write_text(PLAIN)
    os.symlink("in.vmig.jsonl", "link.vmig.jsonl")
    os.link("in.vmig.jsonl", "hard.vmig.jsonl")
    ran = vex("export", "--from", "in.vmig.jsonl", "--output", target)
    assert ran.code == 2 and ran.err.endswith("[same-store]\n")
    assert Path("in.vmig.jsonl").read_text() == PLAIN


@pytest.mark.parametrize(("name", "code"), [("edge", 1), ("bytes", 1)])
def test_files_that_are_no_vmig_are_refused_and_their_good_lines_can_be_had(vex, folder, name, code):
    shutil.copyfile(GOLDEN / "sign" / f"{name}.vmig.jsonl", folder / "in.vmig.jsonl")
    ran = vex("migrate", "--from", "in.vmig.jsonl", "--to", "out.vmig.jsonl")
    assert ran.code == code and "in.vmig.jsonl line " in ran.err
    assert not Path("out.vmig.jsonl").exists()
    ran = vex("migrate", "--from", "in.vmig.jsonl", "--to", "out.vmig.jsonl", "--on-error", "skip", "--json")
    assert ran.code == 3
    assert ran.json()["written"] == len(lines("out.vmig.jsonl"))
    assert ran.json()["skipped"] == len(ran.json()["problems"])


def test_long_deep_and_odd_lines_are_moved_whole(vex, folder):
    deep = "x"
    for _ in range(100):
        deep = [deep]
    rows = [
        {"id": "long", "text": "long " * 2_000_000},
        {"id": "deep", "text": "d", "metadata": {"deep": deep}},
        {"id": "line\u2028separator", "text": "a\u2028b\u2029c"},
    ]
    text = "\r\n".join(json.dumps(each, ensure_ascii=False) for each in rows)
    Path("in.vmig.jsonl").write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n")
    assert vex("migrate", "--from", "in.vmig.jsonl", "--to", "out.vmig.jsonl").code == 0
    assert lines("out.vmig.jsonl") == rows


def test_places_that_cannot_be_read_or_written_are_named(vex, folder):
    Path("in.vmig.jsonl").write_text(PLAIN)
    Path("empty.vmig.jsonl").write_text("")
    Path("dir.vmig.jsonl").mkdir()
    for args, words in (
        (("--from", "missing.vmig.jsonl", "-o", "x.vmig.jsonl"), "missing.vmig.jsonl"),
        (("--from", "empty.vmig.jsonl", "-o", "x.vmig.jsonl"), "empty"),
        (("--from", "dir.vmig.jsonl", "-o", "x.vmig.jsonl"), "folder"),
        (("--from", "in.vmig.jsonl", "-o", "dir.vmig.jsonl"), "folder"),
        (("--from", "in.vmig.jsonl", "-o", "nowhere/x.vmig.jsonl"), "nowhere"),
        (("--from", "quadrant", "-o", "x.vmig.jsonl"), "vektor"),
        (("--from", "vektor", "-o", "x.vmig.jsonl"), "--db"),
        (
            (
                "--from",
                "in.vmig.jsonl",
            ),
            "--output",
        ),
        (("--from", "in.vmig.jsonl", "-o", "x.vmig.jsonl", "--db", "a.db"), "--db does not apply"),
    ):
        ran = vex("export", *args)
        assert ran.code in (1, 2) and words in ran.err, (args, ran)
    assert sorted(os.listdir()) == ["dir.vmig.jsonl", "empty.vmig.jsonl", "in.vmig.jsonl"]
    # A name that says nothing is fine for an output, and never the place of a key.
    assert vex("export", "--from", "in.vmig.jsonl", "-o", "plain", "--sign").code == 0
    assert Path("plain").read_text() == PLAIN and Path("plain.vmig.sig").exists()


def test_the_environment_names_the_database_as_it_does_for_the_original(vex, golden):
    assert vex("export", "-o", "a.vmig.jsonl", env={"VEKTOR_DB": "ns.db"}).code == 0
    assert vex("export", "--from", "vektor", "-o", "a.vmig.jsonl", env={"VEKTOR_DB_PATH": "ns.db"}).code == 0
    assert vex("import", "a.vmig.jsonl", env={"VEKTOR_DB": "new.db", "VEKTOR_AGENT_ID": "agent-9"}).code == 0
    assert vex("import", "input.vmig.jsonl", "--to", "vektor", "--db", "own.db", "--agent-id", "agent-8").code == 0
    with sqlite3.connect("own.db") as db:
        assert db.execute("SELECT DISTINCT agent_id FROM memories").fetchall()


def test_interrupted_in_the_middle_the_old_file_stays(folder, monkeypatch):
    row = {"id": "", "text": "some words " * 20, "vector": [0.5] * 64, "dims": 64}
    with open("big.vmig.jsonl", "w") as file:
        for number in range(60_000):
            file.write(json.dumps({**row, "id": f"m{number}"}) + "\n")
    Path("out.vmig.jsonl").write_text(PLAIN)
    process = spawn("migrate", "--from", "big.vmig.jsonl", "--to", "out.vmig.jsonl")
    while process.poll() is None and not [name for name in os.listdir() if name.startswith(".out")]:
        time.sleep(0.01)
    process.send_signal(2)
    _, err = process.communicate(timeout=100)
    if process.returncode != 0:
        assert process.returncode == 130, err
        assert Path("out.vmig.jsonl").read_text() == PLAIN
    assert [name for name in os.listdir() if name.startswith(".out")] == []


def test_a_read_only_folder_is_said(folder):
    if os.getuid() == 0:
        os.mkdir("locked")
        ran = run_process("export", "--from", "missing.vmig.jsonl", "-o", "locked/x.vmig.jsonl")
        assert ran.code == 1
        return
    os.mkdir("locked", 0o500)
    Path("in.vmig.jsonl").write_text(PLAIN)
    ran = run_process("export", "--from", "in.vmig.jsonl", "-o", "locked/x.vmig.jsonl")
    assert ran.code == 1 and "locked" in ran.err


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
def test_the_files_a_database_is_written_through_are_never_overwritten(vex, golden, ending):
    ran = vex("export", "--from", "ns.db", "-o", f"ns.db{ending}")
    assert ran.code == 2 and ran.err.endswith("[same-store]\n")
    assert not Path(f"ns.db{ending}").exists()


def test_an_output_does_not_take_the_sidecar_of_the_input(vex, golden):
    vex("export", "--from", "ns.db", "-o", "m.vmig.jsonl")
    before = Path("m.vmig.meta.json").read_bytes()
    ran = vex("export", "--from", "m.vmig.jsonl", "-o", "m.jsonl", "--limit", "1")
    assert ran.code == 2 and "m.vmig.meta.json" in ran.err and ran.err.endswith("[same-store]\n")
    assert Path("m.vmig.meta.json").read_bytes() == before and not Path("m.jsonl").exists()


def test_pipes_and_devices_are_neither_read_nor_replaced(vex, folder):
    Path("in.vmig.jsonl").write_text(PLAIN)
    os.mkfifo("pipe.vmig.jsonl")
    assert vex("import", "pipe.vmig.jsonl", "--to", "vektor:a.db").err.endswith("[store-unreadable]\n")
    assert vex("export", "--from", "in.vmig.jsonl", "-o", "pipe.vmig.jsonl").err.endswith("[store-unreadable]\n")
    assert vex("export", "--from", "in.vmig.jsonl", "-o", "-").code == 2
    assert sorted(os.listdir()) == ["in.vmig.jsonl", "pipe.vmig.jsonl"]


def test_a_key_that_cannot_be_used_is_found_before_anything_is_written(vex, folder):
    Path("in.vmig.jsonl").write_text(PLAIN)
    assert vex("export", "--from", "in.vmig.jsonl", "-o", "x.vmig.jsonl", "--sign", "--key", "none").code == 12
    assert vex("export", "--from", "in.vmig.jsonl", "-o", "x.vmig.jsonl", "--key", "none").code == 2
    assert vex("export", "--from", "in.vmig.jsonl", "-o", "x.vmig.jsonl", "--out", "y.vmig.jsonl").code == 2
    assert os.listdir() == ["in.vmig.jsonl"]


def test_a_signature_that_is_no_longer_that_of_the_file_is_said(vex, golden):
    assert vex("export", "--from", "ns.db", "-o", "m.vmig.jsonl", "--sign").code == 0
    assert "note:" not in vex("export", "--from", "ns.db", "-o", "m.vmig.jsonl", "--sign").out
    assert "note: m.vmig.sig is not the signature" in vex("export", "--from", "ns.db", "-o", "m.vmig.jsonl").out


def test_a_source_that_changes_meanwhile_is_not_taken(vex, folder, monkeypatch):
    parse = JsonlStore.parse

    def parse_and_add(store, offset, line):
        with open("in.vmig.jsonl", "a") as file:
            file.write(PLAIN.replace('"a"', f'"c{offset}"'))
        monkeypatch.setattr(JsonlStore, "parse", parse)
        return parse(store, offset, line)

    for target in ("out.vmig.jsonl", "vektor:out.db"):
        Path("in.vmig.jsonl").write_text(PLAIN + PLAIN.replace('"a"', '"b"'))
        monkeypatch.setattr(JsonlStore, "parse", parse_and_add)
        ran = vex("migrate", "--from", "in.vmig.jsonl", "--to", target)
        assert ran.code == 1 and ran.err.endswith("[store-changed]\n")
    assert os.listdir() == ["in.vmig.jsonl"]


def test_a_kind_of_store_that_is_not_there_is_answered_with_those_that_are(vex, folder):
    ran = vex("export", "--from", "no-such-store", "-o", "x.vmig.jsonl")
    assert ran.code == 2 and "known: " in ran.err
    assert all(kind in ran.err for kind in ("jsonl", "pgvector", "vektor", "vex-backup"))


def test_numbers_past_what_json_libraries_hold_are_completed_as_they_are(vex, folder):
    rows = '{"id":"a","text":"x","metadata":{"big":123456789012345678901234567890}}\n'
    Path("in.vmig.jsonl").write_text(rows)
    assert vex("import", "in.vmig.jsonl", "--to", "vektor:a.db").code == 0
    assert vex("export", "--from", "a.db", "-o", "out.vmig.jsonl").code == 0
    (found,) = lines("out.vmig.jsonl")
    assert found["metadata"] == {"big": 123456789012345678901234567890}
    assert (found["modality"], found["source_store"], found["vector"], found["score"]) == ("text", "vektor", None, None)


ENTITY = '{"type":"entity","name":"Ines","entityType":"person","observations":["likes hazelnuts"]}\n'
RELATION = '{"type":"relation","from":"Ines","to":"Ines","relationType":"knows"}\n'


def test_an_import_into_the_file_of_an_mcp_server_leaves_what_it_does_not_bring(vex, folder):
    Path("memory.jsonl").write_text(ENTITY + RELATION, "utf-8")
    Path("in.vmig.jsonl").write_text(PLAIN, "utf-8")
    ran = vex("import", "in.vmig.jsonl", "--to", "mcp:memory.jsonl", "--json")
    assert ran.code == 0 and ran.json()["written"] == 1, ran.err
    found = lines("memory.jsonl")
    assert [each.get("name") for each in found] == ["Ines", "a", None]
    assert ENTITY in Path("memory.jsonl").read_text("utf-8") and RELATION in Path("memory.jsonl").read_text("utf-8")
    Path("in.vmig.jsonl").write_text(PLAIN.replace("one", "other"), "utf-8")
    assert vex("import", "in.vmig.jsonl", "--to", "mcp:memory.jsonl").code == 0
    assert len(lines("memory.jsonl")) == 3 and "other" in Path("memory.jsonl").read_text("utf-8")


def test_an_import_into_an_agent_file_leaves_what_it_does_not_bring(vex, folder):
    agent = {"id": "agent-0", "name": "x", "block_ids": ["block-0"], "messages": [], "in_context_message_ids": []}
    lists = {"groups": [], "files": [], "sources": [], "tools": [], "mcp_servers": []}
    block = {"id": "block-0", "label": "human", "value": "Her name is Ines.", "limit": 20000}
    Path("agent.af").write_text(json.dumps({"agents": [agent], "blocks": [block], **lists}), "utf-8")
    Path("in.vmig.jsonl").write_text(PLAIN, "utf-8")
    before = vex("inspect", "agent.af", "--json").json()["records"]
    assert vex("import", "in.vmig.jsonl", "--to", "letta:agent.af").code == 0
    assert vex("inspect", "agent.af", "--json").json()["records"] == before + 1 == 2
    assert json.loads(Path("agent.af").read_text("utf-8"))["blocks"] == [block]
