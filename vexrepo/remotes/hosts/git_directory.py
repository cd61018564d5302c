"""Bare Git repositories on a disk of this machine: no server, no git needed, the same locks as git's own."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Self

from vexrepo.errors import HostError
from vexrepo.remotes.hosts.address import parse_git_address
from vexrepo.remotes.hosts.base import Access, Host, OutcomeUnknown, Tip
from vexrepo.remotes.hosts.git_loose import LooseObjects
from vexrepo.remotes.hosts.git_objects import (
    BLOB,
    BRANCH,
    COMMIT,
    NAMES,
    TREE,
    is_blob,
    is_id,
    list_files,
    make_object,
    make_trees,
    root_of,
)
from vexrepo.remotes.hosts.git_push import Push, make_push, moved
from vexrepo.storage.files import Files, wrapped

if TYPE_CHECKING:
    from dulwich.file import _GitFile
    from dulwich.repo import Repo

_GRACE_S: Final = 3600.0  # writers that are at work may count on objects that are newer
_LOCK_PAUSES_S: Final = (0.01, 0.05, 0.2, 0.5, 1.0, 2.0)


class DirectoryHost(Host):
    """A bare repository in a folder.  Objects are written one a file, each durable before the branch moves to them."""

    kind: ClassVar[str] = "directory"

    def __init__(self, url: str, path: Path, access: Access, files: Files | None = None) -> None:
        super().__init__(url)
        self._path = path
        self._access = access
        self._files = files or Files()
        self._opened: Repo | None = None
        self._tip: Tip | None = None

    @classmethod
    def open(cls, url: str, access: Access) -> Self:
        return cls(url, Path(parse_git_address(url).path), access)

    @staticmethod
    def create(path: Path) -> None:
        """Make an empty bare repository in a folder that is empty or not there.  Raises: StorageFailure."""
        from dulwich.repo import Repo

        with wrapped("create", path):
            Repo.init_bare(path, mkdir=not path.exists(), default_branch=b"main").close()

    def recall(self, tip: Tip) -> None:
        if self._tip is None:
            self._tip = tip

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def peek(self) -> str | None:
        return self._branch()

    def read_tip(self) -> Tip | None:
        tip = self._branch()
        if tip is None:
            return None
        if self._tip is None or self._tip.version != tip:
            root = root_of(self._read(tip, COMMIT), self.url)
            self._tip = Tip(tip, list_files(root, _Trees(self), self.url))
        return self._tip

    def fetch(self, tip: Tip, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        for path in dict.fromkeys(paths):
            if path not in tip.files or not is_blob(tip.files[path]):
                raise self._missing(f"file {path!r}")
        return ((path, self._read(tip.files[path].id, BLOB)) for path in dict.fromkeys(paths))

    def publish(
        self,
        expected: Tip | None,
        add: Mapping[str, Path | bytes],
        remove: Collection[str] = (),
        *,
        alone: bool = False,
    ) -> Tip:
        push = make_push(self.url, self.limits, expected, add, remove, alone=alone)
        current = self._branch()
        if current == push.tip.version:
            return push.tip
        if current != push.expected:
            raise moved(push, current)
        store = LooseObjects(Path(self._repository().object_store.path), self._files)
        total = sum(item.size for item in push.objects)
        done = 0
        for item in push.objects:
            store.write(item)
            done += item.size
            self._access.progress("sending bytes", done, total)
        self._move(push, store)
        if alone:
            self._remove_unused(push, store)
        self._tip = push.tip
        return self._tip

    def _repository(self) -> Repo:
        if self._opened is None:
            from dulwich.errors import NotGitRepository
            from dulwich.repo import Repo, UnsupportedExtension, UnsupportedVersion

            try:
                if not self._path.is_dir():
                    raise NotGitRepository
                opened = Repo(self._path)
            except NotGitRepository as error:
                raise HostError(
                    f"{self.url} is not a Git repository; make one with: git init --bare", code="host-missing"
                ) from error
            except (UnsupportedVersion, UnsupportedExtension) as error:
                raise HostError(
                    f"{self.url} is in a form of Git's that is not known here: {error}", code="host-answer"
                ) from error
            except OSError as error:
                raise HostError(
                    f"cannot open {self.url}: {error.strerror or error}", code="host-unreachable"
                ) from error
            extensions = dict(opened.get_config().items((b"extensions",)))
            if not opened.bare or extensions.get(b"objectformat", b"sha1") != b"sha1" or b"refstorage" in extensions:
                opened.close()
                raise HostError(
                    f"{self.url} is not a bare repository with SHA-1 ids and refs in files; make one with: "
                    "git init --bare --object-format=sha1",
                    code="host-answer",
                )
            self._opened = opened
        return self._opened

    @property
    def _branch_file(self) -> Path:
        return Path(self._repository().controldir()) / BRANCH

    def _branch(self) -> str | None:
        """Return the commit our branch is at, None where there is no branch."""
        repository = self._repository()
        try:
            found = self._branch_file.read_bytes().strip()
        except FileNotFoundError:
            found = repository.refs.get_packed_refs().get(BRANCH.encode(), b"")  # type: ignore[call-overload]
            if not found:
                return None
        except OSError as error:  # not the same as absent: that would be overwritten
            raise HostError(f"cannot read {self._branch_file}: {error.strerror}", code="host-refused") from error
        if not is_id(found):
            raise HostError(f"{self._branch_file} does not hold the id of a commit", code="host-answer")
        return found.decode()

    def _read(self, id: str, kind: int) -> bytes:
        try:
            found, content = self._repository().object_store.get_raw(id.encode())  # type: ignore[arg-type]
        except KeyError as error:
            raise self._missing(f"{NAMES[kind].decode()} {id}") from error
        except Exception as error:  # dulwich has no common error for damage
            raise HostError(
                f"{self.url}: {NAMES[kind].decode()} {id} cannot be read ({error or type(error).__name__}); the "
                "repository is damaged: git fsck says more",
                code="host-answer",
            ) from error
        if found != kind or make_object(kind, content).id != id:
            raise HostError(f"{self.url}: {NAMES[kind].decode()} {id} is not what its id says", code="host-answer")
        return content

    def _missing(self, what: str) -> HostError:
        return HostError(
            f"{self.url} has no {what}; if somebody replaced the tip meanwhile, run the command again",
            code="host-file-missing",
        )

    def _move(self, push: Push, store: LooseObjects) -> None:
        """Move the branch, under the lock that git takes for it."""
        path = self._branch_file
        self._files.make_folder(path.parent)
        with wrapped("write", path):
            lock = _lock(path)
            try:
                if (current := self._branch()) != push.expected:
                    raise moved(push, current)
                for item in push.objects:  # under the lock nobody removes them any more
                    store.write(item)
                lock.write(push.tip.version.encode() + b"\n")
                lock.close()  # brings it to the disk and renames it over the branch
            except BaseException:
                lock.abort()
                raise
        try:
            self._files.sync_folder(path.parent)
        except OSError as error:
            raise OutcomeUnknown(
                f"{self.url}: the disk did not say whether it keeps what was published ({error.strerror}); whether it "
                "does shows when its tip is read again",
                code="host-no-answer",
            ) from error

    def _remove_unused(self, push: Push, store: LooseObjects) -> None:
        """Free what only the history left behind had, unless other branches or another git may need it."""
        repository = self._repository()
        others = repository.refs.allkeys() - {b"HEAD", BRANCH.encode()}
        path = self._branch_file
        with wrapped("write", path):
            lock = _lock(path)
            try:
                if not others and self._branch() == push.tip.version:
                    used = {push.tip.version, *make_trees(push.tip.files, self.url)[1]}
                    used |= {file.id for file in push.tip.files.values()}
                    store.remove_unused(used, path.stat().st_mtime - _GRACE_S)
            finally:
                lock.abort()


def _lock(path: Path) -> _GitFile:
    """Take the lock of a ref's file, waiting a little for another writer.  Raises: HostError (host-refused)."""
    from dulwich.file import FileLocked, GitFile

    for pause_s in _LOCK_PAUSES_S:
        try:
            return GitFile(path, "wb")
        except FileLocked:
            time.sleep(pause_s)
    try:
        return GitFile(path, "wb")
    except FileLocked as error:
        raise HostError(
            f"another program holds {path}.lock; nothing was published: try again, or remove that file if no "
            "program is at work there",
            code="host-refused",
        ) from error


class _Trees(dict[str, bytes]):
    """The folders of a repository, read when asked for."""

    def __init__(self, host: DirectoryHost) -> None:
        self._host = host

    def __missing__(self, id: str) -> bytes:
        return self._host._read(id, TREE)
