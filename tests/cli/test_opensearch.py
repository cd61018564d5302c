"""OpenSearch and Elasticsearch on the command line: named by an address, by flags and by variables."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Memory, Vex
from tests.contract.opensearch_server import KEY, PASSWORD, USER, Front, new_index, put


@pytest.fixture(params=["opensearch", "elasticsearch"])
def front(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    for kind in ("OPENSEARCH", "ELASTICSEARCH"):
        for name in ("URL", "INDEX", "PASSWORD", "API_KEY"):
            monkeypatch.delenv(f"{kind}_{name}", raising=False)
    found = Front(request.param)
    yield found
    found.end()


def test_a_memory_is_committed_checked_out_and_clean(vex: Vex, memory: Memory, front: Front) -> None:
    index = new_index()
    where = str(front.address(index))
    assert vex("init", "--store", str(memory.path)).code == 0
    assert vex("commit", "-m", "first").code == 0
    ran = vex("checkout", "main", "--to", where)
    assert ran.code == 0 and "4" in ran.out, ran.err
    ran = vex("diff", "main", where, "--exit-code")
    assert ran.code == 0, ran.out + ran.err
    put(index, {"m9": {"text": "learnt"}})
    ran = vex("diff", "main", where, "--exit-code")
    assert ran.code == 1 and "learnt" in ran.out
    assert vex("commit", "--from", where, "-m", "second").code == 0
    other = str(front.address(new_index()))
    ran = vex("migrate", "--from", where, "--to", other)
    assert ran.code == 0, ran.err
    ran = vex("diff", where, other, "--exit-code")
    assert ran.code == 0, ran.out


def test_flags_and_variables_name_an_index(
    vex: Vex, memory: Memory, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, url = new_index(), front.url
    ran = vex("import", str(memory.path), "--to", front.kind, "--url", url, "--index", index)
    assert ran.code == 0, ran.err
    monkeypatch.setenv(f"{front.kind.upper()}_URL", url)
    monkeypatch.setenv(f"{front.kind.upper()}_INDEX", index)
    ran = vex("export", "--from", front.kind, "--text-field", "namespace", "-o", "one.vmig.jsonl")
    text = Path("one.vmig.jsonl").read_text()
    assert ran.code == 0 and text.count("\n") == 4 and '"text":"prefs"' in text, ran.err
    assert front.kind in vex("adapters").out


def test_the_secret_comes_from_the_environment_and_is_never_shown(
    vex: Vex, memory: Memory, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    front.want()
    name = f"{front.kind.upper()}_PASSWORD"
    where = str(front.address(new_index(), user=USER))
    ran = vex("import", str(memory.path), "--to", where)
    assert ran.code == 1 and name in ran.err and "store-refused" in ran.err
    monkeypatch.setenv(name, "wr0ng")
    ran = vex("import", str(memory.path), "--to", where)
    assert ran.code == 1 and "wr0ng" not in ran.out + ran.err
    monkeypatch.setenv(name, PASSWORD)
    ran = vex("import", str(memory.path), "--to", where, "--json")
    assert ran.code == 0 and PASSWORD not in ran.out + ran.err
    if front.kind == "elasticsearch":
        monkeypatch.delenv(name)
        monkeypatch.setenv("ELASTICSEARCH_API_KEY", KEY)
        assert vex("inspect", where).code == 0
