"""Git hosts: a tip read without its files, files fetched by their ids, one push for one commit.  No mirror is kept.

The same for every way to a host (``git_wire.Wire``).  What a host is not able to do is made up for: without partial
clone the whole tip is fetched once, to a temporary file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import ClassVar, Final, Self, TypeVar

from vexrepo.errors import HostError
from vexrepo.remotes.hosts.address import GitAddress, parse_git_address
from vexrepo.remotes.hosts.base import Access, Host, Limits, Tip
from vexrepo.remotes.hosts.git_errors import Spoken, Unreachable
from vexrepo.remotes.hosts.git_objects import (
    BLOB,
    MOST_BYTES,
    GitObject,
    is_blob,
    list_files,
    make_object,
    make_trees,
    root_of,
)
from vexrepo.remotes.hosts.git_pack_in import PackIn
from vexrepo.remotes.hosts.git_push import deliver, make_push
from vexrepo.remotes.hosts.git_received import BaseMissing, Received
from vexrepo.remotes.hosts.git_wire import (
    UPLOAD,
    Advert,
    Packets,
    Session,
    Wire,
    read_pack,
    read_pack_2,
    upload_request,
    upload_request_2,
)
from vexrepo.remotes.hosts.known import limits_of

_FIRST_BATCH: Final = 2  # files asked for at once, until their sizes show
_MOST_BATCH: Final = 1000
_MOST_TALK: Final = 1 << 22  # bytes of an answer that are not the pack
_PAUSES_S: Final = (0.3, 1.5)  # before reading is tried again
_LONGEST_PAUSE_S: Final = 30.0
_BY_ID: Final = {"allow-reachable-sha1-in-want", "allow-any-sha1-in-want"}
T = TypeVar("T")


class GitHost(Host):
    """A repository at a Git host."""

    kind: ClassVar[str] = "git"

    def __init__(self, address: GitAddress, wire: Wire, access: Access) -> None:
        super().__init__(address.url)
        self._limits = limits_of(address.host)
        self._wire = wire
        self._access = access
        self._tip: Tip | None = None
        self._upload: Advert | None = None
        self._received: Received | None = None
        self._told: set[str] = set()
        self._ways = [self._ask, self._ask_2]  # to files by id, best first

    @classmethod
    def open(cls, url: str, access: Access) -> Self:
        address = parse_git_address(url)
        return cls(address, _wire(address, access), access)

    @property
    def limits(self) -> Limits:
        return self._limits

    def recall(self, tip: Tip) -> None:
        if self._tip is None:
            self._tip = tip

    def close(self) -> None:
        self._wire.close()
        if self._received is not None:
            self._received.close()
            self._received = None

    # reading

    def read_tip(self) -> Tip | None:
        return self._patiently(self._read_tip)

    def peek(self) -> str | None:
        with closing(self._wire.begin(UPLOAD)) as session:
            return session.advert.tip

    def _read_tip(self) -> Tip | None:
        session = self._wire.begin(UPLOAD)
        try:
            advert = self._upload = session.advert
            if advert.tip is None:
                return None
            if self._tip is None or self._tip.version != advert.tip:
                if "filter" not in advert.abilities and (wider := self._wire.wider()) is not None:
                    session.close()
                    session = wider
                self._tip = self._list(session, self._tip)
            return self._tip
        finally:
            session.close()

    def _list(self, session: Session, before: Tip | None) -> Tip:
        """Fetch the folders of the tip; where a host cannot leave out the files, these as well."""
        advert = self._upload = session.advert
        if advert.tip is None:
            raise HostError(f"{self.url} lost its branch main while it was read; try again", code="host-answer")
        trees = {} if before is None else _contents(make_trees(before.files, self.url)[1])
        try:
            received = self._receive(session, advert.tip, before.version if before is not None else None, trees)
            try:
                root = root_of(received.others[advert.tip], self.url)
                files = list_files(root, {**trees, **received.others}, self.url)
            except BaseException:
                received.close()
                raise
        except (BaseMissing, KeyError) as error:
            if before is None:
                raise HostError(f"{self.url} did not send all folders of its tip", code="host-answer") from error
            with closing(self._wire.begin(UPLOAD, advert)) as again:
                return self._list(again, None)
        if "filter" in advert.abilities:
            received.close()
        else:
            self._keep(received)
        return Tip(advert.tip, files)

    def _keep(self, received: Received) -> None:
        if self._received is not None:
            self._received.close()
        self._received = received

    def _receive(self, session: Session, tip: str, known: str | None, trees: Mapping[str, bytes]) -> Received:
        """Fetch a tip without history: without its files where the host can, without what ``known`` has (``trees``)."""
        abilities = session.advert.abilities
        if "filter" not in abilities:
            self._tell(
                f"{self.url} has no partial clone: all of its files are fetched to read any. On a server of your own: "
                "git config uploadpack.allowFilter true, git config uploadpack.allowAnySHA1InWant true"
            )
        request = upload_request([tip], abilities, known=known, one_deep=True, no_files=True)
        packets = self._answer(session, request, 1024)
        return Received(read_pack(packets, abilities, self.url, one_deep=True), self.url, trees, self._access.scratch)

    def fetch(self, tip: Tip, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        left: dict[str, list[str]] = {}
        for path in dict.fromkeys(paths):
            file = tip.files.get(path)
            if file is None or not is_blob(file):
                raise HostError(f"{self.url} has no file {path!r} at its tip {tip.version}", code="host-file-missing")
            left.setdefault(file.id, []).append(path)
        return self._fetch(tip, left)

    def _fetch(self, tip: Tip, left: dict[str, list[str]]) -> Iterator[tuple[str, bytes]]:
        yield from self._kept(left)
        batch, tries, done, files = _FIRST_BATCH, len(_PAUSES_S), 0, 0
        while left:
            asked = list(left)[:batch]
            before = len(left)
            try:
                for id, content in self._by_id(asked):
                    files += 1
                    done += len(content)
                    self._access.progress("receiving bytes", done, None)
                    for path in left.pop(id, []):
                        yield path, content
            except Unreachable as error:
                # What has come need not come again: a broken download goes on where it was.
                if len(left) < before:
                    tries = len(_PAUSES_S)
                elif not tries or not error.again:
                    raise
                tries -= 1
                self._pause(error, _PAUSES_S[-1 - tries])
                continue
            if len(left) < before:
                batch = min(_MOST_BATCH, max(1, self._wire.batch_bytes * files // max(done, 1)))
            elif self._ways and batch > 1:
                batch = 1  # sent as differences from each other; alone, a file has none to differ from
            else:
                self._fetch_whole(tip)
                yield from self._kept(left)
                if left:
                    raise self._missing(tip, left)

    def _missing(self, tip: Tip, left: Mapping[str, list[str]]) -> HostError:
        path = next(iter(left.values()))[0]
        return HostError(
            f"{self.url} does not give the file {path!r} of its tip {tip.version}; if somebody replaced the tip "
            "meanwhile, run the command again",
            code="host-file-missing",
        )

    def _kept(self, left: dict[str, list[str]]) -> Iterator[tuple[str, bytes]]:
        if self._received is not None:
            for id in [id for id in left if id in self._received]:
                content = self._received.blob(id)
                for path in left.pop(id):
                    yield path, content

    def _fetch_whole(self, tip: Tip) -> None:
        """Fetch all files of a tip, for hosts that give none by its id."""
        with closing(self._wire.begin(UPLOAD)) as session:
            if session.advert.tip == tip.version:
                without = Advert(session.advert.tip, session.advert.abilities - {"filter"})
                session.advert = without
                self._keep(self._receive(session, tip.version, None, {}))

    def _by_id(self, ids: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield files by their ids, as one pack brings them; not those that it holds as differences."""
        pack, wanted = self._pack(ids), set(ids)
        for item in pack or ():
            if item.base is not None:
                continue
            id = make_object(item.kind, item.content).id if item.kind == BLOB else ""
            if id not in wanted:
                raise HostError(
                    f"{self.url} sent a file that was not asked for, or is not what its id says; nothing of it is used",
                    code="host-answer",
                )
            yield id, item.content

    def _pack(self, ids: Collection[str]) -> PackIn | None:
        """Return the pack of files by the best way that the host allows, None where it allows none."""
        while self._ways:
            way = self._ways[0]
            try:
                chunks = way(ids)
                if chunks is not None:
                    return PackIn(chunks, self.url, most_objects=len(ids))
            except Spoken as error:
                if error.code != "host-answer":
                    raise
            except Unreachable:  # also how a host ends that does not know the protocol's version
                if way != self._ask_2:
                    raise
            self._ways.pop(0)
        return None

    def _ask(self, ids: Collection[str]) -> Iterator[bytes] | None:
        """Ask for files by their ids in the protocol's version 0, where the host allows that."""
        session = self._wire.begin(UPLOAD, self._upload)
        self._upload = session.advert
        if not session.advert.abilities & _BY_ID:
            session.close()
            wider = self._wire.wider()
            if wider is None:
                return None
            session = wider
        abilities = session.advert.abilities
        packets = self._answer(session, upload_request(ids, abilities, one_deep=False), len(ids))
        return _until_closed(session, lambda: read_pack(packets, abilities, self.url, one_deep=False))

    def _ask_2(self, ids: Collection[str]) -> Iterator[bytes] | None:
        """Ask for files by their ids in version 2, which allows any."""
        session = self._wire.begin(UPLOAD, self._upload)
        if not session.has_version_2:
            session.close()
            return None
        packets = self._answer(session, upload_request_2(ids), len(ids), version=2)
        return _until_closed(session, lambda: read_pack_2(packets, self.url))

    def _answer(self, session: Session, request: bytes, files: int, *, version: int = 0) -> Packets:
        try:
            chunks = session.exchange([request], len(request), version=version)
        except BaseException:
            session.close()
            raise
        return Packets(chunks, self.url, MOST_BYTES * files + _MOST_TALK, self._wire.secrets)

    def _patiently(self, read: Callable[[], T]) -> T:
        """Return what ``read`` returns, tried again a few times where the host could not be reached."""
        for pause_s in _PAUSES_S:
            try:
                return read()
            except Unreachable as error:
                if not error.again:
                    raise
                self._pause(error, pause_s)
        return read()

    def _pause(self, error: Unreachable, pause_s: float) -> None:
        if error.after_s is not None:
            if error.after_s > _LONGEST_PAUSE_S:
                raise error
            pause_s = max(pause_s, error.after_s)
        time.sleep(pause_s)

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._access.notice(text)

    # writing

    def publish(
        self,
        expected: Tip | None,
        add: Mapping[str, Path | bytes],
        remove: Collection[str] = (),
        *,
        alone: bool = False,
    ) -> Tip:
        push = make_push(self.url, self.limits, expected, add, remove, alone=alone)
        self._tip = self._patiently(lambda: deliver(push, self._wire, self._access))
        return self._tip


def _contents(trees: Mapping[str, GitObject]) -> dict[str, bytes]:
    return {id: tree.content for id, tree in trees.items() if isinstance(tree.content, bytes)}


def _until_closed(session: Session, read: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
    """Yield what is read; the session ends with it, or when it is left."""
    with closing(session):
        yield from read()


def _wire(address: GitAddress, access: Access) -> Wire:
    if address.scheme in ("http", "https"):
        from vexrepo.remotes.hosts.git_http import HttpWire  # brings urllib3, which nobody with ssh needs

        return HttpWire(address.url, access)
    from vexrepo.remotes.hosts.git_pipe import SshWire, TcpWire

    return SshWire(address, access) if address.scheme == "ssh" else TcpWire(address, access)
