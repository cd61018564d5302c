"""The connector of the guide passes the suite and is found and used by vex, as the guide says."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.contract.guide import FOLDER, TESTS, blocks
from vexrepo.objects.record import from_json
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import collect
from vexrepo.remotes.stores.vektor import VektorStore

TestShelf = TESTS.TestShelf
ROOT = Path(__file__).parents[2]


def vex(folder: Path, *words: str) -> str:
    """Run vex in a process of its own, where the guide's package is one that is installed."""
    ran = subprocess.run(
        [sys.executable, "-m", "vexrepo.cli", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{FOLDER}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_guides_commands_do_what_it_says(tmp_path: Path) -> None:
    value = {"id": "a", "text": "one", "vector": [0.1, 2.0], "metadata": {"deep": {"n": 1.5}}}
    with VektorStore.open(Address("vektor", str(tmp_path / "agent.db")), create=True) as store:
        store.write(collect([from_json(value)]))
    (text,) = blocks("console")
    said = {line: vex(tmp_path, *shlex.split(line)[2:]) for line in text.splitlines() if line.startswith("$ vex ")}
    assert len(said) == 5
    assert "1 memory" in said['$ vex commit -m "What the agent knows"']
    assert "nothing to commit" in said["$ vex status"]
    assert "texts, whole numbers, true and false" in said["$ vex adapters"]
