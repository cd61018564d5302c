"""diff, log and show."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import record
from vexrepo.cli.text import plain
from vexrepo.history.diff import differing_spans
from vexrepo.history.walk import LeafReader
from vexrepo.repository import Repository, Surroundings, difference


def test_a_changed_text_is_shown_by_word_with_metadata_and_distance(vex, two):
    lines = vex("diff", "HEAD~1", "HEAD").out.splitlines()
    assert lines[0].startswith("+ notes/m5")
    changed = next(line for line in lines if line.startswith("~"))
    assert re.fullmatch(
        r"~ prefs/m1     The user prefers \[-async communication-\]\{\+short calls before noon\+\}   "
        r"moved \d\.\d\d · importance 3 → 5",
        changed,
    )
    assert "- trading/m2   Pepe trending on CoinGecko" in lines


def test_diff_without_arguments_compares_with_the_workspace(vex, repo):
    assert vex("diff").out == "no differences between main and jsonl:agent.vmig.jsonl\n"
    repo.forget("m2")
    assert vex("diff").out == "- trading/m2   Pepe trending on CoinGecko\n"
    assert vex("diff", "HEAD").out == vex("diff").out


@pytest.fixture
def large(vex, repo, monkeypatch):
    """Two commits that differ in each of some leaves, and a second process for that."""
    for number in range(120):  # long enough for leaves of a few records
        repo.records[f"n{number}"] = record(f"n{number}", f"note {number} " + "x" * 70_000, importance=number)
    repo.write()
    assert vex("init", "again", "--store", "agent.vmig.jsonl").code == 0
    monkeypatch.chdir("again")
    assert vex("commit", "-m", "one").code == 0
    for number in range(0, 120, 3):
        each = record(f"n{number}", f"note {number} " + "x" * 70_000 + " and more", importance=number + number % 2)
        repo.records[each["id"]] = each
    repo.forget("n5")
    repo.learn("n200", "new")
    assert vex("commit", "-m", "two").code == 0
    monkeypatch.setattr(difference, "PART_SPANS", 1)
    return repo


@pytest.mark.parametrize("options", [[], ["--json"], ["--vectors", "ignore"], ["--namespace", "notes"]])
def test_a_large_diff_is_the_same_from_one_process_and_two(vex, large, monkeypatch, options):
    apart = []
    whole = difference.BesideStream
    monkeypatch.setattr(difference, "BesideStream", lambda *work, **how: apart.append(1) or whole(*work, **how))
    one = vex("diff", "HEAD~1", "HEAD", *options)
    assert not apart and one.code == 0 and one.out.count("\n") > 40
    monkeypatch.setattr(difference, "MANY_SPANS", 2)
    monkeypatch.setattr(difference, "is_worthwhile", lambda: True)
    assert vex("diff", "HEAD~1", "HEAD", *options) == one
    assert bool(apart) is (sys.platform == "linux")


def test_damage_that_the_second_process_of_a_diff_meets_is_told(vex, large, monkeypatch):
    monkeypatch.setattr(difference, "MANY_SPANS", 2)
    monkeypatch.setattr(difference, "is_worthwhile", lambda: True)
    repository = Repository.open(Path(".vex"), Surroundings(now_us=lambda: 0))
    old, new = (repository.records_root(repository.resolve(name)) for name in ("HEAD~1", "HEAD"))
    second = differing_spans(repository.objects, old, new)[1].old[0]
    pack, entry = repository.objects.locate(LeafReader(repository.objects, second.id).leaf.bodies)
    raw = bytearray(pack.path.read_bytes())
    raw[entry.offset + entry.stored // 2] ^= 1
    pack.path.write_bytes(raw)
    ran = vex("diff", "HEAD~1", "HEAD")
    assert ran.code == 1 and "object-corrupt" in ran.err and not ran.out


def test_diff_of_two_stores_needs_no_repository(vex, memory, folder):
    before = memory.path.read_text()
    memory.forget("m2")
    Path("old.jsonl").write_text(before)
    assert vex("diff", "old.jsonl", "agent.vmig.jsonl").out == "- trading/m2   Pepe trending on CoinGecko\n"
    assert vex("diff", "jsonl:agent.vmig.jsonl", "jsonl:old.jsonl", "--stat").out.splitlines() == [
        " trading  +1",
        "1 learned in 1 namespace",
    ]
    assert vex("diff", "old.jsonl").code == 10
    assert vex("diff", "main", "old.jsonl").code == 10


def test_diff_of_store_and_revision_goes_both_ways(vex, two):
    first = vex("diff", "agent.vmig.jsonl", "HEAD~1", "--json").json()
    assert (first["learned"], first["changed"], first["forgotten"]) == (1, 1, 1)
    assert {each["kind"]: each["id"] for each in first["changes"]} == {
        "learned": "m2",
        "changed": "m1",
        "forgotten": "m5",
    }
    second = vex("diff", "HEAD~1", "agent.vmig.jsonl", "--json").json()
    assert {each["kind"]: each["id"] for each in second["changes"]} == {
        "learned": "m5",
        "changed": "m1",
        "forgotten": "m2",
    }
    assert second["old"]["revision"] == "HEAD~1" and second["new"] == {"store": "jsonl:agent.vmig.jsonl"}


def test_a_branch_named_like_a_folder_is_still_a_branch(vex, two):
    Path("notes").mkdir()
    vex("branch", "notes", "HEAD~1")
    assert vex("diff", "notes", "HEAD", "--json").json()["changed"] == 1


@pytest.mark.parametrize(
    ("side", "code"), [("nope", "unknown-revision"), ("gone.jsonl", "store-missing"), ("vectr:x", "unknown-store")]
)
def test_a_side_that_is_nothing_is_refused(vex, two, side, code):
    assert f"[{code}]" in vex("diff", side).err


def test_exit_code_tells_of_differences(vex, two):
    assert vex("diff", "HEAD~1", "HEAD").code == 0
    assert vex("diff", "HEAD~1", "HEAD", "--exit-code").code == 1
    assert vex("diff", "HEAD", "HEAD", "--exit-code").code == 0
    assert vex("diff", "HEAD~1", "HEAD", "--exit-code", "--json", "--stat").code == 1


def test_stat_and_limit_count_everything(vex, two):
    assert vex("diff", "HEAD~1", "HEAD", "--stat").out.splitlines() == [
        " notes    +1",
        " prefs    ~1",
        " trading  -1",
        "1 learned, 1 changed, 1 forgotten in 3 namespaces",
    ]
    lines = vex("diff", "HEAD~1", "HEAD", "--limit", "1").out.splitlines()
    assert len(lines) == 2
    assert lines[1] == "… and 2 more: 1 learned, 1 changed, 1 forgotten in all"
    found = vex("diff", "HEAD~1", "HEAD", "--limit", "1", "--json").json()
    assert len(found["changes"]) == 1 and found["learned"] + found["changed"] + found["forgotten"] == 3


def test_vectors_can_count_less(vex, repo):
    repo.records["m1"]["vector"] = [2 * x for x in repo.records["m1"]["vector"]]
    repo.records["m2"]["vector"] = [1.0, 0.0, 0.0, 0.0]
    repo.records["m4"].pop("vector")
    repo.write()
    exact = vex("diff").out
    assert "rescaled" in exact and "moved" in exact and "no vector any more" in exact
    scale = vex("diff", "--vectors", "scale").out
    assert "rescaled" not in scale and "moved" in scale
    # That a vector is gone is told by dims and model, which are members of the record.
    assert vex("diff", "--vectors", "ignore").out.startswith("no differences")
    vectors = {each["id"]: each["vectors"][0] for each in vex("diff", "--json").json()["changes"]}
    assert vectors["m1"]["rescaled"] and vectors["m1"]["distance"] == pytest.approx(0, abs=1e-12)
    assert vectors["m2"]["distance"] > 0 and vectors["m4"]["new"] is None


def test_diff_of_a_part(vex, two):
    assert {
        each["id"] for each in vex("diff", "HEAD~1", "HEAD", "--namespace", "prefs", "--json").json()["changes"]
    } == {"m1"}


def test_metadata_that_came_and_went_is_shown(vex, repo):
    repo.records["m1"]["metadata"] = {"source": "web", "nested": {"a": [1, 2]}}
    repo.write()
    line = vex("diff").out
    assert "-importance 3" in line and "+source web" in line and '+nested {"a": [1, 2]}' in line
    fields = vex("diff", "--json").json()["changes"][0]["fields"]
    assert {"path": "metadata.importance", "old": 3} in fields


HOSTILE = "a\x1b[2Jb\x9b31mc\x07\u202ed\u2066e\u2028f\U000e0041g\nh"


def test_untrusted_text_cannot_act_on_the_terminal(vex, repo):
    repo.records["m1"]["text"] = HOSTILE
    repo.records["m3"]["metadata"] = {HOSTILE: HOSTILE}
    repo.records[HOSTILE] = record(HOSTILE, HOSTILE, HOSTILE)
    repo.records[HOSTILE]["model"] = HOSTILE
    repo.write()
    outputs = [vex("diff"), vex("diff", "--json"), vex("diff", "--stat"), vex("commit", "-m", HOSTILE), vex("status")]
    outputs += [vex("log"), vex("log", "--oneline"), vex("log", "--json"), vex("show"), vex("show", "--json")]
    outputs += [vex("show", f"HEAD:{HOSTILE}"), vex("show", f"HEAD:{HOSTILE}", "--json"), vex("log", "--", HOSTILE)]
    outputs += [
        vex("op", "log"),
        vex("branch"),
        vex("undo"),
        vex("show", f"HEAD:{HOSTILE}!"),
        vex("diff", f"{HOSTILE}"),
    ]
    outputs += [vex(HOSTILE), vex("commit", f"--{HOSTILE}"), vex("status", f"jsonl:{HOSTILE}")]
    leaf = json.loads(vex("cat-object", "HEAD", "--json").out)["value"]["snapshot"]
    outputs += [vex("cat-object", leaf)]
    for ran in outputs:
        for mark in HOSTILE:
            if mark not in "abcdefgh[231mJ\n":
                assert mark not in ran.out + ran.err, (mark, ran)
    assert outputs[0].out.count("\n") == 3, "a text cannot forge a line"
    changes = outputs[1].json()["changes"]
    assert {each["id"] for each in changes} == {"m1", "m3", HOSTILE}, "JSON keeps the text as it is"


def test_plain_keeps_what_scripts_and_emoji_need():
    for text in ("naïve Überraschung", "日本語", "👨‍👩‍👧", "می‌خواهم", "שלום"):
        assert plain(text) == text
    assert plain("a\tb\nc") == "a\\tb\\nc"
    assert plain("a\nb", lines=True) == "a\nb"
    assert plain("\ud800") == "\\ud800"


def test_log_is_newest_first_with_names_and_counts(vex, two):
    vex("tag", "v1", "HEAD~1")
    text = vex("log").out
    assert text.index("    second") < text.index("    first")
    assert "(HEAD → main)" in text and "(tag: v1)" in text
    assert "Author: alice  signed by " in text
    assert "4 memories · +1 ~1 -1" in text
    assert re.search(r"Date:   (just now|\d+ seconds? ago) \(20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\+00:00\)", text)


@pytest.mark.parametrize("number", [("-1",), ("-n", "1"), ("--number", "1")])
def test_log_can_be_short(vex, two, number):
    out = vex("log", "--oneline", *number).out
    assert re.fullmatch(r"[0-9a-f]{7} \(HEAD → main\) second  \+1 ~1 -1\n", out)


def test_log_json_is_complete(vex, two):
    newest, oldest = vex("log", "--json").json()["commits"]
    assert newest["parents"] == [oldest["id"]]
    assert newest["refs"] == ["heads/main"] and newest["head"]
    assert newest["statistics"]["learned"] == 1
    assert vex("log", "HEAD~1", "--json").json()["commits"] == [oldest]
    assert vex("log", "-0", "--json").json()["commits"] == []


def test_log_stat_and_signatures(vex, two):
    out = vex("log", "--stat", "--show-signature").out
    assert "    prefs    ~1" in out and "the first commit of this line" in out
    assert out.count("good signature by") == 2
    found = vex("log", "--stat", "--show-signature", "--json").json()["commits"]
    assert found[0]["namespaces"]["prefs"] == {"learned": 0, "changed": 1, "forgotten": 0}
    assert [each["verdict"] for each in found[0]["signatures"]] == ["good"]


def test_the_life_of_one_memory(vex, two):
    two.learn("m6", "unrelated")
    vex("commit", "-m", "third")
    commits = vex("log", "--json", "--", "m1").json()["commits"]
    assert [(each["message"], each["change"]["kind"]) for each in commits] == [
        ("second", "changed"),
        ("first", "learned"),
    ]
    assert [each["message"] for each in vex("log", "--json", "--", "trading/m2").json()["commits"]] == [
        "second",
        "first",
    ]
    assert "    - trading/m2   Pepe" in vex("log", "--oneline", "--", "m2").out
    assert len(vex("log", "-1", "--json", "--", "m1").json()["commits"]) == 1
    ran = vex("log", "--", "never")
    assert ran.code == 1 and "[unknown-record]" in ran.err
    assert vex("log", "--", "m1", "m2").code == 2


def test_show_a_commit(vex, two):
    out = vex("show").out
    assert "    second" in out and "from jsonl agent.vmig.jsonl" in out
    assert "- trading/m2   Pepe" in out and out.endswith("1 learned, 1 changed, 1 forgotten\n")
    found = vex("show", "HEAD~1", "--json").json()
    assert found["records"] == 4 and found["message"] == "first" and "changes" not in found
    assert vex("show", "--json").json()["changes"]["forgotten"] == 1


def test_show_a_memory_as_it_was(vex, two):
    out = vex("show", "HEAD~1:m1").out
    assert "The user prefers async communication" in out and "metadata.importance" in out
    assert "4 dims, tiny, f32, length " in out
    assert "short calls" in vex("show", ":prefs/m1").out
    found = vex("show", "HEAD~1:m1", "--json").json()["records"]
    assert found[0]["record"] == record("m1", "The user prefers async communication", "prefs", importance=3)
    ran = vex("show", "HEAD:m2")
    assert ran.code == 1 and "vex log -- m2" in ran.err


def test_show_understands_colons_in_times_and_ids(vex, repo):
    repo.learn("a:b", "colon")
    vex("commit", "-m", "x")
    assert "colon" in vex("show", "HEAD:a:b").out
    assert "colon" in vex("show", "HEAD@{2100-01-01T00:00:00}:a:b").out


def test_a_memory_in_two_namespaces_is_shown_twice(vex, repo):
    with repo.path.open("a") as file:
        file.write(json.dumps(record("m1", "other", "other")) + "\n")
    vex("commit", "-m", "x")
    assert len(vex("show", ":m1", "--json").json()["records"]) == 2
    assert len(vex("show", ":other/m1", "--json").json()["records"]) == 1
