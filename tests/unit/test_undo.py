"""The operation log: what is true after each operation, taken back one by one, all of it or nothing."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.strategies import QuickFiles, texts
from vexrepo.errors import InvalidData, StateError, StorageFailure, Tampered, UsageError
from vexrepo.objects.digest import CommitId, OperationId
from vexrepo.remotes.stores.address import Address
from vexrepo.repository import Repository, Surroundings
from vexrepo.storage.oplog import BRANCHES, TAGS, Operation, OperationLog, View

commit_ids = st.binary(min_size=32, max_size=32).map(CommitId)
views = st.builds(
    View,
    st.one_of(texts.map(lambda name: BRANCHES + name), commit_ids.map(CommitId.hex)),
    st.dictionaries(texts, commit_ids, max_size=3),
    st.dictionaries(texts, st.dictionaries(texts, texts | st.none(), max_size=2), max_size=2),
)
operations = st.builds(
    Operation,
    texts,
    st.integers(0, 2**53),
    st.none() | st.binary(min_size=32, max_size=32).map(OperationId),
    st.integers(0, 2**53),
    texts,
    texts,
    views,
    st.lists(texts, max_size=2),
    st.none() | st.binary(min_size=32, max_size=32).map(OperationId),
)


class Agent:
    """A repository and a file that is committed line by line."""

    def __init__(self, folder: Path, files: QuickFiles | None = None) -> None:
        clock = itertools.count(1_790_000_000_000_000, 1_000_000)
        self.store = Address("jsonl", str(folder / "agent.jsonl"))
        self.path = Path(self.store.location)
        self.around = Surroundings(clock.__next__, "tester", files=files or QuickFiles(), state_folder=folder / "state")
        self.repository = Repository.init(folder, self.around, store=str(self.store))
        self.heads: list[CommitId] = []

    def commit(self, name: str) -> CommitId:
        held = self.path.read_text() if self.path.exists() else ""
        self.path.write_text(held + f'{{"id":"{name}"}}\n')
        done = self.repository.commit(name).id
        assert done is not None
        self.heads.append(done)
        return done

    @property
    def head(self) -> CommitId | None:
        return self.repository.view().commit


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


def refused(code: str, action: Callable[[], Any]) -> str:
    with pytest.raises((StateError, UsageError, Tampered)) as caught:
        action()
    assert caught.value.code == code
    return str(caught.value)


@given(operations)
def test_an_operation_is_restored_from_its_bytes(operation: Operation) -> None:
    identifier, payload = operation.encode()
    assert Operation.decode(payload) == operation
    assert Operation.decode(payload).encode() == (identifier, payload)


@given(operations, st.sampled_from(["version", "view", "sequence", "parent", "packs"]))
def test_an_operation_of_another_shape_is_refused(operation: Operation, member: str) -> None:
    from vexrepo.objects import canonical

    value: Any = canonical.decode(operation.encode()[1])
    for other in ({**value, member: {"x": 1}}, {name: item for name, item in value.items() if name != member}):
        with pytest.raises((InvalidData, UsageError)):
            Operation.decode(canonical.encode(other))


@given(views, texts, commit_ids)
def test_a_view_is_changed_in_one_place_only(view: View, name: str, commit: CommitId) -> None:
    there = view.with_ref(name, commit)
    assert there.refs == {**view.refs, name: commit} and (there.head, there.stores) == (view.head, view.stores)
    assert there.with_ref(name, None).refs == {key: item for key, item in view.refs.items() if key != name}
    moved = view.with_commit(commit)
    assert moved.commit == commit
    assert (moved.head == view.head) == (view.branch is not None or view.head == commit.hex())


def test_undo_walks_back_to_the_beginning_and_no_further(agent: Agent) -> None:
    for name in "abc":
        agent.commit(name)
    for wanted in (agent.heads[1], agent.heads[0], None):
        operation, view = agent.repository.undo()
        assert operation.command == "commit"
        assert agent.head == view.commit == wanted
    refused("nothing-to-undo", agent.repository.undo)
    assert agent.head is None
    assert agent.repository.check().problems == []
    # Nothing is lost: every commit is still there under its id, and the log tells of all.
    for identifier in agent.heads:
        assert agent.repository.resolve(identifier.hex()[:12]) == identifier
    assert [operation.command for _, operation in agent.repository.log.walk()] == ["undo"] * 3 + ["commit"] * 3 + [
        "init"
    ]


def test_after_new_work_undo_takes_that_back_first_and_then_what_came_before_the_undone(agent: Agent) -> None:
    first, second = agent.commit("a"), agent.commit("b")
    agent.repository.undo()
    assert agent.head == first
    third = agent.commit("c")
    assert agent.repository.commit_at(third).parents == (first,)
    agent.repository.create_tag("t", "HEAD")
    agent.repository.undo()
    assert agent.repository.view().refs == {BRANCHES + "main": third}
    agent.repository.undo()
    assert agent.head == first
    agent.repository.undo()
    assert agent.head is None
    refused("nothing-to-undo", agent.repository.undo)
    assert second in {op.view.commit for _, op in agent.repository.log.walk()}


def test_undo_passes_over_what_only_noted_a_store(agent: Agent, tmp_path: Path) -> None:
    first = agent.commit("a")
    agent.commit("b")
    agent.path.write_text(agent.path.read_text() + "\n")
    refused("nothing-to-commit", lambda: agent.repository.commit("nothing"))
    agent.repository.checkout(first, Address("jsonl", str(tmp_path / "copy.jsonl")))
    assert agent.repository.log.current()[1].command == "checkout"
    agent.repository.undo()
    assert agent.head == first


def test_undo_passes_over_what_only_noted_a_remote_and_leaves_that_known(agent: Agent) -> None:
    first, second = agent.commit("a"), agent.commit("b")
    repository = agent.repository

    def note(**branches: CommitId) -> None:
        with repository.lock():
            repository.record(repository.view().with_tracking("backup", branches), "push", "backup")

    note(main=second, side=first)
    repository.undo()
    assert agent.head == first
    assert repository.view().tracking("backup") == {"main": second, "side": first}
    note()
    repository.restore_operation(next(i.hex() for i, op in repository.log.walk() if op.command == "push"))
    assert repository.view().tracking("backup") == {}
    repository.undo()
    assert agent.head is None
    assert repository.resolve(second.hex()) == second


def test_commits_of_a_remote_are_kept_by_gc_and_checked_by_fsck(agent: Agent) -> None:
    from vexrepo.repository.collect import collect

    first, second = agent.commit("a"), agent.commit("b")
    repository = agent.repository
    with repository.lock():
        view = repository.view().with_ref(BRANCHES + "main", first).with_tracking("backup", {"main": second})
        repository.record(view, "fetch", "backup")
    collect(repository, keep_days=-1, full=True)
    assert repository.resolve("backup/main") == repository.resolve("remotes/backup/main") == second
    report = repository.check()
    assert report.problems == [] and report.commits == 2


def test_undo_moves_refs_and_leaves_the_store_and_what_is_known_of_it(agent: Agent) -> None:
    agent.commit("a")
    agent.commit("b")
    before, seen = agent.path.read_bytes(), agent.repository.view().stores
    agent.repository.undo()
    assert agent.path.read_bytes() == before
    assert agent.repository.view().stores == seen
    found = agent.repository.status()
    assert (found.learned, found.changed, found.forgotten) == (1, 0, 0)
    # What the undone commit holds is safe, so a checkout may take it out of the store.
    assert agent.head is not None
    agent.repository.checkout(agent.head, agent.store)
    assert agent.repository.status().is_clean


def test_an_earlier_operation_is_restored_and_that_is_undone(agent: Agent) -> None:
    first = agent.commit("a")
    there = agent.repository.log.current_id()
    agent.repository.create_branch("side", "HEAD")
    second = agent.commit("b")
    agent.repository.restore_operation(there.hex()[:12])
    assert agent.repository.view().refs == {BRANCHES + "main": first}
    agent.repository.undo()
    assert agent.repository.view().refs == {BRANCHES + "main": second, BRANCHES + "side": first}
    for prefix in ("", there.hex()[:3], "nothex", "ffff" * 16, there.hex() + "0"):
        refused("unknown-operation", lambda prefix=prefix: agent.repository.restore_operation(prefix))


def test_a_branch_is_renamed_with_its_head_in_one_operation(agent: Agent) -> None:
    first = agent.commit("a")
    before = agent.repository.view()
    agent.repository.rename_branch("main", "trunk")
    after = agent.repository.view()
    assert (after.head, after.refs) == (BRANCHES + "trunk", {BRANCHES + "trunk": first})
    agent.repository.undo()
    assert agent.repository.view() == before
    refused("unknown-revision", lambda: agent.repository.rename_branch("nobody", "x"))
    agent.repository.create_branch("side", "HEAD")
    refused("ref-exists", lambda: agent.repository.rename_branch("main", "side"))
    refused("ref-exists", lambda: agent.repository.create_branch("side", "HEAD"))
    refused("ref-in-use", lambda: agent.repository.delete_ref(BRANCHES, "main"))
    refused("unknown-revision", lambda: agent.repository.delete_ref(TAGS, "side"))
    assert agent.repository.delete_ref(BRANCHES, "side") == first


class FailingFiles(QuickFiles):
    """Fails at one file operation."""

    left: int | None = None

    def step(self, name: str, path: Path) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise OSError(5, "stopped by the test")


def test_refs_move_together_or_not_at_all_wherever_it_stops(tmp_path: Path) -> None:
    files = FailingFiles()
    agent = Agent(tmp_path, files)
    agent.commit("a")
    before = agent.repository.view()
    after = replace(before, head=BRANCHES + "trunk", refs={BRANCHES + "trunk": agent.heads[0]})
    reached = set()
    for steps in range(100):
        files.left = steps
        try:
            agent.repository.rename_branch("main", "trunk")
            stopped = False
        except StorageFailure:
            stopped = True
        files.left = None
        again = Repository.open(tmp_path / ".vex", agent.around)
        view = again.view()
        assert view in (before, after)
        assert again.check().problems == []
        reached.add(view == after)
        if view == after:
            again.undo()
        if not stopped:
            break
    assert reached == {True, False}


def test_an_operation_on_an_outdated_log_is_refused(agent: Agent) -> None:
    identifier, operation = agent.repository.log.current()
    agent.commit("a")
    late = replace(operation, sequence=1, parent=identifier, command="late")
    refused("repository-locked", lambda: agent.repository.log.append(late))


def test_a_repository_rolled_back_as_a_whole_is_noticed(agent: Agent, tmp_path: Path) -> None:
    agent.commit("a")
    older = agent.repository.log.current_id()
    agent.commit("b")
    (tmp_path / ".vex" / "operation").write_bytes(older.hex().encode() + b"\n")
    refused("repository-rolled-back", lambda: Repository.open(tmp_path / ".vex", agent.around))
    opened = Repository.open(tmp_path / ".vex", agent.around, accept_rollback=True)
    opened.accept_rollback()
    assert Repository.open(tmp_path / ".vex", agent.around).view().commit == agent.heads[0]


@pytest.mark.parametrize("content", [b"", b"x" * 65, b"0" * 64, b"0" * 65, b"A" * 64 + b"\n", b"0" * 64 + b"\r\n"])
def test_a_damaged_pointer_is_told_of(agent: Agent, tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".vex" / "operation").write_bytes(content)
    refused("pointer-corrupt", agent.repository.view)


def test_a_damaged_or_missing_operation_is_told_of(agent: Agent, tmp_path: Path) -> None:
    agent.commit("a")
    path = tmp_path / ".vex" / "operations" / agent.repository.log.current_id().hex()
    raw = path.read_bytes()
    for content in (b"", raw[:-1], raw.replace(b"commit", b"Commit"), b"{}"):
        path.write_bytes(content)
        assert str(path) in refused("operation-corrupt", agent.repository.view)
    path.unlink()
    assert "missing" in refused("operation-corrupt", agent.repository.view)


def test_the_log_is_walked_from_the_newest_with_numbers_in_order(agent: Agent, tmp_path: Path) -> None:
    for name in "abcd":
        agent.commit(name)
    log = OperationLog(tmp_path / ".vex" / "operations", tmp_path / ".vex" / "operation", QuickFiles())
    walked = list(log.walk())
    assert [operation.sequence for _, operation in walked] == [4, 3, 2, 1, 0]
    assert [identifier for identifier, _ in walked[1:]] == [operation.parent for _, operation in walked[:-1]]
    assert len({operation.repository for _, operation in walked}) == 1
