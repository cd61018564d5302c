"""Files with another beside them: stopped at any moment of a write, the memories are the old ones or the new ones."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.registry import open_store
from vexrepo.storage.files import Files
from vexrepo.testing.stores import check_holds, plan_between


def _mcp(folder: Path) -> Address:
    return Address("mcp", str(folder / "memory.jsonl"))


def _letta(folder: Path) -> Address:
    lists: dict[str, Any] = {name: [] for name in ("agents", "groups", "files", "tools", "mcp_servers", "blocks")}
    if not (folder / "agent.af").exists():
        (folder / "agent.af").write_text(json.dumps({**lists, "metadata": {}}))
    return Address("letta", str(folder / "agent.af"))


def memory(version: str, *, carries: bool = True) -> list[Record]:
    """Return memories that have more than such a file says; one loses that, one gains it, one goes, one comes."""
    rest = {"score": len(version) / 4, "vector": [len(version), 1.0], "dims": 2, "model": "tiny"}
    rest = rest if carries else {}
    values: list[dict[str, Any]] = [
        {"id": "changed", "text": f"{version} text", **rest},
        {"id": "same text", "text": "text", **rest},
        {"id": "loses", "text": "text", **(rest if version == "old" else {})},
        {"id": "gains", "text": "text", **(rest if version == "newer" else {})},
        {"id": version, "text": "text", **rest},
    ]
    return sorted(from_json({"namespace": "passages", **value} if carries else value) for value in values)


def held(address: Address) -> list[Record]:
    with open_store(address) as store:
        return sorted(each.record for batch in store.scan() for each in batch)


def write(address: Address, records: list[Record], before: list[Record]) -> None:
    with open_store(address, create=True) as store:
        store.write(plan_between(before, records))


@pytest.mark.parametrize("carries", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("make", [_mcp, _letta])
def test_who_is_killed_at_any_step_leaves_the_old_memories_or_the_new_ones(
    tmp_path: Path, make: Callable[[Path], Address], carries: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = memory("old", carries=carries[0]), memory("newer", carries=carries[1])
    outcomes = []
    for last in count():
        folder = tmp_path / str(last)
        folder.mkdir()
        address = make(folder)
        write(address, old, [])
        left = last

        def step(files: Files, name: str, path: Path) -> None:
            nonlocal left
            left -= 1
            if left < 0:  # nor does anything later happen any more
                raise KeyboardInterrupt

        with monkeypatch.context() as now:
            now.setattr(Files, "step", step)
            try:
                write(address, new, old)
                break
            except KeyboardInterrupt:
                pass
        found = held(address)
        assert found in (old, new), (last, found)
        outcomes.append(found == new)
        write(address, new, found)
        with open_store(address) as store:
            check_holds(store, new)
        assert not list(folder.glob("*.vex.new"))
    assert outcomes == sorted(outcomes) and set(outcomes) == {False, True}
