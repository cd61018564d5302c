"""Collections that other programs made: the text found by name or named, all else kept, and a mapping that shows it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Vex
from tests.contract.servers import FOREIGN, SERVERS, VECTOR
from tests.hosting.proxy import proxy_to


@pytest.fixture(params=SERVERS)
def address(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A collection that another program filled, on each kind of server."""
    with SERVERS[request.param]() as live, proxy_to(live.target) as proxy:
        monkeypatch.setenv(live.variable, live.secret)
        live.fill()
        yield live.address(proxy.port)


def exported(vex: Vex, address: str, *more: str) -> dict[str, dict[str, Any]]:
    """Return what is exported, by the last letter of its id: some stores take only UUIDs."""
    ran = vex("export", "--from", address, *more, "-o", "out.vmig.jsonl")
    assert ran.code == 0, ran.err
    found = [json.loads(line) for line in Path("out.vmig.jsonl").read_text("utf-8").splitlines()]
    return {each["id"][-1]: each for each in found}


def test_a_collection_of_others_is_mapped_with_types_and_read_whole(vex: Vex, address: str) -> None:
    mapping = vex("inspect", address, "--json").json()["mapping"]
    assert any(name in mapping["text"] for name in ("content", "chroma:document")), mapping
    assert "4" in mapping["vector"], mapping
    assert any(kind in mapping["metadata.importance"] for kind in ("integer", "number")), mapping
    assert "text" in mapping["metadata.topic"], mapping
    shown = vex("inspect", address).out
    assert "Mapping" in shown and mapping["text"] in shown and mapping["vector"] in shown
    for name, found in exported(vex, address).items():
        rest = dict(FOREIGN[name])
        assert (found["text"], found["vector"]) == (rest.pop("content"), VECTOR)
        assert found["metadata"] == rest
    # The text may be named.
    named = exported(vex, address, "--text-field", "story")
    assert named.keys() == FOREIGN.keys()
    for name, found in named.items():
        assert found["text"] == FOREIGN[name]["story"] and found["vector"] == VECTOR
        held = found["metadata"]
        assert FOREIGN[name]["content"] in held.values() and held["topic"] == "tides" and "story" not in held


def test_a_collection_of_others_is_committed_and_an_untouched_one_shows_no_change(vex: Vex, address: str) -> None:
    assert vex("init", "--store", address).code == 0
    assert vex("commit", "-m", "as it was found").code == 0
    assert "nothing to commit" in vex("status").out
    ran = vex("checkout", "main")
    assert ran.code == 0, ran.err
    assert vex("diff", "main", address, "--exit-code").code == 0
    assert vex("migrate", "--from", address, "--to", "copy.vmig.jsonl").code == 0
    assert Path("copy.vmig.jsonl").read_text("utf-8").count("\n") == len(FOREIGN)
