"""vex inspect."""

import json
from pathlib import Path

from tests.cli.conftest import run_process
from vexrepo.cli.bars import bar, columns, cut


def test_a_memory_is_described(vex, memory):
    ran = vex("inspect", "agent.vmig.jsonl")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].startswith("jsonl:agent.vmig.jsonl · ") and lines[0].endswith(" · 4 records")
    assert lines[1] == "  4 with text · 4 with vector · 4 without date"
    assert "Namespaces  4" in lines
    assert any(line.startswith("  prefs") and line.endswith("█  1") for line in lines)
    assert "  tiny, 4 dims f32" in lines
    assert "  importance  number 1" in lines
    assert "Dates" not in ran.out


def test_json_has_all_of_it(vex, memory):
    Path("agent.vmig.meta.json").write_text('{"record_count": 5}')
    found = vex("inspect", "agent.vmig.jsonl", "--json").json()
    assert found["records"] == 4 and found["models"] == {"tiny": 4} and found["dims"] == {"4": 4}
    assert found["dtypes"] == {"f32": 4}
    assert found["namespaces"] == {
        "different": 4,
        "many": False,
        "counts": {"prefs": 1, "trading": 1, "work": 1, "notes": 1},
    }
    assert found["sidecar"]["count_matches"] is False
    assert found["texts"]["max"] == 36 and found["texts"]["repeated"] == 0
    assert found["metadata"] == {"importance": {"number": 1}, "tags": {"array": 1}}


def test_a_part_of_a_memory_can_be_asked_for(vex, memory):
    assert vex("inspect", "agent.vmig.jsonl", "--namespace", "prefs").out.splitlines()[0].endswith("1 record selected")


def test_a_sidecar_that_does_not_fit_is_pointed_out(vex, memory):
    Path("agent.vmig.meta.json").write_text(json.dumps({"record_count": 5, "checksum": "sha256:00"}))
    Path("agent.vmig.sig").write_text(json.dumps({"record_count": 4, "public_key": "ed25519:abc", "signed_at": "now"}))
    out = vex("inspect", "agent.vmig.jsonl").out
    assert "says 5 records, the file has 4 · the checksum is not that of the file" in out
    assert "4 records · signed now · ed25519:abc · vex verify tells whether it holds" in out


def test_edges_of_a_store_are_counted(vex, folder):
    database = Path(__file__).parents[1] / "interop" / "vektor" / "memories.db"
    found = vex("inspect", f"vektor:{database}", "--json").json()
    assert found["records"] == 298 and found["edges"]["counts"]["temporal"] > 0
    assert "Edges" in vex("inspect", f"vektor:{database}").out


def test_records_that_cannot_be_read_are_said_and_the_rest_is_counted(vex, memory):
    with open(memory.path, "a") as file:
        file.write("broken\n")
    out = vex("inspect", "agent.vmig.jsonl").out
    assert "1 record cannot be read: not-json 1; see: vex validate" in out


def test_an_emptied_memory_is_described_too(vex, folder):
    Path("none.vmig.jsonl").write_text("")
    assert vex("inspect", "none.vmig.jsonl").out.startswith("jsonl:none.vmig.jsonl · 0 bytes · 0 records")
    assert vex("inspect", "none.vmig.jsonl", "--json").json()["vectors"]["min"] is None


def test_what_strangers_wrote_cannot_act_on_the_terminal(vex, memory):
    memory.learn("x", "y", namespace="\x1b[31mred", **{"\x1b]0;t\x07": 1})
    for arguments in ((), ("--json",)):
        out = vex("inspect", "agent.vmig.jsonl", *arguments).out
        assert "\x1b" not in out and "\x07" not in out


def test_bars_do_without_unicode(memory, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    ran = run_process("inspect", "agent.vmig.jsonl")
    assert ran.code == 0 and "####" in ran.out


def test_a_bar_is_as_long_as_its_share():
    assert bar(1, 4) == "████" and bar(0.5, 4) == "██" and bar(0, 4) == "" and bar(1e-9, 4) == "▏"
    assert bar(0.5, 4, blocks=False) == "##" and bar(1e-9, 4, blocks=False) == "#"


def test_wide_characters_count_twice():
    assert columns("潮位é") == 5 and columns("e\u0301") == 1
    assert cut("潮位の記録", 6) == "潮位…" and cut("short", 6) == "short"


def test_a_wide_namespace_keeps_the_rows_aligned(vex, memory):
    memory.learn("x", "y", namespace="潮位")
    lines = vex("inspect", "agent.vmig.jsonl").out.splitlines()
    rows = [line for line in lines if line.startswith(("  潮位", "  prefs", "  notes"))]
    assert len({columns(line) for line in rows}) == 1 and len(rows) == 3
