"""vex sync: the original tool's words, on the same machinery; nothing at the host is lost by a push of a part."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.desks import PASSPHRASE, Desk
from tests.contract.forges.fake import FakeToken
from tests.contract.forges.gitea import FakeGitea
from tests.hosting.http_backend import git, make_bare

pytestmark = pytest.mark.usefixtures("quick")


class Agent(Desk):
    """A desk with a database."""

    def __init__(self, root: Path, name: str, url: str) -> None:
        super().__init__(root, name, VEX_PASSPHRASE=PASSPHRASE)
        self.path = self.folder / "agent.db"
        self.url = url

    def sql(self, statement: str, *values: object, path: Path | None = None) -> list[tuple[object, ...]]:
        with sqlite3.connect(path or self.path) as db:
            found = db.execute(statement, values).fetchall()
        db.close()
        return found

    def fill(self) -> "Agent":
        self.sql(
            "CREATE TABLE memories(id TEXT PRIMARY KEY, content TEXT, importance INTEGER, namespace TEXT, "
            "created_at INTEGER, vector BLOB)"
        )
        for number in range(6):
            self.learn_row(f"m{number}", f"memory {number}", number, "even" if number % 2 == 0 else "odd")
        return self

    def learn_row(self, identifier: str, text: str, importance: int, namespace: str = "even") -> None:
        made = 1_750_000_000 + len(self.sql("SELECT 1 FROM memories"))
        self.sql(
            "INSERT INTO memories(id, content, importance, namespace, created_at) VALUES(?, ?, ?, ?, ?)",
            identifier, text, importance, namespace, made,
        )  # fmt: skip

    def set_up(self) -> "Agent":
        self.ok("sync", "init", "--url", self.url, "--db", "agent.db")
        return self

    def rows(self, path: Path | None = None) -> dict[str, str]:
        return {str(name): str(text) for name, text in self.sql("SELECT id, content FROM memories", path=path)}

    def at_host(self) -> dict[str, str]:
        """Return what the host holds, as somebody sees it who clones it."""
        place = self.folder.parent / f"look-{len(list(self.folder.parent.iterdir()))}"
        desk = Desk(self.folder.parent, place.name)
        desk.ok("clone", self.url, "copy", "--store", "jsonl:copy/all.vmig.jsonl", VEX_PASSPHRASE=PASSPHRASE)
        lines = (desk.folder / "copy" / "all.vmig.jsonl").read_text().splitlines()
        return {each["id"]: each["text"] for each in map(json.loads, lines)}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(make_bare(tmp_path / "memory.git"))


@pytest.fixture
def first(tmp_path: Path, url: str) -> Agent:
    return Agent(tmp_path, "first", url).fill().set_up()


@pytest.fixture
def second(tmp_path: Path, url: str) -> Agent:
    """Another machine, without a database."""
    return Agent(tmp_path, "second", url)


# -- the round trip ----------------------------------------------------------------------------------------------------


def test_a_database_goes_to_a_host_and_comes_back_on_another_machine(first, second):
    out = first.ok("sync", "push")
    assert "+6 · 6 memories" in out and "Sealed 1 pack" in out
    assert "all the same" in first.ok("sync", "status")
    assert first.ok("sync", "diff").startswith("no differences between sync/main and")
    second.set_up()
    assert "there is no such database yet: vex sync pull" in second.ok("sync", "status")
    dry = second.ok("sync", "pull", "--dry-run")
    assert "would begin main at sync/main: 6 memories" in dry and not second.path.exists()
    second.ok("sync", "pull")
    assert second.rows() == first.rows()
    assert "nothing to send" in second.ok("sync", "push")


def test_what_two_machines_learn_comes_together(first, second):
    first.ok("sync", "push")
    second.set_up().ok("sync", "pull")
    second.learn_row("s1", "second has learned this", 4)
    second.sql("UPDATE memories SET content = 'second says so' WHERE id = 'm1'")
    second.ok("sync", "push", "-m", "on the laptop")
    first.learn_row("f1", "first has learned this", 4)
    first.sql("DELETE FROM memories WHERE id = 'm2'")
    ran = first("sync", "push")
    assert ran.code == 1 and "not-fast-forward" in ran.err and "pull" in ran.err
    first.ok("sync", "pull")
    first.ok("sync", "push")
    second.ok("sync", "pull")
    assert first.rows() == second.rows()
    assert "m2" not in first.rows() and {"s1", "f1"} <= set(first.rows()) and first.rows()["m1"] == "second says so"


def test_a_conflict_is_settled_with_the_usual_words(first, second):
    first.ok("sync", "push")
    second.set_up().ok("sync", "pull")
    second.sql("UPDATE memories SET content = 'second' WHERE id = 'm1'")
    second.ok("sync", "push")
    first.sql("UPDATE memories SET content = 'first' WHERE id = 'm1'")
    ran = first("sync", "pull")
    assert ran.code == 1 and "unsaved-changes" in ran.err and "vex sync push" in ran.err
    assert first("sync", "push").code == 1
    ran = first("sync", "pull")
    assert ran.code == 4 and first.rows()["m1"] == "first" and "folder of the repository" not in ran.out
    first.ok("resolve", "m1", "--theirs")
    first.ok("merge", "--continue")
    assert first.rows()["m1"] == "second"
    first.ok("sync", "push")


def test_memories_that_only_the_database_has_stay_when_others_changes_come(first, second):
    first.ok("sync", "push")
    second.set_up().ok("sync", "pull")
    second.learn_row("s1", "second has learned this", 4)
    second.ok("sync", "push")
    first.learn_row("f1", "not sent yet", 1)
    out = first.ok("sync", "pull")
    assert "has changes of its own (1 learned)" in out
    assert {"s1", "f1"} <= set(first.rows())


def test_a_database_with_memories_of_its_own_can_join(first, second, url):
    first.ok("sync", "push")
    second.fill()
    second.learn_row("s1", "second has learned this", 4)
    second.sql("DELETE FROM memories WHERE id = 'm5'")
    second.set_up()
    second.ok("sync", "pull")
    assert {"s1", "m5"} <= set(second.rows())
    second.ok("sync", "push")
    assert set(second.at_host()) == {*first.rows(), "s1"}


def test_a_database_that_joined_too_late_to_be_pulled_first(first, second):
    first.ok("sync", "push")
    second.fill()
    second.learn_row("s1", "second has learned this", 4)
    second.set_up()
    assert second("sync", "push").code == 1
    second.ok("sync", "pull")
    second.ok("sync", "push")
    assert set(second.at_host()) == {*first.rows(), "s1"}


def test_a_database_that_was_lost_is_filled_again(first):
    first.ok("sync", "push")
    rows = first.rows()
    first.path.unlink()
    first.ok("sync", "pull")
    assert first.rows() == rows
    first.ok("sync", "pull", "--db", "copy.db")
    assert first.rows(first.folder / "copy.db") == rows


def test_a_database_that_was_made_anew_does_not_wipe_the_copy(first):
    first.ok("sync", "push")
    rows = first.rows()
    first.sql("DELETE FROM memories")
    ran = first("sync", "push")
    assert ran.code == 1 and "store-empty" in ran.err and "vex sync pull fills it again" in ran.err
    first.ok("sync", "pull")
    assert first.rows() == rows
    first.sql("DELETE FROM memories")
    first.ok("commit", "-m", "forget everything")
    first.ok("push", "sync")
    assert first.at_host() == {}


def test_what_was_kept_is_said_even_where_the_push_is_refused(first, second):
    first.ok("sync", "push")
    second.set_up().ok("sync", "pull")
    second.learn_row("s1", "second has learned this", 4)
    second.ok("sync", "push")
    first.learn_row("f1", "first has learned this", 4)
    ran = first("sync", "push")
    assert ran.code == 1 and "vex sync push  +1" in ran.out and "pull" in ran.err


# -- parts -------------------------------------------------------------------------------------------------------------


def test_a_push_of_a_part_never_overwrites_or_forgets_the_rest(first):
    first.ok("sync", "push")
    before = first.at_host()
    first.sql("UPDATE memories SET content = 'changed ' || id")
    first.sql("DELETE FROM memories WHERE id IN ('m0', 'm5')")
    first.learn_row("n9", "important", 9)
    first.learn_row("n1", "trivial", 1)
    first.ok("sync", "push", "--min-importance", "4")
    now = first.at_host()
    assert now == {**before, "m4": "changed m4", "n9": "important"}
    first.ok("sync", "push", "--namespace", "odd")
    now = first.at_host()
    assert now == {**before, "m1": "changed m1", "m3": "changed m3", "m4": "changed m4", "n9": "important"}
    first.ok("sync", "push", "--limit", "1")
    assert first.at_host() == {**now, "n1": "trivial"}


def test_what_was_left_out_is_shown_and_stays(first, second):
    first.ok("sync", "push", "--min-importance", "3")
    assert set(first.at_host()) == {"m3", "m4", "m5"}
    assert "not kept yet: 3 learned" in first.ok("sync", "status")
    lines = first.ok("sync", "diff").splitlines()
    assert [line[0] for line in lines] == ["+", "+", "+"]
    second.set_up().ok("sync", "pull")
    second.sql("UPDATE memories SET content = 'second says so' WHERE id = 'm4'")
    second.learn_row("s1", "second has learned this", 4)
    second.ok("sync", "push")
    first.ok("sync", "pull")
    assert set(first.rows()) == {"m0", "m1", "m2", "m3", "m4", "m5", "s1"} and first.rows()["m4"] == "second says so"
    assert "nothing to send" in first.ok("sync", "push", "--min-importance", "3")
    assert set(first.at_host()) == {"m3", "m4", "m5", "s1"}


def test_a_part_is_merged_with_what_others_sent(first, second):
    first.ok("sync", "push", "--min-importance", "3")
    second.set_up().ok("sync", "pull")
    second.sql("UPDATE memories SET content = 'second says so' WHERE id = 'm4'")
    second.ok("sync", "push")
    first.sql("UPDATE memories SET content = 'first says so' WHERE id = 'm3'")
    assert first("sync", "push", "--min-importance", "3").code == 1
    first.ok("sync", "pull")
    first.ok("sync", "push", "--min-importance", "3")
    assert first.at_host() == {"m3": "first says so", "m4": "second says so", "m5": "memory 5"}


def test_a_conflict_beside_memories_that_were_left_out(first, second):
    first.ok("sync", "push", "--min-importance", "3")
    second.set_up().ok("sync", "pull")
    second.sql("UPDATE memories SET content = 'second' WHERE id = 'm4'")
    second.ok("sync", "push")
    first.sql("UPDATE memories SET content = 'first' WHERE id = 'm4'")
    assert first("sync", "push", "--min-importance", "3").code == 1
    assert first("sync", "pull").code == 4
    first.ok("resolve", "m4", "--theirs")
    first.ok("merge", "--continue")
    assert first.rows()["m4"] == "second" and {"m0", "m1", "m2"} <= set(first.rows())
    first.ok("sync", "push", "--min-importance", "3")
    assert first.at_host() == {"m3": "memory 3", "m4": "second", "m5": "memory 5"}


def test_the_least_importance_can_be_set_once(first):
    first.ok("sync", "init", "--url", first.url, "--db", "agent.db", "--min-importance", "4")
    assert "importance 4 or more" in first.ok("sync", "status")
    dry = first.json("sync", "push", "--dry-run")
    assert dry["learned"] == 2 and dry["selection"]["min_importance"] == 4
    first.ok("sync", "push")
    assert set(first.at_host()) == {"m4", "m5"}
    first.ok("sync", "push", "--min-importance", "0")
    assert set(first.at_host()) == {"m0", "m1", "m2", "m3", "m4", "m5"}


def test_a_database_left_behind_by_a_merge_takes_nothing_back(first, second):
    first.ok("sync", "push")
    second.set_up().ok("sync", "pull")
    second.sql("UPDATE memories SET content = 'second says so' WHERE id = 'm4'")
    second.ok("sync", "push")
    first.ok("fetch", "sync")
    first.ok("merge", "sync/main", "--no-checkout")
    first.learn_row("f1", "first has learned this", 4)
    first.ok("sync", "push")
    assert first.rows()["m4"] == "second says so"
    assert first.at_host()["m4"] == "second says so" and "f1" in first.at_host()


# -- setting up --------------------------------------------------------------------------------------------------------


def test_it_works_from_anywhere_once_it_is_set_up(first, tmp_path):
    first.ok("sync", "push")
    first.learn_row("f1", "later", 4)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    before, first.folder = first.folder, elsewhere
    assert "1 learned" in first.ok("sync", "status")
    assert "f1" in first.ok("sync", "diff")
    first.ok("sync", "push", VEKTOR_DB=str(before / "agent.db"))
    assert first.json("sync", "status", "--offline")["not_kept"]["learned"] == 0
    assert "as last seen" in first.ok("sync", "status", "--offline")


def test_init_says_what_it_would_do_and_does_nothing(second, url, tmp_path):
    dry = second.ok("sync", "init", "--provider", "codeberg", "--owner", "alice", "--db", "agent.db", "--dry-run")
    assert "make a memory repository in" in dry and "https://codeberg.org/alice/vektor-backup.git" in dry
    assert list(second.folder.iterdir()) == []
    dry = second.json(
        "sync", "init", "--provider", "gitea", "--gitea-url", "https://git.example.com/", "--owner", "team", "--repo",
        "m.git", "--db", "agent.db", "--dry-run",
    )  # fmt: skip
    assert dry["url"] == "https://git.example.com/team/m.git"


def test_a_folder_that_is_missing_is_made(second, tmp_path):
    out = second.ok("sync", "init", "--url", str(tmp_path / "new.git"), "--db", "agent.db")
    assert "made an empty bare repository" in out and "Memory repository in" in out and "(new)" in out
    assert git("rev-parse", "--is-bare-repository", cwd=tmp_path / "new.git") == "true"
    again = second.ok("sync", "init", "--url", str(tmp_path / "new.git"), "--db", "agent.db")
    assert "Memory repository in" not in again


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        (["init", "--db", "agent.db"], 2, "--owner NAME"),
        (["init", "--owner", "a"], 2, "--db FILE"),
        (["init", "--owner", "a", "--db", "x.db", "--provider", "gitea"], 2, "--gitea-url"),
        (["init", "--owner", "a", "--db", "x.db", "--token", "hunter2"], 2, "VEX_TOKEN"),
        (["init", "--url", "x.git", "--owner", "a", "--db", "x.db"], 2, "stands in place of"),
        (["init", "--owner", "a", "--db", "x.db", "--gitea-url", "https://u:hunter2@h"], 2, "would hold a secret"),
        (["init", "--url", "https://u:hunter2@h/x.git", "--db", "x.db"], 2, "would hold a secret"),
        (["init", "--provider", "sourceforge", "--owner", "a"], 2, "is not one of"),
        (["push"], 2, "nothing is set up to be synced: vex sync init"),
        (["status"], 2, "nothing is set up"),
        (["pul"], 2, "did you mean pull?"),
        (["push", "--limit", "0"], 2, "--limit"),
    ],
)
def test_what_cannot_be_done_says_why(second, args, code, why):
    ran = second("sync", *args)
    assert ran.code == code and why in ran.err and "hunter2" not in ran.err + ran.out


def test_another_host_or_database_is_not_taken_in_its_place_by_accident(first, tmp_path):
    ran = first("sync", "init", "--url", str(tmp_path / "other.git"), "--db", "agent.db")
    assert ran.code == 1 and "remote-exists" in ran.err and "vex remote set-url sync" in ran.err
    ran = first("sync", "init", "--url", first.url, "--db", "second.db")
    assert ran.code == 1 and "repository-exists" in ran.err and "config set workspace.store" in ran.err


def test_a_host_that_is_away_is_said_and_the_rest_shown(first, tmp_path):
    first.ok("sync", "push")
    first.learn_row("f1", "later", 4)
    (tmp_path / "memory.git").rename(tmp_path / "away.git")
    ran = first("sync", "status")
    assert ran.code == 1 and "not kept yet: 1 learned" in ran.out and "host-missing" in ran.err
    found = json.loads(first("sync", "status", "--json").out)
    assert found["error"]["code"] == "host-missing" and found["as_last_seen"]
    assert first("sync", "diff").code == 1 and "f1" in first.ok("sync", "diff", "--offline")


def test_every_word_speaks_json(first):
    assert first.json("sync", "push")["commit"]["learned"] == 6
    assert first.json("sync", "push")["commit"] is None
    status = first.json("sync", "status")
    assert status["to_push"] == status["to_pull"] == 0 and status["error"] is None
    assert first.json("sync", "diff")["changes"] == []
    assert first.json("sync", "pull")["result"] == "up-to-date"
    assert first.json("sync", "pull", "--dry-run")["result"] in ("preview", "up-to-date")


# -- hosts' own interfaces ---------------------------------------------------------------------------------------------


@pytest.fixture
def forge() -> Iterator[FakeGitea]:
    """A Forgejo where alice has a token that may do all that is needed."""
    fake = FakeGitea()
    fake.tokens["alice-token"] = FakeToken("alice", {"write:repository", "write:user"})
    yield fake
    fake.close()


def test_the_private_repository_is_made_at_the_host(second, forge):
    given = ("sync", "init", "--provider", "gitea", "--gitea-url", forge.url, "--owner", "alice", "--db", "agent.db")
    out = second.ok(*given, VEX_TOKEN="alice-token")
    assert "made the private repository alice/vektor-backup" in out and "next: vex sync push" in out
    made = forge.find("alice", "vektor-backup")
    assert made is not None and made.visibility == "private"
    assert "is there and private" in second.ok(*given, VEX_TOKEN_SYNC="alice-token")
    remote = second.json("remote", "list")[0]
    assert remote == {"name": "sync", "url": f"{forge.url}/alice/vektor-backup.git", "provider": "gitea"}


def test_a_token_that_lacks_a_right_is_told_which_and_nothing_is_set_up(second, forge):
    forge.tokens["weak-token"] = FakeToken("alice", {"read:repository"})
    given = ("sync", "init", "--provider", "gitea", "--gitea-url", forge.url, "--owner", "alice", "--db", "agent.db")
    ran = second(*given, VEX_TOKEN="weak-token")
    assert ran.code == 1 and "with the scope" in ran.err and "weak-token" not in ran.err + ran.out
    assert list(second.folder.iterdir()) == []
    ran = second(*given)
    assert ran.code == 1 and "VEX_TOKEN" in ran.err and list(second.folder.iterdir()) == []


def test_a_repository_that_everybody_can_see_is_warned_of(second, forge):
    forge.add("alice", "open", visibility="public")
    ran = second(
        "sync", "init", "--provider", "gitea", "--gitea-url", forge.url, "--owner", "alice", "--repo", "open", "--db",
        "agent.db", VEX_TOKEN="alice-token",
    )  # fmt: skip
    assert ran.code == 0 and "is public" in ran.err and "make it private" in ran.err


def test_a_remote_can_be_made_with_its_repository(first, forge):
    url = f"{forge.url}/alice/memory.git"
    out = first.ok("remote", "add", "backup", url, "--provider", "gitea", "--create", VEX_TOKEN="alice-token")
    assert "made the private repository alice/memory" in out and "remote backup: " in out
    assert forge.find("alice", "memory") is not None
    ran = first(
        "remote", "add", "other", f"{forge.url}/bob/memory.git", "--provider", "gitea", "--create", VEX_TOKEN="x"
    )
    assert ran.code == 1 and "other" not in first.ok("remote", "list")
