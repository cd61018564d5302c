"""New packs of chosen objects, for somebody who holds some objects already: what a push sends, what a clone is made of.

Stored bytes are copied as they are; every object is read and checked first, so that damage never spreads.  A
difference is kept where its base goes along or is held already; else it is made anew from an older version that is,
and where there is none the object is stored whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from vexrepo.errors import InvalidData
from vexrepo.objects.digest import ID_BYTES, CommitId, ObjectId
from vexrepo.objects.kinds import ObjectType
from vexrepo.storage import codec, pack
from vexrepo.storage.codec import Codec
from vexrepo.storage.files import Files
from vexrepo.storage.pack import Entry, Key, PackReader, PackWriter
from vexrepo.storage.store import ObjectStore

Held: TypeAlias = Callable[[Collection[Key]], Mapping[Key, int]]  # which of some objects are held, and how deep each is

PACK_BYTES: Final = 256 << 20  # a new pack is begun past so many bytes
PACK_OBJECTS: Final = 100_000  # or so many objects: their rows are in memory until a pack is done


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one object is written: ``depth`` 0 stands for whole, ``base`` for what a difference is to be from."""

    reader: PackReader
    entry: Entry
    depth: int
    base: Key | None = None
    is_copy: bool = True


class Repacker:
    """Writes packs into a folder.  ``held`` says what whoever gets them has already."""

    def __init__(
        self,
        store: ObjectStore,
        files: Files,
        folder: Path,
        held: Held = lambda keys: {},
        *,
        advance: Callable[[int], None] = lambda size: None,
        pack_bytes: int = PACK_BYTES,
    ) -> None:
        self._store = store
        self._files = files
        self._folder = folder
        self._held = held
        self._advance = advance
        self._pack_bytes = pack_bytes
        self._pack: PackWriter | None = None
        self._done: list[PackReader] = []
        self.objects = 0

    def add(self, keys: Iterable[Key]) -> None:
        """Write objects, less those that are held or were written before.  The more at once, the better.

        Raises: Tampered (object-missing, object-corrupt) before anything damaged is written, StorageFailure.
        """
        wanted = [key for key in dict.fromkeys(keys) if self._written(key) is None]
        held = self._held(wanted) if wanted else {}
        plans = self._plan([key for key in wanted if key not in held])
        # As they lie in the packs: versions of an object follow one another there.
        for plan in sorted(plans.values(), key=lambda plan: (plan.reader.path.name, plan.entry.offset)):
            self._write(plan)
            if plan.entry.type == ObjectType.COMMIT:
                self._add_signatures(CommitId(plan.entry.id))

    def finish(self) -> list[Path]:
        """Return the packs written, the oldest first; their files are on the disk."""
        self._close()
        return [reader.path for reader in self._done]

    def abandon(self) -> None:
        """Drop the pack being written."""
        if self._pack is not None:
            self._pack.abandon()
            self._pack = None

    def __enter__(self) -> Repacker:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abandon()

    # -- planning ----------------------------------------------------------------------------------------------

    def _written(self, key: Key) -> Entry | None:
        if self._pack is not None:
            found = self._pack.entry(*key)
            if found is not None:
                return found
        for reader in self._done:
            for entry in reader.find(key[0]):
                if entry.type == key[1]:
                    return entry
        return None

    def _plan(self, keys: list[Key]) -> dict[Key, _Plan]:
        """Return how each object is written.  Bases are looked up together: asking for each would take long."""
        places = {key: self._nearest(key) for key in keys}
        chains = {key: self._chain(*place) for key, place in places.items() if place[1].codec in codec.IS_DELTA}
        outside = {base for chain in chains.values() for base in chain if base not in places}
        depths = {base: entry.depth for base in outside if (entry := self._written(base)) is not None}
        depths |= self._held([base for base in outside if base not in depths])
        plans: dict[Key, _Plan] = {}
        # A base of this batch has less depth than what is stored as a difference from it.
        for key in sorted(keys, key=lambda key: places[key][1].depth):
            reader, entry = places[key]
            plans[key] = _Plan(reader, entry, 0, is_copy=key not in chains)
            for number, base in enumerate(chains.get(key, ())):
                depth = depths.get(base)
                if depth is not None and depth < pack.MAX_DEPTH:
                    plans[key] = _Plan(reader, entry, depth + 1, base, is_copy=number == 0)
                    break
            depths[key] = plans[key].depth
        return plans

    def _nearest(self, key: Key) -> tuple[PackReader, Entry]:
        """Return the copy of an object that takes the fewest differences to undo."""
        kind = ObjectType(key[1])
        found = min(self._store.copies(key[0], kind), key=lambda place: place[1].depth, default=None)
        return found or self._store.find(key[0], kind)

    def _chain(self, reader: PackReader, entry: Entry) -> list[Key]:
        """Return what an object is a difference from, what that is a difference from, and so on."""
        found: list[Key] = []
        try:
            while entry.codec in codec.IS_DELTA:
                reader, entry = self._store.base_of(entry, reader.base(entry))
                found.append((entry.id, entry.type))
        except InvalidData:
            pass  # reading the object says what is wrong
        return found

    # -- writing -----------------------------------------------------------------------------------------------

    def _open(self) -> PackWriter:
        if self._pack is None:
            self._pack = PackWriter(self._files, self._folder / f".{len(self._done):08d}.tmp")
        return self._pack

    def _close(self) -> None:
        if self._pack is not None:
            name = self._pack.finish(self._folder, len(self._done) + 1)
            self._pack = None
            self._done.append(PackReader(self._folder / name))

    def _write(self, plan: _Plan) -> None:
        reader, entry = plan.reader, plan.entry
        payload = self._store.read_copy(reader, entry)
        out = self._open()
        if plan.is_copy:
            out.copy(entry._replace(depth=plan.depth), reader.stored(entry))
        else:
            self._encode(out, plan, payload)
        self.objects += 1
        self._advance(entry.stored)
        if out.size_bytes >= self._pack_bytes or len(out) >= PACK_OBJECTS:
            self._close()

    def _encode(self, out: PackWriter, plan: _Plan, payload: bytes) -> None:
        """Write an object whose base is not held: as the difference from an older version, else whole."""
        entry = plan.entry
        shape = codec.rows_shape(plan.reader.stored(entry)[ID_BYTES:]) if entry.codec == Codec.ROWS else None
        identifier, kind = ObjectId(entry.id), ObjectType(entry.type)
        if plan.base is not None:
            old = self._store.get(plan.base[0], ObjectType(plan.base[1]), cache=False)
            made = codec.encode_prefix(payload, old) if shape is None else codec.encode_rows(payload, old, *shape)
            if made is not None:
                base = entry._replace(id=plan.base[0], depth=plan.depth - 1)
                form = Codec.PREFIX if shape is None else Codec.ROWS
                out.add(identifier, kind, form, made, len(payload), base=base, chain=entry.chain)
                return
        form, stored = codec.encode(payload, shape[2] if shape else 0)
        out.add(identifier, kind, form, stored, len(payload))

    def _add_signatures(self, commit: CommitId) -> None:
        for payload in self._store.signatures(commit):
            self._open().add(commit, ObjectType.SIGNATURE, Codec.RAW, payload, len(payload))
            self.objects += 1
