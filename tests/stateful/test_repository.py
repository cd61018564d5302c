"""A repository over a live store, driven at random, against a model of dictionaries."""

import contextlib
import json
import os
import random
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.property.strategies import QuickFiles, plain, record_values
from vexrepo.errors import InvalidData, StateError, UsageError
from vexrepo.history.ancestry import is_ancestor
from vexrepo.history.walk import iter_records
from vexrepo.objects import record, tree
from vexrepo.objects.digest import CommitId
from vexrepo.objects.record import Record, split_key
from vexrepo.remotes.stores import vektor_schema
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.registry import open_store
from vexrepo.repository import Repository, Selection, Surroundings
from vexrepo.storage.oplog import BRANCHES, TAGS

Contents = dict[bytes, Record]
NAMES = st.sampled_from(["main", "try", "other"])
SPACES = st.sampled_from(["", "a", "b", "nowhere"])


def ids(contents: Contents) -> dict[bytes, bytes]:
    return {key: item.id for key, item in contents.items()}


class RepositoryMachine(RuleBasedStateMachine):
    """Rules are what agents and users do; the model says what each must do."""

    kind: ClassVar[str]
    ending: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(tree, "expected_records", lambda size: 16)  # several leaves even of a few records
        self.folder = Path(tempfile.mkdtemp(prefix="vex-test-"))
        self.time_us = 1_790_000_000_000_000
        self.around = Surroundings(self._now, "tester", state_folder=self.folder / "state", files=QuickFiles())
        self.workspace = self.address("agent")
        self.repository = Repository.init(self.folder, self.around, store=str(self.workspace))
        self.chance = random.Random(5)
        self.live: Contents = {}
        self.commits: dict[CommitId, Contents] = {}
        self.configured: dict[CommitId | None, bool] = {None: False}  # whether a commit knows the store's own schema
        self.head = BRANCHES + "main"
        self.refs: dict[str, CommitId] = {}
        self.seen: dict[str, CommitId] = {}
        self.undone: list[tuple[str, dict[str, CommitId]]] = [(self.head, {})]
        self.operations = [(self.repository.log.current_id(), self.undone[0])]

    def teardown(self) -> None:
        try:
            report = self.repository.check()
            assert report.problems == []
            assert report.commits <= len(self.commits)
        finally:
            self.patch.undo()
            shutil.rmtree(self.folder)

    # -- the two sides of a live store ---------------------------------------------------------------------------

    def address(self, name: str) -> Address:
        return Address(self.kind, str(self.folder / f"{name}{self.ending}"))

    def learn_live(self, value: dict[str, Any]) -> None:
        raise NotImplementedError

    def forget_live(self, item: Record) -> None:
        raise NotImplementedError

    def read(self, address: Address) -> Contents:
        with open_store(address, create=True) as store:
            found = [item.record for batch in store.scan() for item in batch]
        assert len({item.key for item in found}) == len(found)
        return {item.key: item for item in found}

    # -- the model -----------------------------------------------------------------------------------------------

    def _now(self) -> int:
        self.time_us += 1_000_000
        return self.time_us

    @property
    def commit_id(self) -> CommitId | None:
        return self.refs.get(self.head) if self.head.startswith(BRANCHES) else CommitId.parse(self.head)

    @property
    def held(self) -> Contents:
        return self.commits[self.commit_id] if self.commit_id is not None else {}

    def done(self) -> None:
        """Take note that an operation was recorded, if one was.  Undo passes over those that moved nothing."""
        state = (self.head, dict(self.refs))
        if self.repository.log.current_id() != self.operations[-1][0]:
            self.operations.append((self.repository.log.current_id(), state))
        if state != self.undone[-1]:
            self.undone.append(state)

    def refused(self, code: str, action: Callable[[], Any]) -> None:
        with pytest.raises((StateError, UsageError, InvalidData)) as caught:
            action()
        assert caught.value.code == code
        self.done()

    # -- rules: the agent ------------------------------------------------------------------------------------------

    @initialize(count=st.integers(0, 60))
    def begin(self, count: int) -> None:
        for number in range(count + 1):
            self.learn_live(plain(number, namespace=["", "a", "b"][number % 3]).to_json())

    @rule(value=record_values())
    def learn(self, value: dict[str, Any]) -> None:
        self.learn_live(value)

    @precondition(lambda self: self.live)
    @rule(seed=st.integers(0, 999), text=st.text(max_size=5), number=st.integers(-9, 9))
    def change(self, seed: int, text: str, number: int) -> None:
        value = self.some(seed).to_json()
        value["text"] = text
        if seed % 3 == 0:
            value["vector"] = [number / 2, 0.1]
            value.pop("dims", None)
        elif seed % 3 == 1:
            value["metadata"] = {"importance": number}
        self.learn_live(value)

    @precondition(lambda self: len(self.live) > 1)
    @rule(seed=st.integers(0, 999))
    def forget(self, seed: int) -> None:
        self.forget_live(self.some(seed))

    def some(self, seed: int) -> Record:
        return self.live[sorted(self.live)[seed % len(self.live)]]

    # -- rules: the user -------------------------------------------------------------------------------------------

    @rule()
    def commit(self) -> None:
        name = self.repository.store_name(self.workspace)
        if self.is_committed():
            assert self.commit_id is not None
            self.seen[name] = self.commit_id
            self.refused("nothing-to-commit", lambda: self.repository.commit("again"))
            return
        if self.is_left_behind():
            self.refused("store-behind", lambda: self.repository.commit("would take back", not_behind=True))
            return
        done = self.repository.commit("all", not_behind=True)
        assert done.id is not None
        old, new = ids(self.held), ids(self.live)
        assert done.tally.learned == len(new.keys() - old.keys())
        assert done.tally.forgotten == len(old.keys() - new.keys())
        assert done.tally.changed == sum(old[key] != new[key] for key in old.keys() & new.keys())
        self.committed(done.id, dict(self.live), True)
        self.seen[name] = done.id
        self.done()

    @rule(space=SPACES)
    def commit_a_namespace(self, space: str) -> None:
        chosen = {key: item for key, item in self.live.items() if split_key(key)[0] == space}
        after = {key: item for key, item in self.held.items() if split_key(key)[0] != space} | chosen
        action = lambda: self.repository.commit("part", selection=Selection(frozenset((space,))))  # noqa: E731
        if self.commit_id is not None and ids(after) == ids(self.held):
            self.refused("nothing-to-commit", action)
            return
        done = action()
        assert done.id is not None
        name = self.repository.store_name(self.workspace)
        if self.commit_id is None or self.seen.get(name) == self.commit_id:
            self.seen[name] = done.id
        self.committed(done.id, after, self.configured[self.commit_id])
        self.done()

    def is_left_behind(self) -> bool:
        """Whether the branch has moved on from where the workspace was last seen."""
        seen = self.seen.get(self.repository.store_name(self.workspace))
        if seen is None or self.commit_id in (None, seen):
            return False
        assert self.commit_id is not None
        return is_ancestor(self.repository.commit_at, seen, self.commit_id)

    def is_committed(self) -> bool:
        """Whether there is nothing to commit."""
        known = self.kind == "jsonl" or self.configured[self.commit_id]
        return self.commit_id is not None and known and ids(self.live) == ids(self.held)

    def committed(self, identifier: CommitId, contents: Contents, configured: bool) -> None:
        self.commits[identifier] = contents
        self.configured[identifier] = configured
        if self.head.startswith(BRANCHES):
            self.refs[self.head] = identifier
        else:
            self.head = identifier.hex()

    @rule()
    def commit_dryly(self) -> None:
        before = {path: path.stat().st_size for path in (self.repository.folder / "packs").iterdir()}
        with contextlib.suppress(StateError):
            assert self.repository.commit("not really", dry_run=True).id is None
        assert before == {path: path.stat().st_size for path in (self.repository.folder / "packs").iterdir()}
        self.done()

    @rule(name=NAMES, go=st.booleans())
    def branch(self, name: str, go: bool) -> None:
        action = lambda: self.repository.create_branch(name, "HEAD", switch=go)  # noqa: E731
        if BRANCHES + name in self.refs:
            self.refused("ref-exists", action)
            return
        if self.commit_id is None and not go:
            self.refused("unborn-branch", action)
            return
        action()
        if self.commit_id is not None:
            self.refs[BRANCHES + name] = self.commit_id
        if go:
            self.head = BRANCHES + name
        self.done()

    @precondition(lambda self: self.commit_id is not None)
    @rule(name=NAMES)
    def tag(self, name: str) -> None:
        self.repository.create_tag(name, "HEAD", force=True)
        assert self.commit_id is not None
        self.refs[TAGS + name] = self.commit_id
        self.done()

    @rule(name=NAMES, new=NAMES)
    def rename(self, name: str, new: str) -> None:
        action = lambda: self.repository.rename_branch(name, new)  # noqa: E731
        if BRANCHES + new in self.refs:
            self.refused("ref-exists", action)
        elif BRANCHES + name not in self.refs and self.head != BRANCHES + name:
            self.refused("unknown-revision", action)
        else:
            action()
            if BRANCHES + name in self.refs:
                self.refs[BRANCHES + new] = self.refs.pop(BRANCHES + name)
            if self.head == BRANCHES + name:
                self.head = BRANCHES + new
            self.done()

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        action = lambda: self.repository.delete_ref(BRANCHES, name)  # noqa: E731
        if BRANCHES + name not in self.refs:
            self.refused("unknown-revision", action)
        elif self.head == BRANCHES + name:
            self.refused("ref-in-use", action)
        else:
            assert action() == self.refs.pop(BRANCHES + name)
            self.done()

    @precondition(lambda self: self.refs)
    @rule(seed=st.integers(0, 99), force=st.booleans(), dry=st.booleans())
    def switch(self, seed: int, force: bool, dry: bool) -> None:
        name = sorted(self.refs)[seed % len(self.refs)]
        target = self.refs[name]
        head = name if name.startswith(BRANCHES) else target.hex()
        self.check_out(target, self.workspace, self.live, force, dry, head)
        # What was checked out is what a commit would find.
        if self.head == head and self.is_committed() and not dry:
            self.refused("nothing-to-commit", lambda: self.repository.commit("nothing"))

    def check_out(
        self, target: CommitId, address: Address, present: Contents, force: bool, dry: bool, head: str | None
    ) -> None:
        name = self.repository.store_name(address)
        safe = set(ids(self.commits[target]).values()) | set(ids(self.held).values())
        if name in self.seen:
            safe |= set(ids(self.commits[self.seen[name]]).values())
        action = lambda: self.repository.checkout(target, address, force=force, dry_run=dry, head=head)  # noqa: E731
        if not force and not dry and any(item.id not in safe for item in present.values()):
            self.refused("unsaved-changes", action)
            assert ids(self.read(address)) == ids(present)
            return
        done = action()
        old, new = ids(present), ids(self.commits[target])
        assert done.outflow.added == len(new.keys() - old.keys())
        assert done.outflow.removed == len(old.keys() - new.keys())
        assert done.outflow.changed == sum(old[key] != new[key] for key in old.keys() & new.keys())
        if dry:
            assert ids(self.read(address)) == old
            return
        assert ids(self.read(address)) == new
        self.seen[name] = target
        if address == self.workspace:
            self.live = dict(self.commits[target])
        if head is not None:
            self.head = head
        self.done()

    @precondition(lambda self: self.commits)
    @rule(seed=st.integers(0, 99))
    def check_out_to_another_store(self, seed: int) -> None:
        target = sorted(self.commits)[seed % len(self.commits)]
        other = self.address("copy")
        self.check_out(target, other, self.read(other), False, False, None)

    @precondition(lambda self: self.commit_id is not None and "b" in {split_key(key)[0] for key in self.held})
    @rule()
    def check_out_a_namespace(self) -> None:
        assert self.commit_id is not None
        self.repository.checkout(self.commit_id, self.workspace, selection=Selection(frozenset("b")), force=True)
        wanted = {key: item for key, item in self.live.items() if split_key(key)[0] != "b"}
        wanted |= {key: item for key, item in self.held.items() if split_key(key)[0] == "b"}
        assert ids(self.read(self.workspace)) == ids(wanted)
        self.live = wanted
        self.done()

    @rule()
    def undo(self) -> None:
        if len(self.undone) == 1:
            self.refused("nothing-to-undo", self.repository.undo)
            return
        self.repository.undo()
        self.undone.pop()
        self.head, self.refs = self.undone[-1][0], dict(self.undone[-1][1])
        self.done()

    @rule(seed=st.integers(0, 99))
    def restore_an_operation(self, seed: int) -> None:
        identifier, state = self.operations[seed % len(self.operations)]
        self.repository.restore_operation(identifier.hex())
        self.head, self.refs = state[0], dict(state[1])
        self.done()

    @rule()
    def reopen(self) -> None:
        self.repository.objects.close()
        self.repository = Repository.open(self.folder / ".vex", self.around)

    @rule()
    def fsck(self) -> None:
        assert self.repository.check().problems == []

    @rule()
    def status(self) -> None:
        found = self.repository.status()
        old, new = ids(self.held), ids(self.live)
        assert (found.learned, found.forgotten) == (len(new.keys() - old.keys()), len(old.keys() - new.keys()))
        assert found.changed == sum(old[key] != new[key] for key in old.keys() & new.keys())

    @precondition(lambda self: len(self.commits) > 1)
    @rule(first=st.integers(0, 99), second=st.integers(0, 99))
    def diff(self, first: int, second: int) -> None:
        every = sorted(self.commits)
        one, two = every[first % len(every)], every[second % len(every)]
        old, new = ids(self.commits[one]), ids(self.commits[two])
        found = {
            change.key: (change.old and change.old.id, change.new and change.new.id)
            for change in self.repository.diff(one, two)
        }
        assert found == {k: (old.get(k), new.get(k)) for k in {*old, *new} if old.get(k) != new.get(k)}

    # -- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def refs_are_those_of_the_model(self) -> None:
        view = self.repository.view()
        assert (view.head, view.refs) == (self.head, self.refs)

    @invariant()
    def every_snapshot_holds_what_was_committed(self) -> None:
        for identifier in {*self.refs.values(), *([self.commit_id] if self.commit_id else [])}:
            root = self.repository.records_root(identifier)
            assert root is not None
            found = list(iter_records(self.repository.objects, root))
            assert found == [self.commits[identifier][key] for key in sorted(self.commits[identifier])]


class JsonlMachine(RepositoryMachine):
    """The workspace is a file that the agent writes anew at every change, in any order and spacing."""

    kind = "jsonl"
    ending = ".vmig.jsonl"

    def learn_live(self, value: dict[str, Any]) -> None:
        item = record.from_json(json.loads(json.dumps(value)))
        self.write({**self.live, item.key: item})

    def forget_live(self, item: Record) -> None:
        self.write({key: held for key, held in self.live.items() if key != item.key})

    def write(self, contents: Contents) -> None:
        lines = [json.dumps(item.to_json(), ensure_ascii=self.chance.random() < 0.5) for item in contents.values()]
        if self.chance.random() < 0.3:
            self.chance.shuffle(lines)
        path = Path(self.workspace.location)
        scratch = path.with_suffix(".new")
        scratch.write_text("\n".join(lines) + self.chance.choice(["", "\n", "\r\n", "\n\n"]), "utf-8", newline="")
        os.utime(scratch, ns=(self._now(), self._now()))
        scratch.replace(path)
        self.live = contents


class VektorMachine(RepositoryMachine):
    """The workspace is a database that the agent edits with SQL of its own."""

    kind = "vektor"
    ending = ".db"

    def __init__(self) -> None:
        super().__init__()
        with contextlib.closing(sqlite3.connect(self.workspace.location)) as db:
            for statement in vektor_schema.NEWEST.values():
                db.execute(statement)
            db.commit()

    def run(self, statement: str, *values: Any) -> None:
        with contextlib.closing(sqlite3.connect(self.workspace.location)) as db:
            db.execute(statement, values)
            db.commit()
        self.live = self.read(self.workspace)

    def learn_live(self, value: dict[str, Any]) -> None:
        space, name = value.get("namespace") or "default", value["id"]
        numbers = value.get("vector")
        if not (isinstance(numbers, list) and numbers and isinstance(numbers[0], float)):
            numbers = [0.5, 0.25]
        if not all(abs(item) < 1e30 for item in numbers):
            numbers = [1.5]
        blob = struct.pack(f"<{len(numbers)}f", *numbers)
        text = str(value.get("text") or "")
        with contextlib.closing(sqlite3.connect(self.workspace.location)) as db:
            held = db.execute("SELECT 1 FROM memories WHERE id = ? AND namespace IS ?", (name, space)).fetchall()
        if held:
            self.run(
                "UPDATE memories SET content = ?, vector = ? WHERE id = ? AND namespace IS ?", text, blob, name, space
            )
        else:
            self.run(
                "INSERT INTO memories (id, content, vector, namespace) VALUES (?, ?, ?, ?)", name, text, blob, space
            )

    def forget_live(self, item: Record) -> None:
        space, name = split_key(item.key)
        self.run("DELETE FROM memories WHERE id = ? AND namespace IS ?", name, space)


TestJsonl = JsonlMachine.TestCase
TestJsonl.settings = settings(max_examples=70, stateful_step_count=40, deadline=None)
TestVektor = VektorMachine.TestCase
TestVektor.settings = settings(max_examples=45, stateful_step_count=40, deadline=None)
