"""Law 5: killed at any file operation, or out of disk space, nothing acknowledged is lost and work goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.harness import ACTIONS, MODES

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks a child for each file operation")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_fault_at_any_file_operation_loses_nothing_acknowledged(action: str, mode: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.harness", action, mode, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert not result["wrong"], "\n".join(result["wrong"][:20])
    assert result["operations"] >= 8, "the faults did not reach the file operations"
