"""The gate: checks and real programs, the ones that behave and the ones that do not."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest

from vexrepo.errors import StateError, UsageError
from vexrepo.hooks.check import Change, Check, Finding, Severity
from vexrepo.hooks.event import EVENTS, Event
from vexrepo.hooks.folder import HookFolder
from vexrepo.hooks.gate import KEPT, Gate, Vetoed
from vexrepo.hooks.runner import OUTPUT_BYTES
from vexrepo.objects.record import from_json
from vexrepo.storage.files import Files

EXAMPLES = Path(__file__).parents[2] / "hooks" / "examples"


def record(identifier: str, text: str, namespace: str = "work") -> Any:
    return from_json({"id": identifier, "text": text, "namespace": namespace})


def learned(*texts: str) -> list[Change]:
    made = [record(f"m{number}", text) for number, text in enumerate(texts)]
    return [Change(each.key, None, each) for each in made]


class Words(Check):
    """Finds a word."""

    name: ClassVar[str] = "words"
    meaning: ClassVar[str] = "a word"

    def __init__(self, word: str, severity: Severity) -> None:
        self._word, self._severity = word, severity
        self.finished = 0

    @classmethod
    def make(cls, settings: Mapping[str, Any]) -> Self:
        return cls("bad", Severity.VETO)

    def look(self, changes: Sequence[Change]) -> Iterator[Finding]:
        for change in changes:
            if change.after is not None and self._word in change.after.text:
                yield Finding(self.name, "word", self._severity, "work", str(change.key), "text", f"says {self._word}")

    def finish(self, total: int | None) -> Iterator[Finding]:
        self.finished += 1
        return iter(())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "hooks").mkdir()
    return tmp_path


def gate(home: Path, *checks: Check, timeout_s: float = 20, environ: Mapping[str, str] | None = None) -> Gate:
    @contextmanager
    def scratch() -> Iterator[Path]:
        folder = home / "scratch"
        folder.mkdir()
        yield folder
        for each in folder.iterdir():
            each.unlink()
        folder.rmdir()

    return Gate(
        lambda event: checks,
        HookFolder(home / "hooks", Files()),
        home,
        dict(os.environ) if environ is None else environ,
        timeout_s,
        scratch,
    )


def program(home: Path, text: str, event: str = "pre-import", *, mode: int = 0o755) -> Path:
    path = home / "hooks" / event
    path.write_text(text, "utf-8")
    path.chmod(mode)
    return path


def refused(gate: Gate, changes: list[Change], event: Event | None = None) -> Vetoed:
    with pytest.raises(Vetoed) as caught:
        gate.pass_through(event or Event("pre-import"), lambda: changes)
    return caught.value


# -- checks ------------------------------------------------------------------------------------------------------------


def test_a_check_that_finds_something_severe_refuses_everything(home: Path) -> None:
    error = refused(gate(home, Words("bad", Severity.VETO)), learned("good", "bad", "also bad"))
    assert error.code == "check-veto"
    assert [each.rule for each in error.findings] == ["word", "word"]
    assert "2 findings" in str(error) and "2 memories" in str(error)


def test_warnings_pass_and_are_told(home: Path) -> None:
    check = Words("bad", Severity.WARNING)
    passed = gate(home, check).pass_through(Event("pre-import"), lambda: learned("bad"))
    assert [each.severity for each in passed.findings] == [Severity.WARNING]
    assert check.finished == 1


def test_findings_past_a_limit_are_counted_not_kept(home: Path) -> None:
    changes = learned(*["bad"] * (KEPT + 50))
    error = refused(gate(home, Words("bad", Severity.VETO)), changes)
    assert (len(error.findings), error.more) == (KEPT, 50)
    assert f"{KEPT + 50} findings" in str(error)


def test_without_checks_and_hooks_changes_are_not_even_made(home: Path) -> None:
    found = gate(home)
    assert not any(map(found.is_watched, EVENTS))
    found.pass_through(Event("pre-import"), lambda: pytest.fail("changes were made"))


# -- programs ----------------------------------------------------------------------------------------------------------


def test_a_program_is_told_what_is_about_to_happen(home: Path) -> None:
    program(home, "#!/bin/sh\ncat > told.json\ncp hooks/../scratch/records.vmig.jsonl seen.jsonl\n")
    before, after = record("m1", "old"), record("m1", "new")
    changes = [Change(before.key, before, after), *learned("fresh")[:1], Change(before.key, before, None)]
    event = Event("pre-import", {"kind": "jsonl", "address": "a"}, {"kind": "vektor", "address": "b"}, "main", 7, None)
    passed = gate(home).pass_through(event, lambda: changes)
    told = json.loads((home / "told.json").read_bytes())
    assert told["event"] == "pre-import" and told["version"] == 1 and told["branch"] == "main"
    assert told["counts"] == {"learned": 1, "changed": 1, "forgotten": 1, "total": 7}
    assert told["source"] == {"kind": "jsonl", "address": "a"} and told["signature"] is None
    assert [json.loads(line)["text"] for line in (home / "seen.jsonl").read_text("utf-8").splitlines()] == [
        "new",
        "fresh",
    ]
    assert passed.ran[0].allows and not (home / "scratch").exists()


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("#!/bin/sh\necho 'not on a Friday'\nexit 1\n", "hook-veto", "not on a Friday (exit code 1)"),
        ("#!/bin/sh\nexit 77\n", "hook-veto", "exit code 77"),
        ("#!/bin/sh\nkill -SEGV $$\n", "hook-veto", "signal 11"),
        ("#!/usr/bin/env python3\nraise RuntimeError('no idea')\n", "hook-veto", "no idea"),
        ("#!/no/such/interpreter\n", "hook-not-runnable", "cannot be started"),
        ("\x7fELF nonsense", "hook-not-runnable", "cannot be started"),
    ],
)
def test_a_program_that_fails_in_any_way_refuses(home: Path, text: str, code: str, words: str) -> None:
    program(home, text)
    error = refused(gate(home), learned("x"))
    assert error.code == code
    assert words in str(error)


def test_a_program_that_is_not_executable_refuses(home: Path) -> None:
    program(home, "#!/bin/sh\nexit 0\n", mode=0o644)
    error = refused(gate(home), learned("x"))
    assert error.code == "hook-not-runnable" and "chmod +x" in str(error)


def test_a_program_that_hangs_is_ended_with_all_it_started(home: Path) -> None:
    program(home, "#!/bin/sh\nsleep 300 & echo $! > child\nsleep 300\n")
    begun = time.monotonic()
    error = refused(gate(home, timeout_s=3), learned("x"))
    assert error.code == "hook-timeout" and time.monotonic() - begun < 100
    assert _is_gone(int((home / "child").read_text()))


def test_what_a_program_left_running_is_ended(home: Path) -> None:
    program(home, "#!/bin/sh\nsleep 300 & echo $! > child\nexit 0\n")
    begun = time.monotonic()
    gate(home).pass_through(Event("pre-import"), lambda: learned("x"))
    assert time.monotonic() - begun < 100
    assert _is_gone(int((home / "child").read_text()))


def _is_gone(pid: int) -> bool:
    for _ in range(1000):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":  # ended; whoever adopted it has not looked yet
            return True
        time.sleep(0.05)
    return False


def test_a_program_that_writes_megabytes_is_heard_out_and_cut(home: Path) -> None:
    program(home, "#!/bin/sh\nhead -c 5000000 /dev/zero | tr '\\0' x\nexit 3\n")
    error = refused(gate(home), learned("x"))
    assert "exit code 3" in str(error) and len(str(error)) < OUTPUT_BYTES + 200


def test_a_program_need_not_read_what_it_is_told(home: Path) -> None:
    program(home, "#!/bin/sh\nexec <&-\nexit 0\n")
    warned = Words("x", Severity.WARNING)
    assert gate(home, warned).pass_through(Event("pre-import"), lambda: learned(*["x" * 900] * 300)).ran[0].allows


def test_a_program_does_not_get_our_secrets(home: Path) -> None:
    program(home, "#!/bin/sh\nenv > env.txt\n")
    environ = {**os.environ, "VEX_PASSPHRASE": "hush", "VEX_TOKEN": "hush", "VEX_HOME": "h"}
    gate(home, environ=environ).pass_through(Event("pre-import"), lambda: learned("x"))
    seen = (home / "env.txt").read_text("utf-8")
    assert "hush" not in seen and "VEX_HOME=h" in seen and "VEX_EVENT=pre-import" in seen


def test_programs_run_in_order_and_the_first_veto_ends_it(home: Path) -> None:
    folder = HookFolder(home / "hooks", Files())
    for name, code in (("20-b", 0), ("10-a", 0), ("30-c", 1), ("40-d", 0)):
        source = home / name
        source.write_text(f"#!/bin/sh\necho {name} >> ran\nexit {code}\n", "utf-8")
        folder.add("pre-import", source)
    program(home, "#!/bin/sh\necho first >> ran\n")
    assert "pre-import.d/30-c" in str(refused(gate(home), learned("x")))
    assert (home / "ran").read_text().split() == ["first", "10-a", "20-b", "30-c"]


def test_after_the_fact_nothing_is_prevented(home: Path) -> None:
    program(home, "#!/bin/sh\necho too late\nexit 1\n", "post-commit")
    passed = gate(home).tell(Event("post-commit"), lambda: learned("x"))
    assert passed.ran[0].code == "hook-veto" and passed.ran[0].output == "too late\n"


# -- the folder --------------------------------------------------------------------------------------------------------


def test_hooks_are_added_turned_off_and_on_and_removed(home: Path) -> None:
    folder = HookFolder(home / "hooks", Files())
    source = home / "mine.sh"
    source.write_text("#!/bin/sh\nexit 1\n", "utf-8")
    hook = folder.add("pre-import", source)
    assert hook.name == "pre-import.d/mine.sh" and hook.is_runnable
    with pytest.raises(StateError, match="installed already"):
        folder.add("pre-import", source)
    folder.turn(hook.name, on=False)
    gate(home).pass_through(Event("pre-import"), lambda: learned("x"))
    assert [each.is_on for each in folder.all()] == [False]
    folder.turn(hook.name, on=True)
    refused(gate(home), learned("x"))
    folder.remove(hook.name)
    assert folder.all() == []
    with pytest.raises(UsageError, match="no hook"):
        folder.remove(hook.name)


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden", "x.off", "a b", "ä"])
def test_a_hook_cannot_be_put_elsewhere(home: Path, name: str) -> None:
    source = home / "mine"
    source.write_text("#!/bin/sh\n", "utf-8")
    with pytest.raises(UsageError):
        HookFolder(home / "hooks", Files()).add("pre-import", source, name or "..")


def test_an_unknown_event_is_named(home: Path) -> None:
    with pytest.raises(UsageError, match="pre-import"):
        HookFolder(home / "hooks", Files()).add("pre-imprt", home / "x")


# -- the hooks that come with us ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "event", "changes", "allowed"),
    [
        ("limit-forgetting", Event("pre-commit", total=100), learned("a"), True),
        (
            "limit-forgetting",
            Event("pre-commit", total=80),
            [Change(b"k", record(f"m{n}", "x"), None) for n in range(20)],
            False,
        ),
        ("only-these-namespaces", Event("pre-import"), learned("a"), True),
        ("only-these-namespaces", Event("pre-import"), [Change(b"k", None, record("m", "x", "else"))], False),
        ("must-be-signed-by", Event("pre-import"), learned("a"), False),
        (
            "must-be-signed-by",
            Event("pre-import", signature={"verdict": "good", "name": "alice", "key": "", "signed_at": ""}),
            learned("a"),
            True,
        ),
        ("keep-a-diary", Event("post-commit"), learned("a"), True),
    ],
)
def test_the_ready_made_hooks_do_what_they_say(
    home: Path, name: str, event: Event, changes: list[Change], allowed: bool
) -> None:
    HookFolder(home / "hooks", Files()).add(event.name, EXAMPLES / name)
    found = gate(home)
    if not event.is_before:
        assert found.tell(event, lambda: changes).ran[0].allows
        assert json.loads((home / "memory-diary.txt").read_text("utf-8").split(" ", 1)[1])["counts"]["learned"] == 1
    elif allowed:
        found.pass_through(event, lambda: changes)
    else:
        assert refused(found, changes, event).code == "hook-veto"
