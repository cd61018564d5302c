"""vex validate and vex adapters."""

import json
from pathlib import Path

import pytest

GOOD = {"id": "a", "text": "tea", "vector": [0.5], "vex_version": "1.0.0"}


def write(*lines: object) -> str:
    Path("m.vmig.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return "m.vmig.jsonl"


def test_a_valid_file_is_said_to_be(vex, folder):
    ran = vex("validate", write(GOOD, {**GOOD, "id": "b"}))
    assert ran.code == 0
    assert ran.out.startswith("valid: 2 records · ")


def test_errors_are_listed_with_line_id_and_code(vex, folder):
    ran = vex("validate", write(GOOD, {**GOOD, "id": "b", "dims": 2}, {**GOOD, "id": "c", "metadata": {"t": ["x"]}}))
    assert ran.code == 1
    lines = ran.out.splitlines()
    assert lines[0] == "error line 2 (b): dims is 2, but the vector has 1 number  [dims-mismatch]"
    assert lines[1].startswith("warning line 3 (c): metadata.t is an array") and lines[1].endswith("[metadata-list]")
    assert lines[2].startswith("not valid: 3 records, 1 error, 1 warning · ")


def test_strictly_warnings_are_errors(vex, folder):
    name = write({**GOOD, "metadata": {"t": ["x"]}})
    assert vex("validate", name).code == 0
    ran = vex("validate", name, "--strict")
    assert ran.code == 1 and "by the strict reading" in ran.out


def test_no_more_errors_are_listed_than_asked_for_but_all_are_counted(vex, folder):
    name = write(*({"id": f"m{number}", "text": "x"} for number in range(30)))
    ran = vex("validate", name, "--max-errors", "2")
    assert ran.out.count("error line") == 2
    assert "… and 28 errors not listed; all by code: version-missing 30" in ran.out
    assert "note 30 times, first line 1 (m0)" in ran.out
    found = vex("validate", name, "--max-errors", "0", "--json").json()
    assert found["errors"] == [] and found["truncated"] and found["error_count"] == 30
    assert vex("validate", name, "--max-errors", "-1").code == 2


def test_json_has_counts_errors_and_warnings(vex, folder):
    ran = vex("validate", write(GOOD, {**GOOD, "vex_version": 1}, {**GOOD, "id": "c", "created_at": 5}), "--json")
    assert ran.code == 1
    assert ran.json() == {
        "ok": False,
        "store": "jsonl:m.vmig.jsonl",
        "strict": False,
        "records": 3,
        "counts": {"version-missing": 1, "time-number": 1, "duplicate-key": 1},
        "error_count": 2,
        "errors": [
            {"line": 2, "id": "a", "code": "version-missing", "message": "vex_version is 1, expected a string"},
            {
                "line": 2,
                "id": "a",
                "code": "duplicate-key",
                "message": "repeats the id of line 1; ids must be unique within a namespace",
            },
        ],
        "truncated": False,
        "warnings": [
            {
                "count": 1,
                "line": 3,
                "id": "c",
                "code": "time-number",
                "message": "created_at is the number 5; the format wants ISO 8601",
            }
        ],
        "notes": [],
    }


def test_what_strangers_wrote_cannot_act_on_the_terminal(vex, folder):
    name = write({**GOOD, "id": "\x1b[2J", "dims": 7}, {**GOOD, "id": "b", "vex_version": "\x1b]0;x\x07"})
    for arguments in ((), ("--json",)):
        assert "\x1b" not in vex("validate", name, *arguments).out


def test_other_stores_are_checked_too(vex, memory):
    assert vex("init", "--store", "agent.vmig.jsonl").code == 0
    assert vex("commit", "-m", "first").code == 0
    assert vex("checkout", "HEAD", "--to", "vektor:agent.db").code == 0
    ran = vex("validate", "vektor:agent.db")
    assert ran.code == 0 and "valid: 4 records" in ran.out


def test_a_missing_file_is_an_error_of_its_own(vex, folder):
    ran = vex("validate", "none.vmig.jsonl")
    assert ran.code == 1 and "[store-missing]" in ran.err
    assert vex("validate").code == 2


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_adapters_lists_the_kinds_of_store_and_says_that_no_projection_is_installed(vex, folder, arguments):
    ran = vex("adapters", *arguments)
    assert ran.code == 0
    if arguments:
        stores = {each["kind"]: each for each in ran.json()["stores"]}
        assert stores["vektor"]["edges"] and not stores["jsonl"]["edges"] and stores["jsonl"]["rewrites"]
        assert ran.json()["adapters"] == []
    else:
        assert "vektor" in ran.out and "none installed" in ran.out


def test_a_broken_plugin_does_not_hide_the_others(vex, folder, monkeypatch):
    from vexrepo.remotes.stores import registry

    monkeypatch.setitem(registry.BUILT_IN, "broken", "vexrepo.nothing_here:Store")
    ran = vex("adapters")
    assert ran.code == 0 and "cannot be loaded: ModuleNotFoundError" in ran.out and "jsonl" in ran.out


def test_where_json_ends_being_json_is_said_once(vex, folder):
    Path("a.vmig.jsonl").write_bytes(b'{"id":"a","text":"x\x00y"}\n{"id":"b","text":"x\n')
    ran = vex("validate", "a.vmig.jsonl")
    assert ran.code == 1 and "Invalid control character at column" in ran.out + ran.err
    assert "at at" not in ran.out + ran.err
