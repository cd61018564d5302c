"""Two clones and a host, driven at random, against a model of plain dictionaries."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.hosting.team import PASSPHRASE, REMOTE, Machine, Team, reach_to, refusal
from vexrepo.history.ancestry import is_ancestor
from vexrepo.history.policy import Policy
from vexrepo.objects.digest import CommitId
from vexrepo.repository.collect import collect
from vexrepo.repository.hostcare import check_host, compact_host, rekey_host
from vexrepo.storage.oplog import BRANCHES, TAGS

WHO = st.integers(0, 1)
NAMES = st.sampled_from(["main", "one", "two"])
IDS = st.sampled_from(["a", "b", "c", "d", "e"])
Texts = dict[str, str]


class RemotesMachine(RuleBasedStateMachine):
    """The model: branches of each machine, what each saw of the host, the refs of the host, contents by commit."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="vex-test-"))
        self.team = Team(self.folder)
        self.passphrase = PASSPHRASE
        self.contents: dict[CommitId, Texts] = {}
        self.refs: list[dict[str, CommitId]] = [{}, {}]  # branches and tags of each machine
        self.head = ["main", "main"]
        self.seen: list[dict[str, CommitId]] = [{}, {}]
        self.host: dict[str, CommitId] = {}
        self.count = 0

    def teardown(self) -> None:
        try:
            for machine in self.team.machines:
                assert machine.is_sound()
            if self.host:
                one = self.team.machines[0]
                assert check_host(one.repository, REMOTE, one.reach, read_data=True).problems == []
                last = self.team.machine()
                last.reach = reach_to(self.team.connect, self.passphrase)
                last.clone()
                for name, commit in self.branches(self.host).items():
                    assert last.tracking()[name] == commit and last.texts(commit) == self.contents[commit]
        finally:
            shutil.rmtree(self.folder)

    @staticmethod
    def branches(refs: dict[str, CommitId]) -> dict[str, CommitId]:
        return {name[len(BRANCHES) :]: commit for name, commit in refs.items() if name.startswith(BRANCHES)}

    def machine(self, who: int) -> Machine:
        return self.team.machines[who]

    def at(self, who: int) -> CommitId:
        return self.refs[who][BRANCHES + self.head[who]]

    def comes_after(self, who: int, old: CommitId, new: CommitId) -> bool:
        repository = self.machine(who).repository
        return old in repository.objects and is_ancestor(repository.commit_at, old, new)

    @initialize()
    def begin(self) -> None:
        one = self.team.machine().init()
        made = one.commit(**{f"k{number}": f"text {number} of the beginning" for number in range(30)})
        self.contents[made] = one.texts()
        self.refs[0][BRANCHES + "main"] = made
        one.push()
        self.host[BRANCHES + "main"] = made
        self.seen[0]["main"] = made
        self.team.machine().clone()
        self.refs[1][BRANCHES + "main"] = made
        self.seen[1]["main"] = made

    # -- work at one machine ---------------------------------------------------------------------------------------

    @rule(who=WHO, name=IDS, forget=st.booleans())
    def commit(self, who: int, name: str, forget: bool) -> None:
        machine = self.machine(who)
        self.count += 1
        name = f"{name}{who}"  # ids of their own, so that merges have no conflicts
        made = machine.commit(name) if forget else machine.commit(**{name: f"version {self.count} of {name}"})
        self.contents[made] = machine.texts()
        self.refs[who][BRANCHES + self.head[who]] = made

    @rule(who=WHO, name=IDS)
    def commit_and_push(self, who: int, name: str) -> None:
        self.commit(who, name, forget=False)
        self.push(who, force=False)

    @rule(who=WHO, name=NAMES)
    def branch(self, who: int, name: str) -> None:
        machine = self.machine(who)
        if BRANCHES + name in self.refs[who]:
            machine.switch(name)
        else:
            machine.branch(name)
            self.refs[who][BRANCHES + name] = self.at(who)
        self.head[who] = name
        machine.read()

    @rule(who=WHO)
    def tag(self, who: int) -> None:
        self.machine(who).repository.create_tag(f"t{who}", "HEAD", force=True)
        self.refs[who][f"{TAGS}t{who}"] = self.at(who)

    @rule(who=WHO)
    def undo_a_commit(self, who: int) -> None:
        machine = self.machine(who)
        parents = machine.repository.commit_at(self.at(who)).parents
        if parents and refusal(lambda: machine.repository.resolve("HEAD~1")) == "":
            from vexrepo.repository.restoring import reset

            reset(machine.repository, parents[0])
            self.refs[who][BRANCHES + self.head[who]] = parents[0]
            machine.read()

    @rule(who=WHO)
    def gc(self, who: int) -> None:
        collect(self.machine(who).repository, keep_days=-1, full=True)

    @rule(who=WHO)
    def drop_caches(self, who: int) -> None:
        shutil.rmtree(self.machine(who).repository.folder / "cache", ignore_errors=True)

    # -- with the host ---------------------------------------------------------------------------------------------

    def push_refs(self, who: int, wanted: dict[str, CommitId | None], *, force: bool) -> str:
        """The code with which the model says a push is refused, "" where it is done (and then noted)."""
        for name, new in wanted.items():
            old = self.host.get(name)
            if old is None or old == new:
                continue
            is_branch = name.startswith(BRANCHES)
            if is_branch and new is not None and self.comes_after(who, old, new):
                continue
            if not force and new is not None:
                return "not-fast-forward"
            known = self.seen[who].get(name[len(BRANCHES) :]) if is_branch else None
            if (is_branch and known != old) or (not is_branch and old not in self.machine(who).repository.objects):
                return "host-moved"
        for name, new in wanted.items():
            short = name[len(BRANCHES) :]
            if new is None:
                self.host.pop(name, None)
            else:
                self.host[name] = new
            if name.startswith(BRANCHES):
                self.seen[who].pop(short, None)
                if new is not None:
                    self.seen[who][short] = new
        return ""

    @rule(who=WHO, force=st.sampled_from([False, False, False, True]))
    def push(self, who: int, force: bool) -> None:
        name = BRANCHES + self.head[who]
        expected = self.push_refs(who, {name: self.at(who)}, force=force)
        assert refusal(lambda: self.machine(who).push(force=force)) == expected

    @rule(who=WHO)
    def push_everything(self, who: int) -> None:
        expected = self.push_refs(who, dict(self.refs[who]), force=False)
        assert refusal(lambda: self.machine(who).push(all_branches=True, tags=True)) == expected

    @rule(who=WHO, name=st.sampled_from(["one", "two"]))
    def delete(self, who: int, name: str) -> None:
        expected = self.push_refs(who, {BRANCHES + name: None}, force=False)
        assert refusal(lambda: self.machine(who).push(f":{name}")) == expected

    def fetched(self, who: int) -> None:
        self.seen[who] = self.branches(self.host)
        for name, commit in self.host.items():
            if name.startswith(TAGS):
                self.refs[who].setdefault(name, commit)

    @rule(who=WHO)
    def fetch(self, who: int) -> None:
        found = self.machine(who).fetch()
        kept = {each.name for each in found.tags_kept}
        assert kept == {
            name[len(TAGS) :]
            for name, commit in self.host.items()
            if name.startswith(TAGS) and self.refs[who].get(name, commit) != commit
        }
        self.fetched(who)

    @rule(who=WHO)
    def pull(self, who: int) -> None:
        machine, name = self.machine(who), BRANCHES + self.head[who]
        if name not in self.host:
            assert refusal(machine.pull) == "unknown-revision"
            self.fetched(who)
            return
        ours, theirs = self.at(who), self.host[name]
        pulled = machine.pull(policy=Policy("theirs"))
        self.fetched(who)
        if self.comes_after(who, theirs, ours):
            assert pulled.result.kind == "up-to-date"
        elif self.comes_after(who, ours, theirs):
            assert pulled.result.kind == "fast-forward" and machine.head == theirs
        else:
            assert pulled.result.kind == "merged"
            self.contents[machine.head] = machine.texts()
        self.refs[who][name] = machine.head

    @rule(who=WHO, name=NAMES, late=st.booleans())
    def both_work_on_one_branch(self, who: int, name: str, late: bool) -> None:
        other = 1 - who
        for each in (who, other):
            self.branch(each, name)
            self.commit(each, "a", forget=False)
        self.pull(who)
        self.push(who, force=False)
        if late:
            self.push(other, force=False)
        self.pull(other)
        self.push(other, force=False)
        self.pull(who)

    @rule(who=WHO)
    def compact(self, who: int) -> None:
        compact_host(self.machine(who).repository, REMOTE, self.machine(who).reach)
        self.fetched(who)

    @rule(who=WHO, compact=st.booleans())
    def rekey(self, who: int, compact: bool) -> None:
        self.count += 1
        self.passphrase = f"words {self.count}"
        machine = self.machine(who)
        given = {"passphrases": {"p": self.passphrase}, "recipients": (), "compact": compact}
        rekey_host(machine.repository, REMOTE, machine.reach, **given)  # type: ignore[arg-type]
        if compact:
            self.fetched(who)
        other = self.machine(1 - who)
        assert refusal(other.fetch) == "wrong-passphrase"
        for each in (machine, other):
            each.reach = reach_to(self.team.connect, self.passphrase)

    @rule(who=WHO)
    def check(self, who: int) -> None:
        machine = self.machine(who)
        report = check_host(machine.repository, REMOTE, machine.reach, read_data=True)
        assert report.problems == [] and report.refs == len(self.host)

    @precondition(lambda self: BRANCHES + "main" in self.host)
    @rule(who=WHO)
    def clone_anew(self, who: int) -> None:
        """The machine is lost; a new one takes its place."""
        old = self.machine(who)
        shutil.rmtree(old.folder)
        old.clone()
        self.head[who] = "main"
        self.refs[who] = {BRANCHES + "main": self.host[BRANCHES + "main"]}
        self.seen[who] = {}
        self.fetched(who)

    # -- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def everybody_knows_what_the_model_says(self) -> None:
        for who, machine in enumerate(self.team.machines[:2]):
            view = machine.repository.view()
            assert view.own_refs == self.refs[who]
            assert view.tracking(REMOTE.name) == self.seen[who]
            assert machine.texts() == self.contents[self.at(who)]


TestRemotes = RemotesMachine.TestCase
TestRemotes.settings = settings(max_examples=10, stateful_step_count=30, deadline=None)
