"""A host in memory: for tests, and the plainest example of what a host must do."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

from blake3 import blake3

from vexrepo.errors import HostError, UsageError
from vexrepo.remotes.hosts.base import Access, Host, HostFile, HostMoved, Tip
from vexrepo.storage.files import wrapped

SCHEME = "memory:"


@dataclass
class Place:
    """What a host in memory holds; any number of hosts may be open on it, in any threads."""

    tip: Tip | None = None
    files: dict[str, bytes] = field(default_factory=dict)  # by id
    commits: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, content: bytes) -> HostFile:
        """Keep content; return what a tip says of it."""
        identifier = blake3(content).hexdigest(length=20)
        self.files[identifier] = content
        return HostFile(identifier, len(content))


_places: dict[str, Place] = {}
_naming = threading.Lock()


class MemoryHost(Host):
    """A host on a place in memory; ``memory:NAME`` names one of this process, made when first named."""

    kind: ClassVar[str] = "memory"

    def __init__(self, url: str, place: Place | None = None) -> None:
        super().__init__(url)
        self.place = Place() if place is None else place

    @classmethod
    def open(cls, url: str, access: Access) -> Self:
        if not url.startswith(SCHEME) or url == SCHEME:
            raise UsageError(f"the address {url!r} is not {SCHEME}NAME", code="bad-address")
        with _naming:
            return cls(url, _places.setdefault(url, Place()))

    def read_tip(self) -> Tip | None:
        with self.place.lock:
            return self.place.tip

    def fetch(self, tip: Tip, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        for path in dict.fromkeys(paths):
            file = tip.files.get(path)
            content = None if file is None else self.place.files.get(file.id)
            if content is None:
                raise HostError(f"{self.url} does not give the file {path}", code="host-file-missing")
            yield path, content

    def publish(
        self,
        expected: Tip | None,
        add: Mapping[str, Path | bytes],
        remove: Collection[str] = (),
        *,
        alone: bool = False,
    ) -> Tip:
        contents = {path: content if isinstance(content, bytes) else _read(content) for path, content in add.items()}
        with self.place.lock:
            now = self.place.tip
            if (now and now.version) != (expected and expected.version):
                raise HostMoved(f"somebody else published to {self.url} meanwhile", code="host-moved")
            files = {path: file for path, file in (now.files if now else {}).items() if path not in remove}
            files.update((path, self.place.put(content)) for path, content in contents.items())
            self.place.commits += 1
            self.place.tip = Tip(f"{self.place.commits:040x}", files)
            if alone:  # nothing but the tip is kept
                kept = {file.id for file in files.values()}
                self.place.files = {name: each for name, each in self.place.files.items() if name in kept}
            return self.place.tip


def _read(path: Path) -> bytes:
    with wrapped("read", path):
        return path.read_bytes()
