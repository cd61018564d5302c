"""The tests that docs/explanation/threat-model.md names as proof are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "threat-model.md"


def test_every_test_and_code_that_the_page_names_is_there():
    from vexrepo.errors import CODES

    page = PAGE.read_text()
    there = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        there |= set(re.findall(r"def (test_\w+)\(", file.read_text()))
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 15
    assert named - there == set()
    codes = set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)) - {"rekey", "compact"}
    assert codes
    assert codes - set(CODES) == set()
