"""Objects by id: read from packs and verified, written into one new pack a session.

An object that replaces an older one is stored as a difference.  Version n of a chain is a difference from
version n with its lowest set bit cleared (skip deltas, as Subversion's FSFS; from version n - 1 while the chain is
shallow): a read needs at most log2(n)
steps, no more than MAX_DEPTH, and one changed record never costs a whole leaf.  See docs/adr/0003.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from vexrepo.errors import InvalidData, StorageFailure, Tampered
from vexrepo.objects.digest import ID_BYTES, CommitId, ObjectId, VectorsId
from vexrepo.objects.kinds import MAX_OBJECT_BYTES, ObjectType, identify
from vexrepo.storage import codec, pack
from vexrepo.storage.codec import Codec, Planes
from vexrepo.storage.directory import WORTHWHILE, PackDirectory
from vexrepo.storage.files import Files
from vexrepo.storage.glance import Difference, Glance
from vexrepo.storage.pack import Entry, PackReader, PackWriter

CACHE_BYTES = 8 << 20
RECENT = 3  # large objects kept, whatever their size, as likely bases of the next
MIN_DELTA = 256  # smaller payloads are stored whole
MAX_CHAIN = 60_000
SHALLOW = 3


class ObjectStore:
    """The packs of a repository, and perhaps some that lie elsewhere and are looked into first."""

    def __init__(self, folder: Path, files: Files, elsewhere: Iterable[Path] = ()) -> None:
        self.folder = folder
        self._files = files
        self._elsewhere = {path.name: path for path in elsewhere}
        self._readers: dict[str, PackReader] = {}
        self._names: list[str] = []
        self._cache: OrderedDict[tuple[bytes, ObjectType], bytes] = OrderedDict()
        self._cached_bytes = 0
        self._recent: dict[bytes, bytes] = {}
        self._glanced: tuple[bytes, Planes] | None = None
        self._directory: tuple[list[str], PackDirectory] | None = None
        self._cache_lock = threading.Lock()
        self.refresh()

    def refresh(self) -> None:
        """See packs that appeared since; newest first."""
        found = {entry.name for entry in self.folder.glob("*.pack")} if self.folder.is_dir() else set()
        names = [*self._elsewhere, *sorted(found - set(self._elsewhere), reverse=True)]
        if names != self._names:
            self._names = names
        for gone in set(self._readers) - set(self._names):
            del self._readers[gone]

    @property
    def packs(self) -> list[str]:
        """Names of the packs, newest first."""
        return list(self._names)

    def reader(self, name: str) -> PackReader:
        """Return the open pack of that name.  Raises: Tampered (pack-corrupt)."""
        found = self._readers.get(name)
        if found is None:
            found = self._readers[name] = PackReader(self._elsewhere.get(name, self.folder / name))
        return found

    def copies(self, identifier: bytes, kind: ObjectType | None = None) -> Iterator[tuple[PackReader, Entry]]:
        """Yield every place where an object is, in the newest pack first.  Signatures only when asked for by kind."""
        for reader in self._may_hold(identifier):
            for entry in reader.find(identifier):
                if entry.type == kind or (kind is None and entry.type != ObjectType.SIGNATURE):
                    yield reader, entry

    def _may_hold(self, identifier: bytes) -> Iterator[PackReader]:
        """Yield the packs to look into for an object, the newest first."""
        names = self._names
        if len(names) < WORTHWHILE:
            yield from map(self.reader, names)
            return
        known = self._directory
        if known is None or known[0] is not names:
            try:
                readers = [self.reader(name) for name in names]
            except Tampered:  # whoever comes to the damaged pack is told; what lies in others can still be read
                yield from map(self.reader, names)
                return
            known = self._directory = names, PackDirectory(readers)
        for place in known[1].places(identifier):
            yield self.reader(names[place])

    def locate(self, identifier: bytes, kind: ObjectType | None = None) -> tuple[PackReader, Entry] | None:
        """Return where an object is, None if nowhere.  Signatures only when asked for by kind."""
        return next(self.copies(identifier, kind), None)

    def base_of(self, entry: Entry, base: bytes) -> tuple[PackReader, Entry]:
        """Return where the object is that a difference is from: of several copies one nearer to a whole object.

        A copy that came from elsewhere may be a longer chain than the one the difference was made from.
        Raises: InvalidData (object-corrupt), Tampered (object-missing).
        """
        for place in self.copies(base):
            if place[1].depth < entry.depth:
                return place
        place = self.find(base)
        if place[1].depth >= entry.depth:
            raise InvalidData("a difference does not get nearer to a whole object", code="object-corrupt")
        return place

    def __contains__(self, identifier: bytes) -> bool:
        return self.locate(identifier) is not None

    def kind(self, identifier: bytes) -> ObjectType:
        """Return an object's type.  Raises: Tampered (object-missing)."""
        return ObjectType(self.find(identifier)[1].type)

    def get(self, identifier: ObjectId | bytes, kind: ObjectType, *, cache: bool = True) -> bytes:
        """Return an object's payload, checked against its id.

        Raises: Tampered (object-missing, object-corrupt, pack-corrupt).
        """
        with self._cache_lock:
            held = self._cache.get((identifier, kind))
            if held is not None:
                self._cache.move_to_end((identifier, kind))
                return held
        try:
            return self._read(identifier, kind, cache=cache)
        except StorageFailure:
            before = self.packs
            self.refresh()
            if self.packs == before:
                raise
            # A gc joined the pack with others meanwhile.
            return self._read(identifier, kind, cache=cache)

    def _read(self, identifier: ObjectId | bytes, kind: ObjectType, *, cache: bool) -> bytes:
        reader, entry = self.find(identifier, kind)
        return self.read_copy(reader, entry, cache=cache)

    def read_copy(self, reader: PackReader, entry: Entry, *, cache: bool = False) -> bytes:
        """Return an object's payload as one pack holds it, checked against its id (a signature's as it is).

        Raises: Tampered (object-missing, object-corrupt, pack-corrupt).
        """
        identifier, kind = entry.id, ObjectType(entry.type)
        try:
            payload = self._payload(reader, entry)
            found = identify(kind, payload) if kind != ObjectType.SIGNATURE else identifier
        except InvalidData as error:
            self._check_base(reader, entry)
            raise self._corrupt(identifier, kind, reader, str(error)) from error
        if found != identifier:
            self._check_base(reader, entry)
            raise self._corrupt(identifier, kind, reader, "its content gives another id")
        if kind == ObjectType.SIGNATURE:  # not what its commit's id names
            return payload
        if cache and len(payload) <= CACHE_BYTES // 4:
            self._remember((bytes(identifier), kind), payload)
        elif not cache and len(payload) <= CACHE_BYTES:
            with self._cache_lock:  # most likely the base of what is asked for next
                self._recent[bytes(identifier)] = payload
                while len(self._recent) > RECENT:
                    del self._recent[next(iter(self._recent))]
        return payload

    def _remember(self, place: tuple[bytes, ObjectType], payload: bytes) -> None:
        with self._cache_lock:
            if place not in self._cache:
                self._cache[place] = payload
                self._cached_bytes += len(payload)
                while self._cached_bytes > CACHE_BYTES:
                    self._cached_bytes -= len(self._cache.popitem(last=False)[1])

    def _check_base(self, reader: PackReader, entry: Entry) -> None:
        """Raise Tampered for the object that a damaged one is a difference from, if that is the damaged one."""
        if entry.codec in codec.IS_DELTA:
            with self._cache_lock:
                self._recent.clear()
            with contextlib.suppress(InvalidData):  # a loop, or made to look like one: the difference is what is wrong
                self.read_copy(*self.base_of(entry, reader.base(entry)))

    def find(self, identifier: bytes, kind: ObjectType | None = None) -> tuple[PackReader, Entry]:
        """Return where an object is.  Raises: Tampered (object-missing)."""
        place = self.locate(identifier, kind)
        if place is None:
            self.refresh()
            place = self.locate(identifier, kind)
        if place is None:
            what = kind.name.lower() if kind else "object"
            raise Tampered(
                f"the {what} {identifier.hex()[:12]} is missing from {self.folder}; run `vex fsck` and restore the "
                "missing pack from a backup or remote",
                code="object-missing",
            )
        return place

    @staticmethod
    def _corrupt(identifier: bytes, kind: ObjectType, reader: PackReader, why: str) -> Tampered:
        return Tampered(
            f"the {kind.name.lower()} object {identifier.hex()[:12]} in {reader.path} is damaged: {why}; nothing of it "
            "was used: `vex fsck` lists all damage; restore the pack from a backup or remote",
            code="object-corrupt",
        )

    def _payload(self, reader: PackReader, entry: Entry) -> bytes:
        """Return the payload of a row, its differences applied, not yet checked."""
        pending: list[tuple[Entry, bytes]] = []
        payload: bytes | None = None
        while entry.codec in codec.IS_DELTA and payload is None:
            stored = reader.stored(entry)
            pending.append((entry, stored[ID_BYTES:]))
            base_id = stored[:ID_BYTES]
            payload = self._recent.get(base_id) or self._cache.get((base_id, ObjectType(entry.type)))
            reader, entry = self.base_of(entry, base_id)
        if payload is None:
            payload = codec.decode(entry.codec, reader.stored(entry), entry.size)
        for entry, delta in reversed(pending):
            payload = codec.decode(entry.codec, delta, entry.size, payload)
        return payload

    def glance(self, identifier: VectorsId) -> Glance | None:
        """Return access to single rows of a matrix, NOT checked; None if it is stored in a way that has none.

        Raises: InvalidData (object-corrupt), Tampered, StorageFailure.
        """
        reader, entry = self.find(identifier, ObjectType.VECTORS)
        differences = []
        while entry.codec == Codec.ROWS:
            stored = reader.stored(entry)
            differences.append(Difference(stored[ID_BYTES:], entry.size))
            reader, entry = self.base_of(entry, stored[:ID_BYTES])
        return Glance(differences, partial(self._planes, reader, entry)) if entry.codec in codec.IS_SHUFFLED else None

    def _planes(self, reader: PackReader, entry: Entry) -> Planes:
        held = self._glanced
        if held is None or held[0] != entry.id:  # the versions of a leaf are often differences from the same
            self._glanced = None  # its memory is used again
            held = self._glanced = entry.id, codec.planes(entry.codec, reader.stored(entry), entry.size)
        return held[1]

    def signatures(self, commit: CommitId) -> list[bytes]:
        """Return the payloads of the signatures kept beside a commit."""
        found: list[bytes] = []
        for reader in self._may_hold(commit):
            for entry in reader.find(commit):
                if entry.type == ObjectType.SIGNATURE:
                    try:
                        payload = self._payload(reader, entry)
                    except InvalidData as error:
                        raise self._corrupt(commit, ObjectType.SIGNATURE, reader, str(error)) from error
                    if payload not in found:
                        found.append(payload)
        return found

    def matching(self, prefix: str, kinds: frozenset[ObjectType]) -> list[tuple[bytes, ObjectType]]:
        """Return up to 20 (id, type) whose hexadecimal id starts with ``prefix``."""
        low = bytes.fromhex(prefix + "0" * (len(prefix) % 2))
        found: dict[bytes, ObjectType] = {}
        for name in self._names:
            reader = self.reader(name)
            number = reader.first(low)
            while number < reader.count and len(found) < 20:
                entry = reader.entry(number)
                if not entry.id.hex().startswith(prefix):
                    break
                if entry.type in kinds:
                    found[entry.id] = ObjectType(entry.type)
                number += 1
        return sorted(found.items())

    def __iter__(self) -> Iterator[tuple[bytes, ObjectType]]:
        for name in self._names:
            for entry in self.reader(name):
                yield entry.id, ObjectType(entry.type)

    def adopt(self, packs: Iterable[Path]) -> list[str]:
        """Move pack files in that are on this disk, durable and checked, oldest first; return the names they get.

        One that is here already stays where it was.  The caller holds the writer lock.
        """
        self.refresh()
        here = {name.partition("-")[2]: name for name in self.packs}
        names, number = [], self.next_number()
        for path in packs:
            ending = f"{PackReader(path).digest}.pack"
            if ending not in here:
                here[ending] = f"{number:08d}-{ending}"
                number += 1
                self._files.make_folder(self.folder)
                self._files.replace(path, self.folder / here[ending])
            names.append(here[ending])
        self.refresh()
        return names

    def next_number(self) -> int:
        """Return the number that the name of the next pack begins with."""
        return 1 + max((int(name[:8]) for name in self.packs if name[:8].isdigit()), default=0)

    def writer(self) -> Writer:
        """Return a session that writes one pack."""
        return Writer(self, self._files)

    def close(self) -> None:
        """Forget open packs and cached objects."""
        self._readers.clear()
        self._cache.clear()
        self._recent.clear()
        self._glanced = None
        self._directory = None
        self._cached_bytes = 0


class Writer:
    """Writes objects into one new pack.  Nothing is readable before ``finish``; ``put`` is thread-safe."""

    def __init__(self, store: ObjectStore, files: Files) -> None:
        self._store = store
        self._files = files
        files.make_folder(store.folder)
        self._scratch = store.folder / f".{os.urandom(6).hex()}.tmp"
        self._pack: PackWriter | None = None
        self._opening = threading.Lock()

    def __contains__(self, identifier: bytes) -> bool:
        return (self._pack is not None and identifier in self._pack) or identifier in self._store

    def _open(self) -> PackWriter:
        with self._opening:
            if self._pack is None:
                self._pack = PackWriter(self._files, self._scratch)
            return self._pack

    @property
    def size_bytes(self) -> int:
        """Bytes written so far."""
        return self._pack.size_bytes if self._pack else 0

    def put(
        self,
        kind: ObjectType,
        identifier: ObjectId,
        payload: bytes | bytearray,
        *,
        base: ObjectId | None = None,
        item_bytes: int = 0,
        head: int = 0,
        row_bytes: int = 0,
    ) -> None:
        """Write an object unless it is there already.

        ``base`` names the object it replaces; for matrices ``item_bytes`` (4 or 8), ``head`` and ``row_bytes`` say
        where the rows are.
        """
        if identifier in self:
            return
        if len(payload) > MAX_OBJECT_BYTES:
            raise InvalidData(
                f"a {kind.name.lower()} object of {len(payload)} bytes is above the limit of {MAX_OBJECT_BYTES}",
                code="limit-exceeded",
            )
        if (
            base is not None
            and len(payload) >= MIN_DELTA
            and self._put_difference(kind, identifier, payload, base, item_bytes, head, row_bytes)
        ):
            return
        form, stored = codec.encode(payload, item_bytes)
        self._open().add(identifier, kind, form, stored, len(payload))

    def put_signature(self, commit: CommitId, payload: bytes) -> None:
        """Write a signature beside its commit."""
        self._open().add(commit, ObjectType.SIGNATURE, Codec.RAW, payload, len(payload))

    def copy(self, reader: PackReader, entry: Entry) -> None:
        """Write an object of another pack as it is stored there, though it is there already."""
        self._open().copy(entry, reader.stored(entry))

    def _put_difference(
        self,
        kind: ObjectType,
        identifier: ObjectId,
        payload: bytes | bytearray,
        base: ObjectId,
        item_bytes: int,
        head: int,
        row_bytes: int,
    ) -> bool:
        place = self._store.locate(base, kind)
        if place is None:
            return False
        reader, entry = place
        chain = entry.chain + 1
        if chain > MAX_CHAIN:
            return False
        # A shallow chain may grow by one step: the version just before shares most.
        wanted = entry.chain if entry.depth < SHALLOW else chain & (chain - 1)
        while entry.chain > wanted and entry.codec in codec.IS_DELTA:
            reader, entry = self._store.base_of(entry, reader.base(entry))
        if entry.depth + 1 > pack.MAX_DEPTH:
            return False
        root_reader, root = reader, entry
        while root.codec in codec.IS_DELTA:
            root_reader, root = self._store.base_of(root, root_reader.base(root))
        whole = root.stored * len(payload) / max(root.size, 1)
        old = self._store.get(entry.id, kind)
        if row_bytes:
            if old[:head][8:] != payload[:head][8:]:  # another space: nothing in common
                return False
            stored = codec.encode_rows(payload, old, head, row_bytes, item_bytes)
            if stored is None:
                return False
            form = Codec.ROWS
        elif item_bytes:
            return False
        else:
            form, stored = Codec.PREFIX, codec.encode_prefix(payload, old)
        # A chain that takes half as much to read as the whole is begun anew, unless that would cost far more than the
        # difference: then it may take as much.
        limit = whole if len(stored) + ID_BYTES <= whole / 16 else whole / 2
        if entry.chain_bytes + len(stored) + ID_BYTES > limit:
            return False
        self._open().add(identifier, kind, form, stored, len(payload), base=entry, chain=chain)
        return True

    def finish(self) -> list[str]:
        """Make everything written durable and readable; return the names of new packs (none or one)."""
        if self._pack is None:
            return []
        name = self._pack.finish(self._store.folder, self._store.next_number())
        self._pack = None
        self._store.refresh()
        return [name]

    def abandon(self) -> None:
        """Drop everything written in this session."""
        if self._pack is not None:
            self._pack.abandon()
            self._pack = None

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abandon()
