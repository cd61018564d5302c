"""The hosts pass the contract: in memory, a folder, and Git's own http-backend as it is commonly set up."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.hosting.http_backend import PARTIAL, SECRET, USER, HttpBackend, http_backend, make_bare
from tests.hosting.sshd import Sshd, git_daemon, sshd
from vexrepo.remotes.hosts.base import Access, Host, Token
from vexrepo.remotes.hosts.git import GitHost
from vexrepo.remotes.hosts.git_directory import DirectoryHost
from vexrepo.remotes.hosts.memory import MemoryHost
from vexrepo.testing.hosts import HostContract


class TestMemory(HostContract):
    """The plainest host."""

    def open_host(self, tmp_path: Path) -> Host:
        return MemoryHost.open(f"memory:{tmp_path}", Access())


class TestDirectory(HostContract):
    """A bare repository on a disk."""

    @pytest.fixture(autouse=True)
    def _make(self, tmp_path: Path) -> None:
        DirectoryHost.create(tmp_path / "memory.git")

    def open_host(self, tmp_path: Path) -> Host:
        return DirectoryHost.open(str(tmp_path / "memory.git"), Access())


class OverHttp(HostContract):
    """Git's http-backend."""

    config: ClassVar[dict[str, str]] = {}
    server: HttpBackend

    @pytest.fixture(autouse=True)
    def _serve(self, tmp_path: Path) -> Iterator[None]:
        make_bare(tmp_path / "served" / "memory.git", self.config)
        with http_backend(tmp_path / "served") as self.server:
            yield

    def open_host(self, tmp_path: Path) -> Host:
        return GitHost.open(self.server.url(), Access(token=lambda url: Token(USER, SECRET, "a test")))


class TestHttp(OverHttp):
    """A host with partial clone, as GitHub, GitLab, Forgejo and Gitea are."""

    config = PARTIAL


class TestHttpVersion2(OverHttp):
    """A host that leaves out files where asked to, and gives one by its id in protocol version 2 only."""

    config: ClassVar = {"uploadpack.allowFilter": "true"}


class TestHttpPlain(OverHttp):
    """A host as git is without any configuration: no partial clone."""


class TestHttpById(OverHttp):
    """A host that gives files by their ids but cannot leave them out."""

    config: ClassVar = {"uploadpack.allowAnySHA1InWant": "true"}


class OverSsh(HostContract):
    """A real sshd."""

    config: ClassVar[dict[str, str]] = {}
    restricted = False

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
        with sshd(tmp_path_factory.mktemp("sshd") / "s", restricted=cls.restricted) as server:
            yield server

    @pytest.fixture(autouse=True)
    def _serve(self, tmp_path: Path, server: Sshd) -> None:
        self.place = server
        make_bare(tmp_path / "memory.git", self.config)

    def open_host(self, tmp_path: Path) -> Host:
        return GitHost.open(self.place.url(tmp_path / "memory.git"), Access(ssh_command=self.place.command))


class TestSshAccount(OverSsh):
    """An account with a shell and a repository that nobody configured: partial clone is asked for on the way."""


class TestSshHost(OverSsh):
    """A host that lets git's own commands through and nothing else."""

    config: ClassVar = PARTIAL
    restricted = True


class TestGitDaemon(HostContract):
    """Git's daemon, that lets everybody write."""

    @pytest.fixture(scope="class")
    @classmethod
    def address(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
        with git_daemon(tmp_path_factory.getbasetemp()) as address:
            yield address

    @pytest.fixture(autouse=True)
    def _serve(self, tmp_path: Path, address: str) -> None:
        self.base = address
        make_bare(tmp_path / "memory.git", PARTIAL)

    def open_host(self, tmp_path: Path) -> Host:
        return GitHost.open(f"{self.base}{tmp_path}/memory.git", Access())
