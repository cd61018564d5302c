"""The tutorial and the guides do what they say: their commands are run in order and their output is compared.

Ids, keys, times, names, sizes and how a repository is packed may differ; a line of "…" stands for any lines.
After a change of wording, ``UPDATE_DOCS=1 pytest tests/cli/test_tutorial.py`` writes the new output into the
page: read the difference.
"""

import os
import re
import shlex
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.quiet import make_quick, quiet_secrets
from vexrepo.cli.app import vex

ROOT = Path(__file__).parents[2]
RUN = "<!-- Every console block of this page is run by the tests. -->"  # what guides say that are
PAGES = [
    ROOT / "docs" / "tutorial.md",
    *sorted(path for path in (ROOT / "docs" / "guides").glob("*.md") if RUN in path.read_text("utf-8")),
]
BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
STABLE = (
    (r"\b[0-9a-f]{7,64}\b", "ID"),
    (r"\b[0-9a-f]{4} [0-9a-f]{4}\b", "KEY"),
    (r"signed by [0-9a-f]{4}\b", "signed by KEY"),
    (r"(?m)^Author: .*?  signed", "Author: NAME  signed"),
    (r"just now|in the future|\d+ \w+ ago", "AGO"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d", "TIME"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", "TIME"),
    (r"(?m)\d+\.\d s$", "SECONDS"),
    (r"\b[\d.]+ (bytes|kB|MB)\b", "SIZE"),
    (r"AGO +", "AGO "),
    (r"\b\d+ (pack|object|operation)s?\b", r"N \1s"),
)


def normalised(text: str) -> str:
    """Return a text with what differs from run to run as words."""
    for pattern, word in STABLE:
        text = re.sub(pattern, word, text)
    return text


def is_told(expected: str, found: str) -> bool:
    """Return whether an output is the one the page shows."""
    lines = (
        "(?:.*\n)*?" if line == "…\n" else re.escape(line) for line in normalised(expected).splitlines(keepends=True)
    )
    return re.fullmatch("".join(lines), normalised(found)) is not None


def steps(block: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a block with the output shown for it."""
    for part in re.split(r"(?m)^\$ ", block)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


class Shell:
    """The little of a shell that the page needs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._set = monkeypatch.setenv
        self._set("LOGNAME", "ines")
        self._capfd = capfd
        self._home = os.environ["VEX_HOME"]
        self.code = 0

    def run(self, line: str) -> str:
        """Run a line and return what it prints."""
        line = line.replace("$PWD", os.getcwd()).replace("$VEXREPO", str(ROOT))
        if line == "echo $?":
            code, self.code = self.code, 0
            return f"{code}\n"
        assert self.code == 0, f"exit code {self.code} just before: {line}"
        match shlex.split(line):
            case ["vex", *arguments]:
                self._capfd.readouterr()
                self.code = vex.main(arguments, prog_name="vex", standalone_mode=False)
                return "".join(self._capfd.readouterr())
            case ["cd", folder]:
                os.chdir(folder)
            case ["mkdir", folder]:
                os.mkdir(folder)
            case ["cp", source, target]:
                shutil.copy(source, target)
            case ["export", setting]:
                self._set(*setting.split("=", 1))
            case ["unset", "VEX_HOME"]:
                self._set("VEX_HOME", self._home)
            case ["sqlite3", database, statement]:
                with sqlite3.connect(database) as db:
                    return "".join("|".join(map(str, row)) + "\n" for row in db.execute(statement))
            case _:
                raise AssertionError(f"this shell cannot: {line}")
        return ""


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_works_as_printed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_quick(monkeypatch)
    quiet_secrets(monkeypatch)
    shell = Shell(monkeypatch, capfd)
    wrong: list[str] = []

    def played(block: re.Match[str]) -> str:
        parts = []
        for command, expected in steps(block.group()):
            found = shell.run(command)
            if not is_told(expected, found):
                wrong.append(f"$ {command}\n--- the page\n{expected}--- now\n{found}")
                expected = found
            parts.append(f"$ {command}\n{expected}")
        assert shell.code == 0, f"exit code {shell.code} at the end of a block:\n{block.group()}"
        return "".join(parts)

    page = path.read_text("utf-8")
    assert len(BLOCK.findall(page)) > 5
    now = BLOCK.sub(played, page)
    if wrong and os.environ.get("UPDATE_DOCS"):
        path.write_text(now, "utf-8")
    elif wrong:
        raise AssertionError("\n\n".join(wrong))


def test_the_comparison_is_not_blind() -> None:
    assert is_told("[main 3f9c2d1] a\n 3 memories · 0.2 s\n", "[main 0000000] a\n 3 memories · 1.7 s\n")
    assert is_told("a\n…\nd\n", "a\nb\nc\nd\n")
    assert not is_told("[main 3f9c2d1] a\n", "[main 3f9c2d1] b\n")
    assert not is_told("a\n…\nd\n", "a\nb\nc\n")
    assert not is_told("4 learned\n", "5 learned\n")
    assert not is_told("", "anything\n")
