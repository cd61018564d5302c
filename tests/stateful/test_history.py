"""Every command that changes history, driven at random against a model of plain dictionaries."""

import itertools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.property.strategies import QuickFiles, attempt
from vexrepo.history.ancestry import merge_bases
from vexrepo.history.fields import ABSENT, fields_of, is_same
from vexrepo.history.fields import Path as Path_
from vexrepo.history.policy import Policy
from vexrepo.history.walk import find_record, iter_records
from vexrepo.objects.digest import CommitId
from vexrepo.objects.record import make_key
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.remotes.stores.address import Address
from vexrepo.repository import Repository, Surroundings, conflicts, merging
from vexrepo.repository.blame import blame
from vexrepo.repository.collect import collect
from vexrepo.repository.mergestate import Resolution
from vexrepo.repository.restoring import reset, restore
from vexrepo.storage.oplog import BRANCHES

Contents = dict[str, dict[str, str]]  # id -> field -> value
NAMES = st.sampled_from("abcdef")
FIELDS = st.sampled_from(["text", "x", "y"])
BRANCH = st.sampled_from(["main", "one", "two"])
GONE: dict[str, str] = {}


def merged(base: Contents, ours: Contents, theirs: Contents, side: str | None) -> tuple[Contents, set[tuple[str, str]]]:
    """Return a merge of dictionaries and what is in conflict; ``side`` decides."""
    found: Contents = {}
    open_ones: set[tuple[str, str]] = set()
    for name in {*ours, *theirs}:
        was, mine, yours = base.get(name, GONE), ours.get(name, GONE), theirs.get(name, GONE)
        if mine == yours or yours == was:
            result = mine
        elif mine == was:
            result = yours
        elif not mine or not yours:
            if side is None:
                open_ones.add((name, ""))
            result = yours if side == "theirs" else mine
        else:
            result = {}
            for key in {*was, *mine, *yours}:
                values = [each.get(key) for each in (was, mine, yours)]
                value = values[1] if values[1] == values[2] or values[2] == values[0] else values[2]
                if len(set(values)) == 3 or (values[1] != values[2] and values[0] not in values[1:]):
                    if side is None:
                        open_ones.add((name, key))
                    value = values[2] if side == "theirs" else values[1]
                if value is not None:
                    result[key] = value
        if result:
            found[name] = result
    return found, open_ones


class HistoryMachine(RuleBasedStateMachine):
    """One repository, several branches, no live store but the file that is committed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="vex-test-"))
        self.clock = itertools.count(1_790_000_000_000_000, 1_000_000)
        self.path = self.folder / "agent.vmig.jsonl"
        around = Surroundings(self.clock.__next__, "tester", state_folder=self.folder / "state", files=QuickFiles())
        self.repository = Repository.init(self.folder, around, store=f"jsonl:{self.path}")
        self.commits: dict[CommitId, Contents] = {}

    def teardown(self) -> None:
        try:
            assert self.repository.check().problems == []
        finally:
            shutil.rmtree(self.folder)

    @property
    def head(self) -> CommitId:
        found = self.repository.view().commit
        assert found is not None
        return found

    def contents(self, commit: CommitId) -> Contents:
        root = self.repository.records_root(commit)
        assert root is not None
        found = {}
        for item in iter_records(self.repository.objects, root):
            value = item.to_json()
            found[value["id"]] = {"text": value["text"], **value.get("metadata", {})}
        return found

    def write(self, contents: Contents) -> None:
        lines = []
        for name, fields in contents.items():
            rest = {key: value for key, value in fields.items() if key != "text"}
            lines.append(json.dumps({"id": name, "text": fields["text"], "metadata": rest}) + "\n")
        self.path.write_text("".join(lines))
        self.path.with_name("agent.vmig.meta.json").write_text(json.dumps({"record_count": len(lines)}))

    def commit(self, contents: Contents) -> None:
        self.write(contents)
        made = self.repository.commit("m", store=Address("jsonl", str(self.path)), allow_empty=True).id
        assert made is not None
        self.commits[made] = contents

    def merge_under_way(self) -> bool:
        return (self.repository.folder / "merge.json").exists()

    @initialize(names=st.sets(NAMES, min_size=1))
    def first(self, names: set[str]) -> None:
        self.commit({name: {"text": "0", "x": "0"} for name in names})

    @precondition(lambda self: not self.merge_under_way())
    @rule(edits=st.lists(st.tuples(NAMES, FIELDS, st.integers(0, 3)), max_size=4), drop=st.sets(NAMES, max_size=2))
    def learn(self, edits: list[tuple[str, str, int]], drop: set[str]) -> None:
        contents = {name: dict(fields) for name, fields in self.commits[self.head].items() if name not in drop}
        for name, key, value in edits:
            contents.setdefault(name, {"text": "0"})[key] = str(value)
        self.commit(contents)

    @precondition(lambda self: not self.merge_under_way())
    @rule(name=BRANCH)
    def switch(self, name: str) -> None:
        view = self.repository.view()
        if BRANCHES + name in view.refs:
            self.repository.move_head(BRANCHES + name, view.refs[BRANCHES + name])
        elif view.branch != name:
            self.repository.create_branch(name, "HEAD", switch=True)

    @precondition(lambda self: not self.merge_under_way())
    @rule(name=BRANCH, side=st.sampled_from([None, "ours", "theirs", "keep"]))
    def merge(self, name: str, side: str | None) -> None:
        theirs = self.repository.view().refs.get(BRANCHES + name)
        if theirs is None:
            return
        ours = self.head
        bases = merge_bases(self.repository.commit_at, ours, theirs)
        policy = Policy(side if side in ("ours", "theirs") else "fail")
        result = merging.merge(self.repository, theirs, name, policy, keep_conflicts=side == "keep")
        if result.kind in ("up-to-date", "fast-forward"):
            assert self.commits[result.commit] == self.commits[theirs if result.kind == "fast-forward" else ours]
            return
        if len(bases) == 1:
            three = (self.commits[bases[0]], self.commits[ours], self.commits[theirs])
            wanted, open_ones = merged(*three, None if side == "keep" else side)
            found = {(each.key[2:].decode(), each.path[-1] if each.path else "") for each in result.outcome.conflicts}
            assert found == open_ones
            if not open_ones:
                assert self.contents(result.commit) == wanted
        if result.kind == "merged":
            if side == "keep":
                settled = result.commit
                if result.outcome.conflicts:
                    assert conflicts.committed_conflicts(self.repository, result.commit)
                    self.commits[result.commit] = {}
                    settled = conflicts.settle_committed(self.repository, lambda each: each.theirs, "settle")
                    assert not conflicts.committed_conflicts(self.repository, settled)
                    if len(bases) == 1:
                        assert self.contents(settled) == merged(*three, "theirs")[0]
                    self.commits[result.commit] = self.contents(result.commit)
                self.commits[settled] = self.contents(settled)
            else:
                self.commits[result.commit] = self.contents(result.commit)

    @precondition(lambda self: self.merge_under_way())
    @rule(choices=st.lists(st.sampled_from(["ours", "theirs", "base"]), min_size=12, max_size=12), drop=st.booleans())
    def finish(self, choices: list[Any], drop: bool) -> None:
        if drop:
            before = self.repository.view()
            merging.abort(self.repository)
            assert self.repository.view() == before
            return
        state, found = merging.conflicts(self.repository)
        assert found
        for number, conflict in enumerate(found):
            state = state.with_resolution(conflict, Resolution(choices[number % len(choices)]))
        assert merging.resolve(self.repository, state) == []
        result, code = attempt(lambda: merging.proceed(self.repository))
        assert code in ("", "nothing-to-commit")  # a revert or pick may be settled as nothing
        if result is not None:
            self.commits[result.commit] = self.contents(result.commit)

    @precondition(lambda self: not self.merge_under_way())
    @rule(number=st.integers(0, 50), back=st.booleans(), side=st.sampled_from(["ours", "theirs"]))
    def revert_or_pick(self, number: int, back: bool, side: str) -> None:
        commits = [each for each in self.commits if each in self.repository.objects]
        commit = commits[number % len(commits)]
        parents = self.repository.commit_at(commit).parents
        act = merging.revert if back else merging.cherry_pick
        before = self.commits[parents[0]] if parents else {}
        ours, after = self.commits[self.head], self.commits[commit]
        wanted, _ = merged(*((after, ours, before) if back else (before, ours, after)), side)
        result, code = attempt(lambda: act(self.repository, commit, "x", Policy(side)))
        assert code == ("bad-option" if len(parents) > 1 else "nothing-to-commit" if wanted == ours else "")
        if result is not None:
            assert self.contents(result.commit) == wanted
            self.commits[result.commit] = wanted

    @precondition(lambda self: not self.merge_under_way())
    @rule(number=st.integers(0, 50))
    def reset(self, number: int) -> None:
        commits = [each for each in self.commits if each in self.repository.objects]
        reset(self.repository, commits[number % len(commits)])

    @precondition(lambda self: not self.merge_under_way())
    @rule()
    def undo(self) -> None:
        before = self.repository.view()
        _, code = attempt(self.repository.undo)
        assert code in ("", "nothing-to-undo")
        if self.repository.view().commit is None:  # before the first commit there is nothing to merge
            with self.repository.lock():
                self.repository.record(before, "redo", "")

    @rule(name=NAMES)
    def blame(self, name: str) -> None:
        """Each field came with its commit: it has the value there, and no parent had it."""
        key = make_key("", name)
        if find_record(self.repository.objects, self.root(self.head), key) is None:
            return
        for origin in blame(self.repository, self.head, key).origins:
            assert is_same(self.field(origin.commit, key, origin.path), origin.value)
            for parent in self.repository.commit_at(origin.commit).parents:
                assert not is_same(self.field(parent, key, origin.path), origin.value)

    def root(self, commit: CommitId) -> TreeRoot:
        found = self.repository.records_root(commit)
        assert found is not None
        return found

    def field(self, commit: CommitId, key: bytes, path: Path_) -> Any:
        found = find_record(self.repository.objects, self.root(commit), key)
        return fields_of(found.record if found else None).get(path, ABSENT)

    @precondition(lambda self: not self.merge_under_way())
    @rule(name=NAMES, number=st.integers(0, 50))
    def restore(self, name: str, number: int) -> None:
        commits = [each for each in self.commits if each in self.repository.objects]
        commit = commits[number % len(commits)]
        if name not in self.commits[commit]:
            return
        self.write(self.commits[self.head])
        store = self.repository.workspace()
        restore(self.repository, commit, [make_key("", name)], store, force=True)
        held = {each["id"]: each["text"] for each in map(json.loads, self.path.read_text().splitlines())}
        wanted = {**self.commits[self.head], name: self.commits[commit][name]}
        assert held == {key: fields["text"] for key, fields in wanted.items()}

    @rule(days=st.sampled_from([0.0, 30.0]), full=st.booleans())
    def gc(self, days: float, full: bool) -> None:
        collect(self.repository, keep_days=days, full=full)

    @invariant()
    def every_ref_holds_what_the_model_says(self) -> None:
        for commit in self.repository.view().refs.values():
            if commit in self.commits:
                assert self.contents(commit) == self.commits[commit]


HistoryMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestHistory = HistoryMachine.TestCase
