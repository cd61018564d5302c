"""What docs/guides/another-model.md says: an adapter in a package of the user's own, and what is said without one."""

import json
import os
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Memory, Vex, run_process

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "another-model.md"


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    return str(found)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide's package, as an installer leaves it."""
    folder = tmp_path / "site"
    noted = folder / "small_to_large-1.0.dist-info"
    noted.mkdir(parents=True)
    (folder / "small_to_large.py").write_text(block("python"), "utf-8")
    np.save(folder / "small_to_large.npy", np.eye(4, 6, dtype=np.float32))
    (noted / "METADATA").write_text("Metadata-Version: 2.1\nName: small-to-large\nVersion: 1.0\n")
    ((group, points),) = tomllib.loads(block("toml"))["project"]["entry-points"].items()
    (noted / "entry_points.txt").write_text(f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in points.items()))
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{Path(__file__).parents[2]}")


def test_the_guides_adapter_turns_embeddings_into_the_other_models(memory: Memory, installed: None) -> None:
    memory.path.rename("memory.vmig.jsonl")
    for line in block("console").splitlines():
        ran = run_process(*line.removeprefix("$ vex ").split())
        assert ran.code == 0, ran.err
        assert "small-to-large" in ran.out or "large, 6 dims" in ran.out
    assert run_process("export", "--from", "sqlite-vec:large.db", "-o", "back.vmig.jsonl").code == 0
    for name in ("large.vmig.jsonl", "back.vmig.jsonl"):
        for each in map(json.loads, Path(name).read_text("utf-8").splitlines()):
            before = memory.records[each["id"]]
            assert (each["text"], each["model"], each["dims"]) == (before["text"], "large", 6)
            assert each["vector"] == [*before["vector"], 0, 0]
    # Into what holds the other model's, only by way of it.
    refused = run_process("import", "memory.vmig.jsonl", "--to", "sqlite-vec:large.db")
    assert refused.code == 1 and "[store-" in refused.err and "--adapter" in refused.err
    assert (
        run_process("import", "memory.vmig.jsonl", "--to", "sqlite-vec:large.db", "--adapter", "small-to-large").code
        == 0
    )


def test_embedding_anew_is_said_not_to_be_done(vex: Vex, memory: Memory) -> None:
    for command in (("import", str(memory.path), "--to", "vektor:agent.db"), ("checkout", "main"), ("push",)):
        ran = vex(*command, "--reembed")
        assert ran.code == 2 and "vex makes no embeddings" in ran.err and "--adapter" in ran.err
    ran = vex("import", str(memory.path), "--to", "vektor:agent.db", "--adapter", "nothing")
    assert ran.code == 2 and "'nothing'; known: none" in ran.err and not Path("agent.db").exists()
