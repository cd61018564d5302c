"""OpenSearch and Elasticsearch on the command line: named by an address, by flags and by variables."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Memory, Vex
from tests.contract.opensearch_server import KEY, Front, new_index


@pytest.fixture(params=["opensearch", "elasticsearch"])
def front(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    for kind in ("OPENSEARCH", "ELASTICSEARCH"):
        for name in ("URL", "INDEX", "PASSWORD", "API_KEY"):
            monkeypatch.delenv(f"{kind}_{name}", raising=False)
    found = Front(request.param)
    yield found
    found.end()


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


def test_elasticsearch_takes_a_key_as_well(vex: Vex, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    front = Front("elasticsearch")
    front.want()
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", KEY)
    where = str(front.address(new_index()))
    ran = vex("import", str(memory.path), "--to", where, "--json")
    assert ran.code == 0 and KEY not in ran.out + ran.err
    assert vex("inspect", where).code == 0
    front.end()
