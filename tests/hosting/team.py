"""Several machines that share a host: each with a repository, a store and a memory of its own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.property.strategies import QuickFiles
from vexrepo.errors import VexError
from vexrepo.history.policy import Policy
from vexrepo.history.walk import iter_records
from vexrepo.objects.digest import CommitId
from vexrepo.objects.signature import public_key
from vexrepo.remotes.hosts.base import Access, Host
from vexrepo.remotes.hosts.header import Unlock
from vexrepo.remotes.hosts.memory import MemoryHost, Place
from vexrepo.repository import Repository, Surroundings
from vexrepo.repository.cloning import Cloned
from vexrepo.repository.fetching import Fetched
from vexrepo.repository.pulling import Pulled, pull
from vexrepo.repository.pushing import Pushed
from vexrepo.repository.refspec import parse_refspecs
from vexrepo.repository.remotes import Reach, Remote
from vexrepo.storage.files import Files
from vexrepo.storage.keys import Identity
from vexrepo.storage.oplog import BRANCHES
from vexrepo.storage.passphrase import Cost

CHEAP = Cost(64, 1, 1)
PASSPHRASE = "open sesame"
REMOTE = Remote("backup", "memory:backup")
Connect = Callable[[str, Access], Host]
_clock = itertools.count(1_790_000_000_000_000, 1_000_000)


def reach_to(connect: Connect, passphrase: str = PASSPHRASE) -> Reach:
    return Reach(Access(), Unlock(passphrases=lambda: [passphrase]), lambda: passphrase, cost=CHEAP, connect=connect)


def refusal(action: Callable[[], Any]) -> str:
    """The code an action is refused with; "" where it is not."""
    try:
        action()
    except VexError as error:
        return error.code
    return ""


class Machine:
    """A repository whose store is a file, on a machine with a state folder of its own."""

    def __init__(self, folder: Path, connect: Connect, number: int, files: Files, state: Path | None = None) -> None:
        self.folder = folder
        self.path = folder / "agent.vmig.jsonl"
        self.connect = connect
        self.reach = reach_to(connect)
        seed = bytes([number + 1]) * 32
        identity = Identity(f"m{number}", public_key(seed), seed)
        self.around = Surroundings(
            _clock.__next__,
            f"m{number}",
            identity,
            state_folder=state or folder.with_name(f"{folder.name}-state"),
            files=files,
        )
        self.held: dict[str, dict[str, Any]] = {}
        self.repository: Repository = None  # type: ignore[assignment]

    def init(self) -> Machine:
        self.repository = Repository.init(self.folder, self.around, store=f"jsonl:{self.path}")
        return self

    def clone(self, **options: Any) -> Cloned:
        self.repository, found = Repository.clone(REMOTE, self.folder, self.around, self.reach, **options)
        self.read()
        return found

    def reopen(self) -> Repository:
        self.repository = Repository.open(self.folder / ".vex", self.around)
        return self.repository

    # -- memory ------------------------------------------------------------------------------------------------

    def commit(self, *forget: str, **texts: str) -> CommitId:
        """Commit memories with other texts, less some, as the agent's file would give them."""
        for name, text in texts.items():
            number = sum(text.encode()) % 89
            vector = [number / 64, len(text) / 8, *(((number * 7 + axis) % 97) / 64 for axis in range(14))]
            self.held[name] = {"id": name, "text": text, "vector": vector, "namespace": "secret-namespace"}
        for name in forget:
            self.held.pop(name, None)
        self.path.write_text("".join(json.dumps(item) + "\n" for item in self.held.values()))
        self.path.with_name("agent.vmig.meta.json").write_text(json.dumps({"record_count": len(self.held)}))
        from vexrepo.remotes.stores.address import Address

        made = self.repository.commit("m", store=Address("jsonl", str(self.path)), allow_empty=True).id
        assert made is not None
        return made

    def read(self) -> None:
        """Take what HEAD holds for what the agent holds."""
        self.held = {}
        commit = self.repository.view().commit
        if commit is not None:
            root = self.repository.records_root(commit)
            assert root is not None
            for item in iter_records(self.repository.objects, root):
                value = item.to_json()
                self.held[value["id"]] = value

    def texts(self, commit: CommitId | None = None) -> dict[str, str]:
        root = self.repository.records_root(commit or self.repository.view().commit)
        if root is None:
            return {}
        values = [item.to_json() for item in iter_records(self.repository.objects, root)]
        return {value["id"]: value["text"] for value in values}

    def branch(self, name: str, start: str = "HEAD") -> None:
        self.repository.create_branch(name, start, switch=True)

    def switch(self, name: str) -> None:
        self.repository.move_head(BRANCHES + name, self.repository.view().refs[BRANCHES + name])
        self.read()

    @property
    def head(self) -> CommitId:
        found = self.repository.view().commit
        assert found is not None
        return found

    # -- the host ----------------------------------------------------------------------------------------------

    def push(self, *texts: str, **options: Any) -> Pushed:
        given = {name: options.pop(name) for name in ("all_branches", "tags", "delete", "force") if name in options}
        return self.repository.push(REMOTE, self.reach, parse_refspecs(self.repository, texts, **given), **options)

    def fetch(self, **options: Any) -> Fetched:
        return self.repository.fetch(REMOTE, self.reach, **options)

    def pull(self, branch: str | None = None, **options: Any) -> Pulled:
        done = pull(self.repository, REMOTE, self.reach, branch, policy=options.pop("policy", Policy()), **options)
        self.read()
        return done

    def tracking(self) -> dict[str, CommitId]:
        return self.repository.view().tracking(REMOTE.name)

    def is_sound(self) -> bool:
        return self.repository.check().problems == []


class Team:
    """Machines around one host, in memory if nothing else is said."""

    def __init__(self, folder: Path, files: Files | None = None, host: Callable[[], Host] | None = None) -> None:
        self.folder = folder
        self.files = files or QuickFiles()
        self.place = Place()
        self.machines: list[Machine] = []
        self._host = host or (lambda: MemoryHost(REMOTE.url, self.place))

    def connect(self, url: str, access: Access) -> Host:
        return self._host()

    def machine(self, *, state: Path | None = None) -> Machine:
        number = len(self.machines)
        made = Machine(self.folder / f"m{number}", self.connect, number, self.files, state)
        self.machines.append(made)
        return made

    def begun(self) -> Machine:
        """A machine with a repository of two commits, pushed."""
        made = self.machine().init()
        made.commit(**{f"k{number}": f"text {number}" for number in range(40)})
        made.commit(k1="changed")
        made.push()
        return made

    def cloned(self) -> Machine:
        made = self.machine()
        made.clone()
        return made
