"""Folders of Qdrant's and Chroma's embedded modes on the command line."""

from pathlib import Path

from tests.cli.conftest import Memory, Vex
from tests.contract.chroma_local import importable


def test_a_repository_lives_with_a_folder_and_memories_move_between_engines(
    vex: Vex, memory: Memory, folder: Path
) -> None:
    importable()
    one, other = "qdrant:qdrant-data?collection=agent", "chroma:chroma-data?collection=agent"
    assert vex("init", "--store", one).code == 0
    assert vex("import", str(memory.path), "--to", one).code == 0
    assert vex("commit", "-m", "first").code == 0
    assert "nothing to commit" in vex("status").out
    ran = vex("migrate", "--from", one, "--to", other)
    assert (ran.code, ran.err) == (0, "")
    ran = vex("diff", "HEAD", other, "--vectors", "scale", "--exit-code")
    assert ran.code == 0, ran.out + ran.err
    assert vex("export", "--from", other, "-o", "out.vmig.jsonl").code == 0
    assert len((folder / "out.vmig.jsonl").read_text().splitlines()) == 4
    ran = vex("export", "--from", "chroma:chroma-data", "-o", "no.vmig.jsonl")
    assert ran.code == 2 and "FOLDER?collection=COLLECTION" in ran.err
