"""Revisions: what a user types names the right commit, or is refused with a reason."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.strategies import QuickFiles, attempt
from vexrepo.errors import UsageError
from vexrepo.history import revision
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import CommitId, SnapshotId
from vexrepo.objects.kinds import ObjectType
from vexrepo.repository import Repository, Surroundings
from vexrepo.storage.oplog import BRANCHES, TAGS

NOON = int(datetime(2026, 11, 20, 12, 0, tzinfo=UTC).timestamp())
HOUR, DAY = 3600, 86400


class Story:
    """A repository whose clock is set by hand, with commits that need no store.

    main: one ← two ← merge ← last; side: one ← side; merge has the parents two and side.
    """

    def __init__(self, folder: Path) -> None:
        self.now = NOON - 10 * DAY
        self.repository = Repository.init(folder, Surroundings(lambda: self.now * 1_000_000, files=QuickFiles()))
        self.at(days_ago=3)
        self.one = self.commit("one")
        self.repository.create_branch("side", "HEAD")
        self.at(days_ago=2)
        self.two = self.commit("two", self.one)
        self.at(hours_ago=30)
        self.side = self.commit("side", self.one, branch="side")
        self.at(hours_ago=5)
        self.merge = self.commit("merge", self.two, self.side)
        self.repository.create_tag("v1", "HEAD")
        self.at(hours_ago=1)
        self.last = self.commit("last", self.merge)
        self.at()

    def at(self, days_ago: float = 0, hours_ago: float = 0) -> None:
        self.now = int(NOON - days_ago * DAY - hours_ago * HOUR)

    def commit(self, message: str, *parents: CommitId, branch: str = "main") -> CommitId:
        repository = self.repository
        with repository.lock(), repository.objects.writer() as writer:
            commit = Commit(SnapshotId(bytes(32)), parents, {"name": "x"}, self.now * 1_000_000, message)
            identifier = repository.write_commit(writer, commit)
            packs = writer.finish()
            repository.record(repository.view().with_ref(BRANCHES + branch, identifier), "commit", message, packs)
        return identifier

    def names(self, text: str) -> str:
        """The message of the commit a revision names, or the code of the refusal."""
        try:
            return self.repository.commit_at(self.repository.resolve(text)).message
        except UsageError as error:
            return error.code


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("HEAD", "last"), ("@", "last"), ("main", "last"), ("heads/main", "last"), ("", "last"),
        ("side", "side"), ("heads/side", "side"), ("v1", "merge"), ("tags/v1", "merge"),
        ("HEAD~", "merge"), ("HEAD~1", "merge"), ("HEAD~0", "last"), ("HEAD~2", "two"), ("@~3", "one"), ("~2", "two"),
        ("HEAD^", "merge"), ("HEAD^^", "two"), ("HEAD^0", "last"), ("HEAD^^2", "side"), ("HEAD~1^2", "side"),
        ("v1^2", "side"), ("v1^1", "two"), ("v1^2^", "one"), ("v1^2~1", "one"), ("HEAD~~", "two"), ("main~1^1", "two"),
        ("HEAD~4", "unknown-revision"), ("HEAD^2", "unknown-revision"), ("v1^3", "unknown-revision"),
        ("HEAD~99999999999999999999", "unknown-revision"), ("HEAD^99999999999999999999", "unknown-revision"),
        ("side~2", "unknown-revision"), ("nobody", "unknown-revision"), ("heads/v1", "unknown-revision"),
        ("HEAD~x", "unknown-revision"), ("HEAD~-1", "unknown-revision"), ("HEAD^x", "unknown-revision"),
        ("HEAD@", "unknown-revision"), ("HEAD@{", "unknown-revision"), ("HEAD~1@{1}", "unknown-revision"),
        ("main side", "unknown-revision"), ("MAIN", "unknown-revision"), ("head", "unknown-revision"),
        ("HEAD~²", "unknown-revision"), ("HEAD\n", "unknown-revision"), ("abcdef\n", "unknown-revision"),
        ("abcde\n", "unknown-revision"), ("\ud800", "unknown-revision"), ("main~1\n", "unknown-revision"),
    ],
)  # fmt: skip
def test_a_revision_walks_from_a_name(story: Story, text: str, wanted: str) -> None:
    assert story.names(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("@{0}", "last"), ("@{1}", "merge"), ("HEAD@{2}", "two"), ("main@{3}", "one"), ("main@{4}", "unknown-revision"),
        ("side@{0}", "side"), ("side@{1}", "one"), ("side@{2}", "unknown-revision"), ("v1@{0}", "merge"),
        ("@{1}~1", "two"), ("@{1}^2", "side"), ("main@{now}", "last"), ("@{today}", "last"),
        ("@{yesterday}", "two"), ("main@{yesterday}", "two"), ("side@{yesterday}", "side"),
        ("@{2 days ago}", "two"), ("@{3 days ago}", "one"), ("@{2.days.ago}", "two"), ("@{1 hour ago}", "last"),
        ("@{2 hours ago}", "merge"), ("@{90 minutes ago}", "merge"), ("@{1 week ago}", "unknown-revision"),
        ("@{0 seconds ago}", "last"), ("@{1 month ago}", "unknown-revision"), ("side@{30 hours ago}", "side"),
        ("side@{31 hours ago}", "one"), ("@{2026-11-18}", "two"), ("@{2026-11-17}", "one"),
        ("@{2026-11-20}", "last"), ("@{2026-11-20T11:00}", "last"), ("@{2026-11-20T10:59:59}", "merge"),
        ("@{2026-11-20T12:00+01:00}", "last"), ("@{2026-11-20T11:30+01:00}", "merge"),
        ("@{2026-11-16}", "unknown-revision"),
        ("@{2026-11-20 07:30}", "merge"), ("@{9999-12-31}", "last"), ("@{0001-01-01}", "unknown-revision"),
        ("v1@{yesterday}", "unknown-revision"), ("nobody@{1}", "unknown-revision"), ("@{}", "unknown-revision"),
        ("@{soon}", "unknown-revision"), ("@{²}", "unknown-revision"), ("@{1e3}", "unknown-revision"),
        ("@{99999999999999999999}", "unknown-revision"), ("@{99999999999999999999 days ago}", "unknown-revision"),
        ("@{999999999 years ago}", "unknown-revision"), ("@{-1}", "unknown-revision"),
        ("@{2026-13-01}", "unknown-revision"),
        ("@{٣}", "unknown-revision"), ("@{1}@{1}", "unknown-revision"), ("@{\ud800}", "unknown-revision"),
    ],
)  # fmt: skip
def test_a_revision_looks_back_in_the_log(story: Story, text: str, wanted: str) -> None:
    assert story.names(text) == wanted


def test_commits_are_named_by_the_start_of_their_id(story: Story) -> None:
    for identifier in (story.one, story.two, story.side, story.merge, story.last):
        text = identifier.hex()
        for size in (7, 12, 40, 64):
            assert story.repository.resolve(text[:size]) == identifier
            assert story.repository.resolve(text[:size].upper()) == identifier
        assert story.names(text[:3]) == "unknown-revision"
        assert story.names(text + "0") == "unknown-revision"
        assert story.names(text[:12] + "@{1}") == "unknown-revision"
    assert story.names(story.last.hex()[:12] + "~2") == "two"
    assert story.names("0" * 64) == "unknown-revision"


def test_the_start_of_several_ids_is_refused_and_the_choices_named(story: Story) -> None:
    seen: dict[str, CommitId] = {}
    for number in range(2000):
        payload = Commit(SnapshotId(bytes(32)), (), {"name": "x"}, number, "twin").encode()
        start = payload[0].hex()[:4]
        if start in seen:
            break
        seen[start] = payload[0]
    twins = [Commit(SnapshotId(bytes(32)), (), {"name": "x"}, at, "twin") for at in range(number + 1)]
    chosen = [twin for twin in twins if twin.encode()[0].hex().startswith(start)]
    for twin in chosen:
        with story.repository.objects.writer() as writer:
            writer.put(ObjectType.COMMIT, *twin.encode())
            writer.finish()
    with pytest.raises(UsageError) as caught:
        story.repository.resolve(start)
    assert caught.value.code == "ambiguous-revision"
    for twin in chosen:
        assert twin.encode()[0].hex()[:12] in str(caught.value)
        assert story.repository.resolve(twin.encode()[0].hex()[:20]) == twin.encode()[0]


def test_a_name_comes_before_an_id_and_a_branch_before_a_tag(story: Story) -> None:
    with story.repository.lock():
        view = story.repository.view().with_ref(TAGS + "both", story.one).with_ref(BRANCHES + "both", story.two)
        view = view.with_ref(BRANCHES + story.last.hex()[:8], story.one)
        story.repository.record(view, "branch", "x")
    assert story.names("both") == "two"
    assert story.names("tags/both") == "one"
    assert story.names(story.last.hex()[:8]) == "one"


def test_a_branch_of_a_remote_is_named_after_it_and_comes_last(story: Story) -> None:
    with story.repository.lock():
        view = story.repository.view().with_tracking("backup", {"main": story.one, "deep/er": story.side})
        story.repository.record(view, "fetch", "backup")
    assert story.names("backup/main") == story.names("remotes/backup/main") == "one"
    assert story.names("backup/deep/er^") == "one" and story.names("main") == "last"
    assert story.names("backup/main@{0}") == "one"
    with pytest.raises(UsageError, match="did you mean backup/main"):
        story.repository.resolve("backup/mein")
    with story.repository.lock():
        story.repository.record(view.with_ref(BRANCHES + "backup/main", story.two), "branch", "x")
    assert story.names("backup/main") == "two"


@pytest.mark.parametrize("name", ["a/b", "", "-x", "..", "HEAD", "beef"])
def test_a_name_that_no_remote_can_have_is_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        revision.check_remote_name(name)
    assert caught.value.code == "ref-name"


def test_messages_name_the_nearest_name_and_where_history_ends(story: Story) -> None:
    for text, words in [
        ("mian", ["did you mean main"]),
        ("HEAD~9", ["commits back", story.one.short]),
        ("HEAD^2", ["1 parent,", story.last.short]),
        ("@{9}", ["4 values"]),
        ("@{1 year ago}", ["2026-11-17"]),
        ("@{soon}", ["yesterday"]),
    ]:
        with pytest.raises(UsageError) as caught:
            story.repository.resolve(text)
        for word in words:
            assert word in str(caught.value)


def test_a_branch_without_commits_says_so(tmp_path: Path) -> None:
    repository = Repository.init(tmp_path, Surroundings(lambda: 1, files=QuickFiles()))
    for text in ("HEAD", "@", "main", "HEAD~1", ""):
        with pytest.raises(UsageError) as caught:
            repository.resolve(text)
        assert caught.value.code == "unborn-branch"
    with pytest.raises(UsageError) as caught:
        repository.resolve("HEAD@{0}")
    assert caught.value.code == "unknown-revision"


def test_a_detached_head_is_where_it_was_put(story: Story) -> None:
    with story.repository.lock():
        story.repository.record(story.repository.view().with_head(story.two.hex()), "checkout", "x")
    assert (story.names("HEAD"), story.names("HEAD~1"), story.names("@{1}")) == ("two", "one", "last")
    assert story.names("main") == "last"


def test_history_comes_newest_first_and_never_a_parent_before_its_child(story: Story) -> None:
    def messages(start: CommitId) -> list[str]:
        return [commit.message for _, commit in story.repository.history(start)]

    assert messages(story.last) == ["last", "merge", "side", "two", "one"]
    story.now -= 1000 * DAY  # a clock that was wrong
    late = story.commit("late", story.last)
    assert messages(late) == ["late", "last", "merge", "side", "two", "one"]


@pytest.mark.parametrize(
    "name",
    ["", "HEAD", "@", "-x", ".x", "/x", "x/", "x.", "a..b", "a b", "a~b", "a^b", "a:b", "a?b", "a*b", "a[b", "a\\b",
     "a@{b", "a//b", "x.lock", "a\nb", "a\x7fb", "\0", "dead", "deadbeef", "0" * 64, "a\n", "dead\n"],
)  # fmt: skip
def test_a_name_that_could_be_mistaken_is_refused(story: Story, name: str) -> None:
    for action in (story.repository.create_branch, story.repository.create_tag):
        with pytest.raises(UsageError) as caught:
            action(name, "HEAD")
        assert caught.value.code == "ref-name"


@pytest.mark.parametrize("name", ["x", "try/again", "émile", "潮", "a-b_c.d", "abc", "v1.0", "a@b", "deadline", "x{1}"])
def test_any_other_name_is_taken_and_found_again(story: Story, name: str) -> None:
    story.repository.create_branch(name, "HEAD~1")
    assert story.names(name) == "merge"
    assert story.names(name + "~1") == "two"
    assert story.names(name + "@{0}") == "merge"


@given(text=st.text(st.sampled_from("HEADmainv1side~^@{}0123456789abcdef yesterdaygo-:\n²٣\ud800"), max_size=16))
def test_no_text_is_more_than_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    story = _kept(lambda: Story(tmp_path_factory.mktemp("story")))
    found, code = attempt(lambda: story.repository.resolve(text))
    assert code in ("", "unknown-revision", "ambiguous-revision")
    if found is not None:
        assert story.repository.commit_at(found).message in ("one", "two", "side", "merge", "last")


_stories: list[Story] = []


def _kept(make: Callable[[], Story]) -> Story:
    if not _stories:
        _stories.append(make())
    return _stories[0]


@given(st.integers(0, 2 * 10**15), st.integers(0, 10**6), st.sampled_from(sorted(revision._SECONDS)))
def test_times_ago_count_back_from_now(now_us: int, count: int, unit: str) -> None:
    wanted = now_us - count * revision._SECONDS[unit] * 1_000_000
    for text in (f"{count} {unit} ago", f"{count}.{unit}s.ago", f" {count} {unit.upper()}S AGO "):
        assert revision.parse_time(text, now_us) == wanted


@given(st.datetimes().filter(lambda found: 1 < found.year < 9999), st.text(max_size=12))
def test_a_time_is_what_iso_says_or_is_refused(moment: datetime, noise: str) -> None:
    wanted: Any = moment.replace(tzinfo=UTC)
    assert revision.parse_time(moment.isoformat(), 0) == pytest.approx(wanted.timestamp() * 1e6, abs=2)
    day = wanted.replace(hour=23, minute=59, second=59, microsecond=999_999)
    assert revision.parse_time(moment.date().isoformat(), 0) == pytest.approx(day.timestamp() * 1e6, abs=2)
    found, code = attempt(lambda: revision.parse_time(noise, 0))
    assert code == "unknown-revision" if found is None else isinstance(found, int)
