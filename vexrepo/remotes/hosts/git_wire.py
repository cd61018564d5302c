"""Git's pack protocol, version 0 (gitprotocol-pack): requests as bytes, answers from a stream of bytes.

What carries the bytes is behind ``Wire``: HTTP, ssh, or a plain connection.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from vexrepo.errors import HostError
from vexrepo.remotes.hosts.git_errors import Unreachable, clean, spoken
from vexrepo.remotes.hosts.git_objects import ABSENT, BRANCH, is_id

Service = Literal["git-upload-pack", "git-receive-pack"]

UPLOAD: Final = "git-upload-pack"
RECEIVE: Final = "git-receive-pack"
FLUSH: Final = b"0000"
MOST_ADVERT: Final = 1 << 26  # bytes of a list of refs
MOST_REPORT: Final = 1 << 20
_DELIMITER: Final = b"0001"
_SLOW_BYTES: Final = 1000
_UNDER_WAY_BYTES: Final = 1 << 22  # what buffers on the way hold, at most
_SLOW_LINE_BYTES_S: Final = 1 << 14
_MOST_TALK: Final = 1 << 16  # bytes of a host's progress messages that are kept


@dataclass(frozen=True, slots=True)
class Advert:
    """What a host says first: the id at the tip of our branch, None where it has none, and what it is able to."""

    tip: str | None
    abilities: frozenset[str]


class Session(ABC):
    """One conversation with a service of a host, begun by its advert."""

    advert: Advert

    has_version_2: ClassVar[bool] = False

    @abstractmethod
    def exchange(self, request: Iterable[bytes], size: int, *, version: int = 0) -> Iterator[bytes]:
        """Send a request of ``size`` bytes and yield the answer.  Raises (also while iterated): HostError.

        ``version``: the protocol's; 2 only where ``has_version_2``.
        """

    @abstractmethod
    def close(self) -> None:
        """End the conversation."""


class Wire(ABC):
    """The way to a host."""

    secrets: tuple[str, ...] = ()  # never to be shown, whoever says them
    # About how much to ask for at once.  A host looks for differences between the files of one answer, for seconds
    # where they are large, and finds none in sealed ones; but to ask costs as well.
    batch_bytes: ClassVar[int] = 1 << 23

    @abstractmethod
    def begin(self, service: Service, known: Advert | None = None) -> Session:
        """Begin a conversation.  ``known``, the service's advert, saves a request where a host keeps no state.

        Raises: HostError (host-unreachable, host-refused, host-missing, host-answer).
        """

    def wider(self) -> Session | None:
        """Begin a conversation about reading with a host that has no partial clone, in a way that gives it one."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Release connections."""


class Pace:
    """Notices answers that hardly come: fewer than 1000 bytes for as long as ``timeout_s`` of waiting."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._waited_s = 0.0
        self._got = 0

    def is_too_slow(self, size: int, waited_s: float) -> bool:
        """Return whether that is so after ``size`` bytes more, which took so long to come."""
        self._got += size
        self._waited_s += waited_s
        if self._got >= _SLOW_BYTES:
            self._got, self._waited_s = 0, 0.0
        return self._waited_s > self._timeout_s


def patience_s(timeout_s: float, sent_bytes: int) -> float:
    """Return how long to wait for an answer: a slow line has yet to carry what the system took for sent."""
    return timeout_s + min(sent_bytes, _UNDER_WAY_BYTES) / _SLOW_LINE_BYTES_S


class Packets:
    """Packets (pkt-lines) from a stream; at most ``most_bytes`` of it.

    Raises: Unreachable when the stream ends within or before one; HostError (host-answer).
    """

    def __init__(self, chunks: Iterable[bytes], where: str, most_bytes: int, secrets: tuple[str, ...] = ()) -> None:
        self._chunks = iter(chunks)
        self._where = where
        self._left = most_bytes
        self._secrets = secrets
        self._buffer = b""
        self._place = 0

    def next(self) -> bytes | None:
        """Return the next packet's content, None for one that ends a section.  "ERR" packets are raised."""
        head = self._take(4)
        if head in (FLUSH, _DELIMITER, b"0002"):
            return None
        size = int(head, 16) if not head.strip(b"0123456789abcdefABCDEF") else 0
        if size < 4:
            begin = head + self._buffer[self._place : self._place + 60]
            raise HostError(
                f"{self._where} answered what is not Git's protocol ({clean(begin, self._secrets)!r}); "
                "is it the address of a Git repository?",
                code="host-answer",
            )
        content = self._take(size - 4)
        if content.startswith(b"ERR "):
            raise spoken(self._where, clean(content[4:], self._secrets))
        return content

    def rest(self) -> Iterator[bytes]:
        """Yield what is left, as it comes."""
        if self._place < len(self._buffer):
            yield self._buffer[self._place :]
        for chunk in self._chunks:
            self._count(len(chunk))
            yield chunk

    def _take(self, size: int) -> bytes:
        if len(self._buffer) - self._place >= size:
            self._place += size
            return self._buffer[self._place - size : self._place]
        parts = [self._buffer[self._place :]]
        have = len(parts[0])
        while have < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise Unreachable(f"{self._where} closed the connection in the middle of an answer; try again")
            self._count(len(chunk))
            parts.append(chunk)
            have += len(chunk)
        self._buffer = b"".join(parts)
        self._place = size
        return self._buffer[:size]

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise HostError(f"{self._where} answered without end", code="host-answer")


def packet(content: bytes) -> bytes:
    """Return a packet of content."""
    return b"%04x%s" % (len(content) + 4, content)


def read_advert(packets: Packets, where: str) -> Advert:
    """Read a host's list of refs.  Raises: HostError (host-answer)."""
    tip, abilities, first = None, frozenset[str](), True
    while (line := packets.next()) is not None:
        line = line.rstrip(b"\n")
        if line.startswith((b"version ", b"shallow ")):
            continue
        ref, _, words = line.partition(b"\0")
        id, _, name = ref.partition(b" ")
        if not is_id(id):
            if len(id) == 64 and not id.strip(b"0123456789abcdef"):
                raise HostError(
                    f"{where} names its objects by SHA-256; a memory repository needs a host repository with SHA-1 "
                    "names: git init --object-format=sha1",
                    code="host-answer",
                )
            raise HostError(f"{where} answered a list of refs with {clean(line[:60])!r} in it", code="host-answer")
        if first:
            abilities = frozenset(words.decode("utf-8", "replace").split())
            first = False
        if name == BRANCH.encode() and id != ABSENT.encode():
            tip = id.decode()
    return Advert(tip, abilities)


def upload_request(
    wants: Iterable[str], abilities: frozenset[str], *, known: str | None = None, one_deep: bool, no_files: bool = False
) -> bytes:
    """Return the request for a pack.

    ``known``: a commit without its parents that need not be sent again; what is new may come as differences from what
    it has.  ``one_deep``: without history (where the host can).  ``no_files``: without blobs (where it can).
    """
    names = ["side-band-64k", "ofs-delta", "no-progress", "agent=vexrepo"]
    if known:
        # Git leaves out what a commit has that is no parent of the one asked for, for packs of this kind only.
        names.append("thin-pack")
    wish = " ".join(each for each in names if _has(each, abilities))
    asked = sorted(set(wants))
    can_be_shallow, can_filter = "shallow" in abilities, no_files and "filter" in abilities
    out = []
    for place, want in enumerate(asked):
        more = f" {wish}{' filter' if can_filter else ''}" if place == 0 else ""
        out.append(packet(f"want {want}{more}\n".encode()))
    if one_deep and can_be_shallow:
        if known:
            out.append(packet(f"shallow {known}\n".encode()))
        out.append(packet(b"deepen 1\n"))
    if can_filter:
        out.append(packet(b"filter blob:none\n"))
    out.append(FLUSH)
    if known:
        out.append(packet(f"have {known}\n".encode()))
    out.append(packet(b"done\n"))
    return b"".join(out)


def upload_request_2(wants: Iterable[str]) -> bytes:
    """Return the request of protocol version 2 for objects by their ids: it allows any, where version 0 may not."""
    lines = [
        packet(b"command=fetch"),
        packet(b"agent=vexrepo"),
        _DELIMITER,
        packet(b"no-progress\n"),
        packet(b"ofs-delta\n"),
    ]
    lines += [packet(f"want {want}\n".encode()) for want in sorted(set(wants))]
    return b"".join([*lines, packet(b"done\n"), FLUSH])


def _has(wish: str, abilities: frozenset[str]) -> bool:
    name = wish.partition("=")[0]
    return name in abilities or any(each.startswith(name + "=") for each in abilities)


def read_pack(packets: Packets, abilities: frozenset[str], where: str, *, one_deep: bool) -> Iterator[bytes]:
    """Yield the pack that answers an ``upload_request``."""
    if one_deep and "shallow" in abilities:
        while packets.next() is not None:
            pass
    line = packets.next()
    if line is None or not line.startswith((b"NAK", b"ACK ")):
        raise _no_pack(where, line)
    return _unband(packets, where) if "side-band-64k" in abilities else packets.rest()


def read_pack_2(packets: Packets, where: str) -> Iterator[bytes]:
    """Yield the pack that answers an ``upload_request_2``."""
    line = packets.next()
    if line is None or line.rstrip(b"\n") != b"packfile":
        raise _no_pack(where, line)
    return _unband(packets, where)


def _no_pack(where: str, line: bytes | None) -> HostError:
    return HostError(f"{where} answered {clean((line or b'nothing')[:60])!r} where a pack was due", code="host-answer")


def _unband(packets: Packets, where: str, talk: bytearray | None = None) -> Iterator[bytes]:
    """Yield the content of the first of the streams that share a connection; messages go to ``talk``."""
    while (line := packets.next()) is not None:
        if not line:
            continue
        if line[0] == 1:
            yield line[1:]
        elif line[0] == 2:
            if talk is not None and len(talk) < _MOST_TALK:
                talk += line[1:]
        else:
            raise spoken(where, clean(line[1:]))


@dataclass(frozen=True, slots=True)
class Report:
    """What a host says of a push: whether it could unpack it, whether it took the ref, and its own words."""

    unpacked: bool
    taken: bool
    words: str


def receive_request(old: str, new: str, abilities: frozenset[str]) -> bytes:
    """Return the command that moves our branch from ``old`` to ``new``; the pack follows it."""
    names = ("report-status", "side-band-64k", "quiet", "agent=vexrepo")
    wish = " ".join(each for each in names if _has(each, abilities))
    return packet(f"{old} {new} {BRANCH}\0 {wish}".encode()) + FLUSH


def read_report(packets: Packets, abilities: frozenset[str], where: str, secrets: tuple[str, ...] = ()) -> Report:
    """Read the answer to a push.  Raises: Unreachable, HostError (host-answer) when it says nothing of our ref."""
    talk = bytearray()
    if "side-band-64k" in abilities:
        packets = Packets(_unband(packets, where, talk), where, MOST_REPORT, secrets)
    unpack, taken, words = None, None, ""
    while (line := packets.next()) is not None:
        line = line.rstrip(b"\n")
        if line.startswith(b"unpack "):
            unpack = line[7:]
        elif line == b"ok " + BRANCH.encode():
            taken = True
        elif line.startswith(b"ng " + BRANCH.encode()):
            taken, words = False, clean(line[len(b"ng " + BRANCH.encode()) :], secrets)
    if unpack is None or taken is None:
        raise HostError(f"{where} did not say whether it took the push", code="host-answer")
    unpacked = unpack == b"ok"
    said = [] if unpacked else [clean(unpack, secrets)]
    said += [words, clean(bytes(talk), secrets)]
    return Report(unpacked, taken and unpacked, "; ".join(each for each in said if each))
