"""A repository in a folder: opening it, its state, and the lock around every change.

What belongs to the process (clock, identity, folders of the user) is passed in as ``Surroundings``; nothing
here reads the environment.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from vexrepo.config import AUTO, Config
from vexrepo.errors import NoRepository, StateError, StorageFailure, Tampered
from vexrepo.history import revision
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import CommitId, OperationId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.signature import message_of
from vexrepo.objects.snapshot import Snapshot, TreeRoot
from vexrepo.objects.sources import Source, SourceKind
from vexrepo.objects.trust import Policy, SignedBy
from vexrepo.remotes.stores.address import Address, parse_address
from vexrepo.repository.surroundings import Surroundings
from vexrepo.storage.files import wrapped
from vexrepo.storage.lock import writer_lock
from vexrepo.storage.oplog import BRANCHES, Operation, OperationLog, View
from vexrepo.storage.pins import Pin, read_pin, write_pin
from vexrepo.storage.store import ObjectStore, Writer

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from vexrepo.exchange.admission import Guard
    from vexrepo.hooks.gate import Gate
    from vexrepo.hooks.surrounding import Surrounding
    from vexrepo.repository.signatures import Evidence

FOLDER = ".vex"
FORMAT = b"vexrepo repository 1\n"
FIRST_BRANCH = "main"
SCRATCH_DAYS = 1


class Core:
    """A repository, open.  Readers need no lock; what changes it takes the writer lock."""

    def __init__(self, folder: Path, around: Surroundings) -> None:
        self.folder = folder
        self.around = around
        self.files = around.files
        self.objects = ObjectStore(folder / "packs", around.files)
        self.log = OperationLog(folder / "operations", folder / "operation", around.files)
        self.config = Config()
        self.scratch_folder = folder / "tmp"
        self._scratch: set[Path] = set()  # folders in use
        self._evidence: tuple[OperationId, Evidence] | None = None

    # -- opening -----------------------------------------------------------------------------------------------

    @classmethod
    def init(cls, parent: Path, around: Surroundings, *, store: str | None = None) -> Self:
        """Make a repository in ``parent/.vex``, bound to a workspace store if one is given.

        Raises: StateError (repository-exists), UsageError (bad-address), StorageFailure.
        """
        folder = parent / FOLDER
        if (folder / "format").exists():
            raise StateError(
                f"there is a repository in {folder} already; nothing was changed", code="repository-exists"
            )
        workspace = _relative(parse_address(store), parent) if store else None
        first = Operation(os.urandom(16).hex(), 0, None, around.now_us(), "init", "", View(BRANCHES + FIRST_BRANCH))

        def configure(made: Core) -> None:
            if workspace is not None:
                made.set_workspace(workspace)

        return cls.establish(folder, around, first, configure)

    @classmethod
    def establish(
        cls, folder: Path, around: Surroundings, first: Operation, configure: Callable[[Core], None] = lambda made: None
    ) -> Self:
        """Make a repository of a ``.vex`` folder, whose packs are there already if the first operation needs any."""
        files = around.files
        for name in ("packs", "operations"):
            files.make_folder(folder / name)
        repository = cls(folder, around)
        # The format file comes last: without it there is no repository, whatever a crash left behind.
        files.remove(folder / "operation")
        repository.log.append(first)
        configure(repository)
        files.write(folder / "format", FORMAT)
        repository._pin(first, first.encode()[0])
        repository.load_config()
        return repository

    @classmethod
    def open(cls, folder: Path, around: Surroundings, *, accept_rollback: bool = False) -> Self:
        """Return the repository whose ``.vex`` folder is ``folder``.

        Raises: NoRepository, Tampered (format or pointer damaged, repository-rolled-back).
        """
        try:
            with open(folder / "format", "rb") as file:
                form = file.read(100)
        except (FileNotFoundError, NotADirectoryError):
            raise NoRepository(
                f"no repository in {folder.parent}; make one with `vex init --store STORE`", code="no-repository"
            ) from None
        if form != FORMAT:
            newer = form.startswith(b"vexrepo repository ")
            raise Tampered(
                f"{folder / 'format'} reads {form!r}, expected {FORMAT!r}: "
                + ("written by a newer vexrepo, please update" if newer else "the file is damaged"),
                code="repository-version",
            )
        repository = cls(folder, around)
        repository.load_config()
        if not accept_rollback:
            repository.check_pin()
        return repository

    @classmethod
    def discover(cls, start: Path, around: Surroundings) -> Self:
        """Return the repository in ``start`` or the nearest folder above it.  Raises: NoRepository."""
        for folder in (start, *start.parents):
            if (folder / FOLDER / "format").exists():
                return cls.open(folder / FOLDER, around)
        raise NoRepository(
            f"no repository in {start} or above it; make one with `vex init --store STORE`", code="no-repository"
        )

    def load_config(self) -> None:
        """Read the repository's configuration file."""
        self.config.add_file(self.folder / "config.toml")

    # -- state -------------------------------------------------------------------------------------------------

    @property
    def root(self) -> Path:
        """The folder that holds ``.vex``; relative store paths are relative to it."""
        return self.folder.parent

    def view(self) -> View:
        """Return the current view."""
        return self.log.current()[1].view

    def workspace(self) -> Address:
        """Return the workspace's address.  Raises: StateError (no-workspace)."""
        text = self.config["workspace.store"]
        if not text:
            raise StateError(
                "this repository has no workspace store; name one with --from or --to, or bind it: "
                "vex config set workspace.store vektor:agent.db",
                code="no-workspace",
            )
        return self.around.equip(self.address(text))

    def is_workspace(self, address: Address) -> bool:
        """Whether a store is the workspace, so that what it holds is one's own."""
        text = self.config["workspace.store"]
        return bool(text) and self.store_name(self.address(text)) == self.store_name(address)

    def address(self, text: str) -> Address:
        """Return an address as written in the configuration, its path relative to the repository's folder."""
        return parse_address(text).under(str(self.root))

    def set_workspace(self, address: Address) -> None:
        """Bind the repository to a workspace store."""
        from vexrepo.config import write_value

        write_value(self.files, self.folder / "config.toml", "workspace.store", str(address))

    def store_name(self, address: Address) -> str:
        """Return the name under which a store is remembered: its address, relative to the repository."""
        return str(_relative(address, self.root))

    def last_seen(self, address: Address) -> Snapshot | None:
        """Return the snapshot that a store was last seen to hold, None if there is none."""
        seen = self.view().stores.get(self.store_name(address), {}).get("commit")
        return self.snapshot_of(CommitId.parse(seen)) if seen else None

    def resolve(self, text: str, view: View | None = None) -> CommitId:
        """Return the commit a revision names.  Raises: UsageError."""
        return revision.resolve(text, view or self.view(), self.objects, self.log, self.around.now_us())

    def commit_at(self, identifier: CommitId) -> Commit:
        """Return a commit."""
        return revision.read_commit(self.objects, identifier)

    def snapshot_of(self, identifier: CommitId | None) -> Snapshot | None:
        """Return the snapshot of a commit, None for no commit."""
        if identifier is None:
            return None
        return Snapshot.decode(self.objects.get(self.commit_at(identifier).snapshot, ObjectType.SNAPSHOT))

    def records_root(self, identifier: CommitId | None) -> TreeRoot | None:
        """Return the root of a commit's records."""
        snapshot = self.snapshot_of(identifier)
        return snapshot.records if snapshot else None

    def history(self, start: CommitId) -> Iterator[tuple[CommitId, Commit]]:
        """Yield a commit and its ancestors, newest first, parents never before children of the same line."""
        import heapq

        held = {start: self.commit_at(start)}
        queue = [(-held[start].time_us, start)]
        while queue:
            _, identifier = heapq.heappop(queue)
            commit = held[identifier]
            yield identifier, commit
            for parent in commit.parents:
                if parent not in held:
                    held[parent] = self.commit_at(parent)
                    # A parent with a clock ahead of its child's still comes after it.
                    heapq.heappush(queue, (max(-held[parent].time_us, -commit.time_us), parent))

    def signatures(self, identifier: CommitId) -> list[SignedBy]:
        """Return a commit's signatures and what each is worth, its author's first."""
        from vexrepo.repository.signatures import signatures_of

        return signatures_of(self, identifier)

    def evidence(self) -> Evidence:
        """Return what this repository knows of when its commits were made, beside what they say themselves."""
        from vexrepo.repository.signatures import Evidence

        newest, operation = self.log.current()
        if self._evidence is None or self._evidence[0] != newest:
            pin = self._read_pin(operation.repository)
            seen_since_us = pin.since_us if pin is not None else None
            self._evidence = newest, Evidence(self.objects, self.log, self.around.now_us(), seen_since_us)
        return self._evidence[1]

    # -- changing ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the writer lock.  Raises: Locked."""
        with writer_lock(self.folder / "lock", float(self.config["core.lock_timeout_s"])):
            # Only the holder of the lock writes packs and operations: a scratch file there is of a writer that died.
            for part in ("packs", "operations"):
                for left in (self.folder / part).glob(".*.tmp"):
                    self.files.remove(left)
            self._clear_scratch()
            self.objects.refresh()
            yield

    def _clear_scratch(self) -> None:
        """Remove scratch folders that a killed command left more than a day ago (readers use them, too)."""
        for left in set((self.folder / "tmp").glob("*")) - self._scratch:  # ours look old where clocks disagree
            with contextlib.suppress(OSError):
                if left.stat().st_mtime < self.around.now_us() / 1e6 - SCRATCH_DAYS * 86400:
                    import shutil

                    shutil.rmtree(left, ignore_errors=True)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder for scratch files, removed at the end."""
        folder = self.scratch_folder / os.urandom(6).hex()
        with wrapped("write", folder):
            folder.mkdir(parents=True)
        self._scratch.add(folder)
        try:
            yield folder
        finally:
            import shutil

            self._scratch.discard(folder)
            shutil.rmtree(folder, ignore_errors=True)

    def gate(self) -> Gate:
        """Return the checks and hooks that stand at this repository's events."""
        from vexrepo.hooks.folder import HookFolder
        from vexrepo.hooks.gate import Gate

        if not self.around.verify:
            return Gate()
        return Gate(
            self.around.checks,
            HookFolder(self.folder / "hooks", self.files),
            self.root,
            self.around.environ,
            float(self.config["hooks.timeout_s"]),
            self.scratch,
            self._surrounding,
            self.config["checks.foreign"] == AUTO,
        )

    def _surrounding(self, event: str) -> Surrounding:
        """Return what checks may know of the memory that an event changes: the current branch, if it is that."""
        from vexrepo.hooks.surrounding import NOTHING_KNOWN, read_surrounding

        if event in ("pre-checkout", "pre-push"):  # a store, a remote
            return NOTHING_KNOWN
        return read_surrounding(self.objects, self.records_root(self.view().commit))

    def guard(self, source: Address) -> Guard:
        """Return who decides about what comes from a store."""
        from vexrepo.exchange.admission import Guard

        policy = self.policy_for(source_of(source, os.path.realpath(self.root)))
        return Guard(self.around.trust, self.around.now_us(), policy, self.gate(), self.around.heard)

    def policy_for(self, source: Source) -> Policy:
        """Return what signatures of a source must be worth.  Raises: InvalidData (bad-config)."""
        from vexrepo.config import policy_for

        return policy_for(self.config, source, Path(os.path.realpath(self.root))).policy

    def record(
        self,
        view: View,
        command: str,
        detail: str,
        packs: list[str] | None = None,
        undoes: OperationId | None = None,
    ) -> OperationId:
        """Append an operation with a new view; the caller holds the lock."""
        identifier, current = self.log.current()
        operation = Operation(
            current.repository,
            current.sequence + 1,
            identifier,
            self.around.now_us(),
            command,
            detail,
            view,
            packs or [],
            undoes,
        )
        appended = self.log.append(operation)
        self._pin(operation, appended)
        return appended

    def write_commit(self, writer: Writer, commit: Commit) -> CommitId:
        """Write a commit, signed by the identity if there is one."""
        identity = self.around.identity if self.config["commit.sign"] else None
        author = {"name": self.around.author}
        if identity is not None:
            author["key"] = identity.key.hex()
        identifier, payload = replace(commit, author=author).encode()
        writer.put(ObjectType.COMMIT, identifier, payload)
        if identity is not None:
            writer.put_signature(identifier, identity.sign(message_of(identifier)).encode())
        return identifier

    def pool(self) -> contextlib.AbstractContextManager[ThreadPoolExecutor]:
        """Return threads for compressing and hashing, which release the interpreter."""
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(max(1, min(4, os.cpu_count() or 1)))

    # -- pins --------------------------------------------------------------------------------------------------

    def _pin_path(self, repository: str) -> Path | None:
        state = self.around.state_folder
        return state / "pins" / f"{repository}.json" if state is not None else None

    def _read_pin(self, repository: str) -> Pin | None:
        path = self._pin_path(repository)
        return read_pin(path) if path is not None else None

    def _pin(self, operation: Operation, identifier: OperationId, *, anew: bool = False) -> None:
        """Remember the newest operation; ``anew`` as of a repository that was never seen here."""
        path = self._pin_path(operation.repository)
        if path is not None:
            before = None if anew else read_pin(path)
            since_us = before.since_us if before is not None else None
            pin = Pin(identifier, operation.sequence, since_us if since_us is not None else self.around.now_us())
            # The operation stands whether or not it can be remembered; an older pin is weaker, never wrong.
            with contextlib.suppress(StorageFailure):
                write_pin(self.files, path, pin, os.path.abspath(self.folder))

    def check_pin(self) -> None:
        """Raise Tampered (repository-rolled-back) if the repository is older than when last seen here."""
        identifier, operation = self.log.current()
        pin = self._read_pin(operation.repository)
        if pin is None:
            return
        newest, newest_id = operation, identifier
        # The pinned operation must be the current one or one before it.
        while operation.sequence > pin.sequence and operation.parent is not None:
            identifier, operation = operation.parent, self.log.read(operation.parent)
        if pin.operation != identifier:
            raise Tampered(
                f"{self.folder} is not as this machine last saw it: operation {pin.sequence} "
                f"({pin.operation.hex()[:12]}) is gone, the newest is {newest.sequence} ({newest_id.hex()[:12]}).  "
                "Restored from a backup on purpose?  Then run `vex fsck --accept-rollback`; otherwise restore the "
                "newer copy",
                code="repository-rolled-back",
            )

    def accept_rollback(self) -> None:
        """Take the repository as it is for the newest."""
        identifier, operation = self.log.current()
        self._pin(operation, identifier, anew=True)


def source_of(address: Address, root: str) -> Source:
    """Return a store as a source of a policy; a relative path is relative to the repository's folder."""
    if not address.is_path:
        return Source(SourceKind.STORE, str(address))
    return Source(SourceKind.FILE, Path(os.path.realpath(os.path.join(root, address.location))).as_posix())


def _relative(address: Address, root: Path) -> Address:
    """Return an address with a path inside ``root`` written relative to it, and others absolute."""
    if not address.is_path:
        return address
    path = Path(os.path.abspath(address.location))
    try:
        location = path.relative_to(os.path.abspath(root)).as_posix()
    except ValueError:
        location = str(path)
    return Address(address.kind, location, address.options)
