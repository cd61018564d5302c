"""The hosts pass the contract: in memory, a folder, and Git's own http-backend as it is commonly set up."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.hosting.http_backend import PARTIAL, SECRET, USER, HttpBackend, http_backend, make_bare
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

    def open_host(self, tmp_path: Path) -> Host:
        path = tmp_path / "memory.git"
        if not path.exists():
            make_bare(path)
        return DirectoryHost.open(str(path), Access())


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
